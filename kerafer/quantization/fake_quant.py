"""A model that computes in training what its int8 file will compute: rounded weights and rounded activations.

The `tf_keras` twin of a model is rebuilt with each batch normalisation folded into the convolution before it, exactly
as the file holds it, and with tensorflow-model-optimization's wrappers around its layers. So what is trained is what is
deployed: weights in 255 steps, symmetric, for each output channel; activations in 256 steps over a range that follows
the data; sigmoid and softmax over the ranges that the kernels prescribe.

Reference:
    Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
    CVPR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras

from kerafer.quantization.rounding import FixedRange, FollowingRange, Rounding, WeightRounding
from kerafer.quantization.tfmot import Quantizer, QuantizeWrapper
from kerafer.quantization.twin import to_twin

if TYPE_CHECKING:
    import keras

# Ranges in which the integer kernels give these activations.
_FIXED = {"sigmoid": (0.0, 255 / 256), "softmax": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
# Layers whose outputs are some of their inputs, means of them, or zeros: they have no range of their own.
_PASSING = frozenset(
    "AveragePooling2D Cropping2D Dropout Flatten MaxPooling2D Permute Reshape SpatialDropout2D ZeroPadding2D".split()  # noqa: SIM905
)
_MEASURED = frozenset({"Add", "Concatenate", "GlobalAveragePooling2D", "Multiply", "ReLU", "Subtract"})
_KERNELS = {"Conv2D": "kernel", "DepthwiseConv2D": "depthwise_kernel", "Dense": "kernel"}
_STEPS = {"Conv2D": "channels", "DepthwiseConv2D": "depthwise", "Dense": "tensor"}
# Layers whose integer kernels end in a rectifier, so that nothing is rounded between the two.
_RECTIFYING = frozenset({*_KERNELS, "Add"})


@dataclass(frozen=True, eq=False)
class FakeQuantModel:
    """A model with rounded weights and activations, and the same up to its logits for the loss.

    Args:
        model: (batch, height, width, 3) in [0, 1] to (batch, classes) probabilities, in steps of 1/256.
        logits: the same layers, to the softmax's input.
        biased: layers with kernel and bias, each with the wrapper whose output is its input.
    """

    model: Any
    logits: Any
    biased: tuple[tuple[Any, Any], ...] = ()

    def round_biases(self) -> None:
        """Round the biases as the file does, to steps of the input's times the kernel's; call it after training.

        The steps are fine, yet each bias that lies between two moves a share of its layer's outputs to the next value:
        with rounded biases, file and model agree on more faces.
        """
        for layer, before in self.biased:
            kernel, bias = (_weight(layer, name) for name in (layer.quantize_config.kernel, "bias"))
            step = layer.quantize_config.weights.step(kernel.numpy()) * _output_step(before)
            bias.assign(np.rint(bias.numpy() / step) * step)


def with_fake_quantization(model: keras.Model, batch_size: int | None = None) -> FakeQuantModel:
    """Return a model that computes in float32 what the int8 file of another one will compute.

    Its ranges are empty: show it a few batches with ``training=True`` before anything else.

    Args:
        model: a functional Keras 3 model that takes RGB in [0, 1] and ends in a softmax.
        batch_size: fixed batch size, or None.

    Returns:
        The model, with the weights of the given one.

    Raises:
        TypeError: if a layer has no integer form here, or the model cannot be translated.

    Example:
        >>> import kerafer
        >>> from kerafer.quantization.fake_quant import with_fake_quantization
        >>> with_fake_quantization(kerafer.build_model("ean")).model.output_shape
        (None, 7)
    """
    return _Rebuilding(to_twin(model, batch_size)).result()


class _Rebuilding:
    """Walks through a twin's layers once, in order, and builds the rounded ones beside them."""

    def __init__(self, twin: Any) -> None:
        self.twin = twin
        self.consumers: dict[int, list[Any]] = {}
        for layer in twin.layers:
            for tensor in _inputs(layer):
                self.consumers.setdefault(id(tensor), []).append(layer)
        self.made: dict[int, Any] = {}
        self.merged: set[str] = set()  # layers that went into the one before them
        self.logits: Any = None
        self.before: dict[int, Any] = {}  # which wrapper's steps a tensor lies on
        self.biased: list[tuple[Any, Any]] = []
        self.wrappers: list[Any] = []

    def result(self) -> FakeQuantModel:
        (given,) = self.twin.inputs
        image = tf_keras.Input(given.shape[1:], given.shape[0], name=self.twin.input_names[0])
        camera = tf_keras.layers.Activation("linear", name="camera")
        self.made[id(given)] = self._call(camera, Rounding(output=FixedRange(0.0, 1.0)), image)
        for layer in self.twin.layers:
            if type(layer).__name__ != "InputLayer" and layer.name not in self.merged:
                self._rebuild(layer)
        (output,) = self.twin.outputs
        if self.logits is None:
            raise TypeError("`model` must end in a softmax to be quantized with training.")
        rounded = tf_keras.Model(image, self.made[id(output)], name=self.twin.name)
        return FakeQuantModel(rounded, tf_keras.Model(image, self.logits, name="logits"), tuple(self.biased))

    def _rebuild(self, layer: Any) -> None:
        kind = type(layer).__name__
        given = [self.made[id(tensor)] for tensor in _inputs(layer)]
        if kind in _KERNELS:
            self.made[id(self._tail(layer).output)] = self._with_kernel(layer, given[0])
        elif kind == "BatchNormalization" and len(layer.output.shape) == 4:
            # one that follows no convolution is a depthwise one itself
            scale, shift = _affine(layer)
            alone = tf_keras.layers.DepthwiseConv2D(1, name=layer.name, activation=self._rectifier(layer))
            self.made[id(self._tail(layer).output)] = self._weighted(
                alone, [scale[None, None, :, None], shift], self._range(self._tail(layer)), given[0]
            )
        elif kind == "Activation":
            self.made[id(layer.output)] = self._activation(layer, given[0])
        elif kind == "Softmax":
            self.made[id(layer.output)] = self._named_activation(layer.name, "softmax", given[0])
        elif kind == "Rescaling":
            self.made[id(layer.output)] = self._rescaling(layer, given[0])
        elif kind in _PASSING:
            self.made[id(layer.output)] = made = _copy(layer)(given[0])
            self.before[id(made)] = self.before.get(id(given[0]))
        elif kind in _MEASURED:
            inputs = given if isinstance(layer.input, list) else given[0]
            fused = kind == "Add" and self._rectified_alone(layer)
            output = None if fused else self._range(layer)
            self.made[id(layer.output)] = self._call(_copy(layer), Rounding(output=output), inputs)
        else:
            raise TypeError(
                f"Layer {layer.name!r} is a {kind}, which has no integer form in quantization-aware training here. "
                "Export with another recipe, such as static_int8, or replace the layer."
            )

    def _with_kernel(self, layer: Any, x: Any) -> Any:
        kind, config = type(layer).__name__, layer.get_config()
        kernel = layer.get_weights()[0]
        channels = layer.output.shape[-1]
        bias = layer.get_weights()[1] if layer.use_bias else np.zeros(channels, np.float32)
        norm = self._only_consumer(layer)
        if _activation(layer) == "linear" and type(norm).__name__ == "BatchNormalization":
            scale, shift = _affine(norm)
            kernel = kernel * (scale.reshape(kernel.shape[2:]) if kind == "DepthwiseConv2D" else scale)
            bias = bias * scale + shift
        after = _activation(layer)
        tail = self._tail(layer)
        own = type(layer).from_config({**config, "use_bias": True, "activation": self._rectifier(layer)})
        ends_in_activation = after not in ("linear", "relu", "relu6")
        output = self._range(layer) if ends_in_activation else self._range(tail)
        x = self._weighted(own, [kernel, bias], output, x)
        if not ends_in_activation:
            return x
        return self._named_activation(f"{layer.name}_{after}", after, x)

    def _activation(self, layer: Any, x: Any) -> Any:
        name = _activation(layer)
        if name == "linear":
            return x
        if name == "softsign":
            return self._softsign(layer, x)
        return self._named_activation(layer.name, name, x, self._range(layer))

    def _named_activation(self, name: str, kind: str, x: Any, measured: Quantizer | None = None) -> Any:
        if kind == "softmax":
            self.logits = x
        elif kind not in (*_FIXED, "relu", "relu6"):
            raise TypeError(
                f"Layer {name!r} has the activation {kind}, which has no integer form in quantization-aware training "
                f"here; {', '.join(_FIXED)}, relu, relu6 and softsign have. Export with another recipe, or replace it."
            )
        output = FixedRange(*_FIXED[kind]) if kind in _FIXED else measured
        function = tf.nn.relu6 if kind == "relu6" else kind
        return self._call(tf_keras.layers.Activation(function, name=name), Rounding(output=output), x)

    def _softsign(self, layer: Any, x: Any) -> Any:
        """Return x / (1 + |x|), each step rounded."""
        name = layer.name
        following = Rounding(output=FollowingRange())
        absolute = self._call(tf_keras.layers.Activation(tf.abs, name=f"{name}_abs"), following, x)
        below = self._call(tf_keras.layers.Activation(_plus_one, name=f"{name}_below"), following, absolute)
        return self._call(_Quotient(name=name), Rounding(output=self._range(layer)), [x, below])

    def _rescaling(self, layer: Any, x: Any) -> Any:
        scale, offset = np.float32(layer.scale), np.float32(layer.offset)
        if scale.ndim or offset.ndim or offset != 0:
            # one factor and one offset for each channel are a depthwise convolution
            channels = x.shape[-1]
            own = tf_keras.layers.DepthwiseConv2D(1, name=layer.name)
            kernel = np.broadcast_to(scale, channels).astype(np.float32)[None, None, :, None]
            bias = np.broadcast_to(offset, channels).astype(np.float32)
            return self._weighted(own, [kernel, bias], self._range(layer), x)
        return self._call(_copy(layer), Rounding(output=self._range(layer)), x)

    def _weighted(self, layer: Any, values: list[np.ndarray], output: Quantizer | None, x: Any) -> Any:
        """Give a layer its weights, round them, and call it."""
        kind = type(layer).__name__
        layer.build(x.shape)
        layer.set_weights(values)
        made = self._call(layer, Rounding(_KERNELS[kind], WeightRounding(_STEPS[kind]), output), x)
        if self.before.get(id(x)) is not None:
            self.biased.append((self.wrappers[-1], self.before[id(x)]))
        return made

    def _call(self, layer: Any, config: Rounding, x: Any) -> Any:
        """Wrap a layer so that it rounds, call it, and remember on whose steps its output lies."""
        wrapper = QuantizeWrapper(layer, config)
        self.wrappers.append(wrapper)
        made = wrapper(x)
        self.before[id(made)] = wrapper if config.output else None
        return made

    def _range(self, layer: Any) -> Quantizer | None:
        """Return how a layer's output is rounded: not at all where the next one, alone, joins it to others."""
        following = self._only_consumer(layer)
        return None if type(following).__name__ == "Concatenate" else FollowingRange()

    def _only_consumer(self, layer: Any) -> Any:
        found = self.consumers.get(id(layer.output), [])
        return found[0] if len(found) == 1 else None

    def _rectified_alone(self, layer: Any) -> bool:
        return _rectifier_of(self._only_consumer(layer)) is not None

    def _tail(self, layer: Any) -> Any:
        """Return the last of the layers that go into one kernel: normalisation and rectifier after a convolution."""
        last = layer
        following = self._only_consumer(last)
        folds = type(layer).__name__ in _KERNELS and _activation(layer) == "linear"
        if folds and type(following).__name__ == "BatchNormalization":
            self.merged.add(following.name)
            last, following = following, self._only_consumer(following)
        rectifies = type(last).__name__ == "BatchNormalization" or _activation(last) == "linear"
        if rectifies and _rectifier_of(following) is not None:
            self.merged.add(following.name)
            last = following
        return last

    def _rectifier(self, layer: Any) -> Any:
        tail = self._tail(layer)
        if tail is layer:
            own = _activation(layer) if type(layer).__name__ in _KERNELS else "linear"
            return {"relu": "relu", "relu6": tf.nn.relu6}.get(own, "linear")
        return _rectifier_of(tail) or "linear"


class _Quotient(tf_keras.layers.Layer):
    """The first tensor divided by the second."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return the quotient."""
        return inputs[0] / inputs[1]

    def compute_output_shape(self, input_shape: list[Any]) -> Any:
        """Return the first one's shape."""
        return input_shape[0]


def _weight(wrapper: Any, name: str) -> Any:
    """Return a variable of a wrapped layer by the last part of its name."""
    return next(v for v in wrapper.weights if v.name.rsplit("/", 1)[-1].split(":")[0] == name)


def _output_step(wrapper: Any) -> float:
    """Return the size of the steps of a wrapper's output."""
    output = wrapper.quantize_config.output
    if isinstance(output, FixedRange):
        return (output.high - output.low) / 255
    return float(_weight(wrapper, "output_high").numpy() - _weight(wrapper, "output_low").numpy()) / 255


def _plus_one(x: tf.Tensor) -> tf.Tensor:
    return x + 1.0


def _inputs(layer: Any) -> list[Any]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _copy(layer: Any) -> Any:
    # a layer's own seed would draw the same masks after an interruption as at the beginning
    return type(layer).from_config({key: value for key, value in layer.get_config().items() if key != "seed"})


def _activation(layer: Any) -> str:
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def _rectifier_of(layer: Any) -> Any:
    """Return the activation that a layer adds to the kernel before it: relu or relu6, or None."""
    kind = type(layer).__name__
    if kind == "Activation":
        return {"relu": "relu", "relu6": tf.nn.relu6}.get(_activation(layer))
    if kind == "ReLU" and not layer.negative_slope and not layer.threshold:
        return {None: "relu", 6.0: tf.nn.relu6}.get(None if layer.max_value is None else float(layer.max_value))
    return None


def _affine(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor and the offset, (channels,) each, that a batch normalisation is in use."""
    values = dict(zip((w.name.rsplit("/", 1)[-1].split(":")[0] for w in norm.weights), norm.get_weights(), strict=True))
    scale = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + norm.epsilon)
    return scale.astype(np.float32), (values.get("beta", 0.0) - values["moving_mean"] * scale).astype(np.float32)
