"""Which Keras models can be exported: graphs of standard layers, in whatever models within models.

What cannot is refused by the name of its layer, before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

# Layers that give their input back outside training.
_IDLE = (
    *("ActivityRegularization", "GaussianDropout", "GaussianNoise", "Identity"),
    *("AugMix", "CutMix", "MixUp", "RandAugment", "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter"),
    *("RandomContrast", "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur"),
    *("RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation"),
    *("RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom"),
)


def in_single_precision(model: keras.Model) -> keras.Model:
    """Return a model that computes in float32: the same one, or a copy of one trained in half precision.

    Args:
        model: a functional or sequential model under any float policy.

    Returns:
        A model with the same layer names, and weights in float32.

    Example:
        >>> import keras
        >>> from kerafer.quantization.graphs import in_single_precision
        >>> half = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="mixed_bfloat16")])
        >>> in_single_precision(half).layers[-1].dtype_policy.name
        'float32'
    """
    import keras

    def single(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    if all(getattr(layer.dtype_policy, "name", "float32") == "float32" for layer in _leaves(model)):
        return model
    copy = keras.models.clone_model(model, clone_function=single, recursive=True)
    copy.set_weights([value if value.dtype.kind in "iu" else value.astype(np.float32) for value in model.get_weights()])
    return copy


def is_graph(model: Any) -> bool:
    """Tell whether a Keras model is a graph of layers, and so can be unpacked."""
    import keras

    return (hasattr(model, "operations") or isinstance(model, keras.Sequential)) and bool(getattr(model, "inputs", ()))


def operations(model: keras.Model) -> Iterator[Any]:
    """Yield the layers, and the operations that are no layers, of a model and of the models within it."""
    for operation in getattr(model, "operations", None) or model.layers:
        if is_graph(operation):
            yield from operations(operation)
        else:
            yield operation


def _leaves(model: keras.Model) -> Iterator[keras.Layer]:
    import keras

    return (operation for operation in operations(model) if isinstance(operation, keras.layers.Layer))


def check_model(model: Any) -> None:
    """Refuse what is no graph of layers with one float input of fixed size and one output.

    Raises:
        TypeError: if it is another kind of model, or has more inputs, outputs or an integer input.
        ValueError: if the input's size is not fixed.
    """
    import keras

    if not isinstance(model, keras.Model) or not is_graph(model) or len(model.inputs) != 1 or len(model.outputs) != 1:
        counts = ""
        if is_graph(model):
            names = [tensor.name for tensor in (model.outputs if len(model.inputs) == 1 else model.inputs)]
            counts = f" with the {'outputs' if len(model.inputs) == 1 else 'inputs'} {', '.join(names)}"
        raise TypeError(
            "`model` must be a functional keras.Model with one input and one output (not subclassed, not Sequential "
            f"without input). Received: {type(model).__name__} named {getattr(model, 'name', model)!r}{counts}"
        )
    given = model.inputs[0]
    if None in given.shape[1:]:
        raise ValueError(
            f"`model` must have an input of fixed size, such as keras.Input((48, 48, 3)). Received: {given.shape}"
        )
    if "float" not in str(given.dtype):
        raise TypeError(
            f"`model` must have a float input; the int8 recipes make it uint8 by themselves. Received: {given.name!r} "
            f"of type {given.dtype}"
        )


def check_layer(operation: Any) -> None:
    """Refuse what is no standard layer of Keras.

    Raises:
        TypeError: naming the layer or operation, its class, and what to do.
    """
    import keras

    kind, name = type(operation).__name__, operation.name
    if isinstance(operation, keras.Model):
        raise TypeError(f"Layer {name!r} is {kind}, a subclassed model, which cannot be unpacked. Make it functional.")
    if not isinstance(operation, keras.layers.Layer):
        raise TypeError(
            f"Operation {name!r} is {type(operation).__module__}.{kind}: keras.ops (or an operator such as + or *) on "
            "the model's tensors. Use layers in its place: keras.layers.Add, Multiply, Rescaling, Activation ..."
        )
    if isinstance(operation, keras.layers.Lambda):
        raise TypeError(f"Layer {name!r} is a Lambda, whose Python code cannot be exported. Use standard layers.")
    ours = type(operation).__module__.startswith("kerafer.") and standard_class(operation) is not keras.layers.Layer
    if standard_class(operation) is not type(operation) and not ours:
        raise TypeError(
            f"Layer {name!r} is {type(operation).__module__}.{kind}, no standard layer of Keras. Compose the model of "
            "standard layers."
        )
    if getattr(operation, "data_format", None) == "channels_first":
        raise TypeError(f"Layer {name!r} has data_format='channels_first'; `.tflite` files keep channels last.")
    if getattr(operation.dtype_policy, "quantization_mode", None):
        raise TypeError(
            f"Layer {name!r} was quantized by Keras ({operation.dtype_policy.name}). Export the float model."
        )


def standard_class(layer: keras.Layer) -> type:
    """Return the class of `keras.layers` that a layer is: its own, or what it is derived from.

    Example:
        >>> import keras
        >>> from kerafer.training.quick_layers import FusedBatchNormalization
        >>> standard_class(FusedBatchNormalization()).__name__
        'BatchNormalization'
    """
    import keras

    return next(base for base in type(layer).__mro__ if getattr(keras.layers, base.__name__, None) is base)


def is_idle(layer: keras.Layer) -> bool:
    """Tell whether a layer gives its input back outside training."""
    kind = type(layer).__name__
    return kind in _IDLE or (kind == "Pipeline" and all(is_idle(part) for part in layer.layers))
