"""Parameters, operations and memory of a model, layer by layer, under the rulers that the papers used.

The four papers counted with different tools, so their FLOPs must never stand in one column. A ruler here is a set of
prices for what each kind of layer does; the prices were found by reproducing the papers' own figures to the digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from math import prod
from typing import TYPE_CHECKING, Any

from kerafer.specs import REGISTRY, ModelSpec

if TYPE_CHECKING:
    import keras

BYTES = 4
"""Of one float32 value."""

# What runs in place of its input, or is folded into the layer before, where a model is deployed.
_IN_PLACE = ("BatchNormalization", "Activation", "ReLU", "Reshape", "Flatten", "Dropout", "Rescaling")
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
_POOLS = ("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D")


@dataclass(frozen=True)
class Ruler:
    """How a counting tool prices layers.

    Args:
        description: the tool and who used it.
        per_mac: operations of one multiply-accumulate of a convolution.
        first_add_free: True where the first addition of each output is not counted (2K - 1 instead of 2K).
        bias: operations per output element of a convolution with bias.
        batch_norm: operations per element of a batch normalisation.
        dense: whether fully connected layers count (their multiply-accumulates, never their bias).
        row_convolutions: whether one-dimensional convolutions (the channel attention's) count.
        relu: operations per element of a ReLU or ReLU6.
        pool_inputs: operations per input element of a pooling.
        global_pool: True where a global average costs one operation per input and one per output element.
    """

    description: str
    per_mac: int = 1
    first_add_free: bool = False
    bias: int = 1
    batch_norm: int = 2
    dense: bool = True
    row_convolutions: bool = False
    relu: int = 0
    pool_inputs: int = 0
    global_pool: bool = False

    def price(self, layer: LayerProfile) -> int:
        """Return a layer's operations."""
        if layer.kind == "BatchNormalization":
            return self.batch_norm * layer.outputs
        if layer.is_relu:
            return self.relu * layer.outputs
        if layer.kind in _POOLS:
            is_global = self.global_pool and layer.kind == "GlobalAveragePooling2D"
            return self.pool_inputs * layer.inputs + (layer.inputs + layer.outputs if is_global else 0)
        if layer.kind == "Dense":
            return layer.macs if self.dense else 0
        if not layer.macs or (layer.is_row_convolution and not self.row_convolutions):
            return 0
        first = layer.outputs if self.first_add_free else 0
        return self.per_mac * layer.macs - first + (self.bias * layer.outputs if layer.has_bias else 0)


RULERS: dict[str, Ruler] = {
    "macs": Ruler("multiply-accumulates of convolutions and dense layers", bias=0, batch_norm=0, row_convolutions=True),
    "torchstat": Ruler(
        "torchstat 0.0.7: MACs, 2 per normalised element, ReLU and pooling (EAN)", relu=1, pool_inputs=1
    ),
    "thop": Ruler("thop 0.0.31: MACs, 2 per normalised element, global pooling (EfficientFace)", global_pool=True),
    "conv_ops": Ruler(
        "convolutions only, 2K - 1 per output (LFER-LDL)", per_mac=2, first_add_free=True, batch_norm=0, dense=False
    ),
}


@dataclass(frozen=True)
class LayerProfile:
    """One layer, for one picture: what it is, and what a ruler needs to price it.

    Args:
        name: of the layer.
        kind: its class.
        output_shape: without the batch axis.
        parameters: trainable ones.
        macs: multiply-accumulates.
        inputs: elements of its (first) input.
        outputs: elements of its output.
        has_bias: whether it is a convolution or dense layer with bias.
        is_row_convolution: whether it is a one-dimensional convolution, written as a Conv2D.
        is_relu: whether it is a ReLU or ReLU6.
        flops: operations by ruler; 0 where the paper's tool did not see the layer.
        memory: bytes read and written, as torchstat counts.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    inputs: int
    outputs: int
    has_bias: bool
    is_row_convolution: bool
    is_relu: bool

    flops: Mapping[str, int] = field(default_factory=dict)
    memory: int = 0


@dataclass(frozen=True)
class Profile:
    """What `profile` measured, for one picture.

    Args:
        model: name of the model.
        input_shape: without the batch axis.
        trainable_parameters: what papers call parameters.
        total_parameters: with batch normalisation's moving statistics.
        conv_parameters: of convolutions alone, as the LFER-LDL paper counts.
        conv_macs: multiply-accumulates of convolutions alone.
        flops: operations by ruler.
        memory: bytes read and written, as torchstat counts ("MemR+W") with float32 values.
        activation_peak: bytes of all maps alive at once, at the worst moment: float32, layers in Keras's order, batch
            normalisation and activations in place. A runtime that orders and packs better needs less.
        layers: one entry per layer.
    """

    model: str
    input_shape: tuple[int, ...]
    trainable_parameters: int
    total_parameters: int
    conv_parameters: int
    conv_macs: int
    flops: Mapping[str, int]
    memory: int
    activation_peak: int
    layers: tuple[LayerProfile, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def profile(model: keras.Model, spec: ModelSpec | None = None) -> Profile:
    """Count parameters, operations and memory of a functional model at its own input size, batch size 1.

    Args:
        model: a functional model with a static input shape.
        spec: tells which layers the paper's tool did not see; by default that of the model's name, if it has one.

    Returns:
        Totals under every ruler, and one entry per layer.

    Raises:
        ValueError: if the input shape is not static, or a layer's operations are not known.

    Example:
        >>> import kerafer
        >>> kerafer.profile(kerafer.build_model("ean")).flops["torchstat"]
        5054158
    """
    if None in model.input_shape[1:]:
        raise ValueError(f"`model` needs a static input shape to be counted. Received: {model.input_shape}")
    spec = spec or REGISTRY.get(model.name)
    made_by = {id(layer.output): layer for layer in model.layers}
    rows = tuple(_layer(layer, made_by) for layer in model.layers)
    rows = tuple(_priced(row, spec) for row in rows)
    flops = {name: sum(row.flops[name] for row in rows) for name in RULERS}
    if spec and tuple(model.input_shape[1:]) == tuple(spec.input_shape):
        flops = {name: count + spec.idle.get(name, 0) for name, count in flops.items()}
    return Profile(
        model=model.name,
        input_shape=tuple(model.input_shape[1:]),
        trainable_parameters=sum(prod(w.shape) for w in model.trainable_weights),
        total_parameters=model.count_params(),
        conv_parameters=sum(row.parameters for row in rows if row.kind in _CONVOLUTIONS),
        conv_macs=sum(row.macs for row in rows if row.kind in _CONVOLUTIONS),
        flops=flops,
        memory=sum(row.memory for row in rows),
        activation_peak=_activation_peak(model),
        layers=rows,
    )


def _priced(layer: LayerProfile, spec: ModelSpec | None) -> LayerProfile:
    """Return the layer with its operations and memory, as the paper's tools saw it."""

    def sees(ruler: str) -> bool:
        return not any(fnmatch(layer.name, pattern) for pattern in (spec.unseen.get(ruler, ()) if spec else ()))

    known = layer.is_relu or layer.kind in (*_CONVOLUTIONS, *_POOLS, "BatchNormalization", "Dense")
    counts = known and not layer.is_row_convolution and sees("torchstat")
    return replace(
        layer,
        flops={name: ruler.price(layer) if sees(name) else 0 for name, ruler in RULERS.items()},
        memory=BYTES * (layer.inputs + layer.parameters + layer.outputs) if counts else 0,
    )


def _layer(layer: keras.Layer, made_by: Mapping[int, keras.Layer]) -> LayerProfile:
    kind = type(layer).__name__
    if kind not in (*_CONVOLUTIONS, "Dense", "BatchNormalization") and layer.weights:
        raise ValueError(
            f"`model` holds {layer.name!r}, a {kind} with weights, whose operations are not known here. Known are "
            f"{', '.join(_CONVOLUTIONS)}, Dense and BatchNormalization; a model within a model must be unpacked."
        )
    output = tuple(layer.output.shape[1:])
    macs = _macs(layer, kind, output)
    given = _inputs(layer)[0] if kind != "InputLayer" else layer.output
    if kind in (*_CONVOLUTIONS, *_POOLS) and _only_frames(made_by.get(id(given)), layer):
        given = made_by[id(given)].input
    return LayerProfile(
        name=layer.name,
        kind=kind,
        output_shape=output,
        parameters=sum(prod(w.shape) for w in layer.trainable_weights),
        macs=macs,
        inputs=prod(given.shape[1:]),
        outputs=prod(output),
        has_bias=bool(macs) and layer.use_bias,
        # A Conv2D that slides one channel along a map of height 1 is a Conv1D in Conv2D's clothes (layers.eca).
        is_row_convolution=kind == "Conv2D" and output[0] == 1 and layer.kernel_size[0] == 1 and output[-1] == 1,
        is_relu=kind == "ReLU" or (kind == "Activation" and layer.get_config()["activation"] == "relu"),
    )


def _only_frames(before: keras.Layer | None, layer: keras.Layer) -> bool:
    """Tell whether a layer pads or crops for the next one: part of the convolution in other frameworks."""
    kind = type(before).__name__
    is_strided_point = getattr(layer, "kernel_size", None) == (1, 1) and max(layer.strides) > 1
    return kind == "ZeroPadding2D" or (kind == "Cropping2D" and is_strided_point)


def _macs(layer: keras.Layer, kind: str, output: tuple[int, ...]) -> int:
    if kind == "Conv2D":
        kernel_height, kernel_width, channels_per_group, _ = layer.kernel.shape
        return kernel_height * kernel_width * channels_per_group * prod(output)
    if kind == "DepthwiseConv2D":
        return prod(layer.kernel_size) * prod(output)
    if kind == "SeparableConv2D":
        channels = layer.depthwise_kernel.shape[2] * layer.depth_multiplier
        positions = prod(output[:2])
        return positions * channels * (prod(layer.kernel_size) + layer.filters)
    if kind == "Dense":
        return layer.kernel.shape[0] * prod(output)
    return 0


def _inputs(layer: keras.Layer) -> list[keras.KerasTensor]:
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _activation_peak(model: keras.Model) -> int:
    """Return the bytes of the maps alive at the worst moment; see `Profile.activation_peak`."""
    last_use = {}  # by map: the position of the last layer that reads it
    for position, layer in enumerate(model.layers):
        for tensor in _inputs(layer) if position else ():
            last_use[id(tensor)] = position
    last_use[id(model.output)] = len(model.layers)
    alive: dict[int, int] = {}
    peak = 0
    for position, layer in enumerate(model.layers):
        dying = [id(t) for t in (_inputs(layer) if position else ()) if last_use[id(t)] == position]
        if type(layer).__name__ in _IN_PLACE:  # the output takes the input's room
            for tensor in dying:
                alive.pop(tensor, None)
            dying = []
        alive[id(layer.output)] = BYTES * prod(layer.output.shape[1:])
        peak = max(peak, sum(alive.values()))
        for tensor in dying:
            alive.pop(tensor, None)
    return peak
