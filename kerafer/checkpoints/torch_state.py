"""A PyTorch model's tensors into the same network of the zoo.

A tensor is placed by its name, never by its position, and everything that is missing, left over or misshapen is named
before a single weight changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.zoo import model_spec

if TYPE_CHECKING:
    import keras

_SHOWN = 10
"""How many names an error lists of each kind."""


def load_torch_state(model: keras.Model, state: Mapping[str, Any]) -> keras.Model:
    """Put a PyTorch model's tensors into the same network of the zoo.

    Convolutions, dense layers and batch normalisations get the numbers that the PyTorch model computes with, so that
    logits agree to float rounding; `num_batches_tracked` is left aside, since nothing depends on it.

    Args:
        model: built with `padding="symmetric"`; unchanged if anything does not fit. Its name tells the network: one of
            efficientface, its parts and lfer's, shufflenet_v2, resnet18, ldg_resnet50, ean.
        state: arrays or tensors by their names in PyTorch, such as `conv1.0.weight`.

    Returns:
        The same model.

    Raises:
        ValueError: if tensors are missing, left over or misshapen (all are listed), if the model pads otherwise than
            PyTorch, or if its network has no PyTorch names.

    Example:
        >>> import kerafer
        >>> model = kerafer.build_model("ean", padding="symmetric")
        >>> kerafer.load_torch_state(model, {})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: `state` does not fit ean: ... missing (f.0.weight (16, 3, 3, 3), ...

    Reference:
        PyTorch names: of the official code for EfficientFace; of torchvision for the others; EfficientFace's plus
        `out.dw`, `out.bn1`, `out.pw` for LFER-LDL; `f.0` to `f.10` for EAN.
    """
    spec = model_spec(model.name)
    if spec.torch_names is None:
        raise ValueError(f"`model` must be a network with known PyTorch names. Received: {model.name}")
    _refuse_other_padding(model)
    names = spec.torch_names()
    arrays = {name: np.asarray(value) for name, value in state.items() if not name.endswith("num_batches_tracked")}
    missing, misshapen, used, values = [], [], set(), []
    for layer in (layer for layer in model.layers if layer.weights):
        filled = []
        for weight, (tensor, shape, to_keras) in zip(
            layer.weights, torch_tensors(layer, names[layer.name]), strict=True
        ):
            if tensor not in arrays:
                missing.append(f"{tensor} {shape}")
                continue
            used.add(tensor)
            if arrays[tensor].shape != shape:
                misshapen.append(f"{tensor}: {arrays[tensor].shape} instead of {shape}")
                continue
            filled.append(to_keras(arrays[tensor]).reshape(tuple(weight.shape)))
        values.append((layer, filled))
    surplus = sorted(set(arrays) - used)
    if missing or surplus or misshapen:
        problems = {"missing": missing, "not in the model": surplus, "misshapen": misshapen}
        told = "; ".join(f"{len(found)} {kind} ({_some(found)})" for kind, found in problems.items() if found)
        raise ValueError(f"`state` does not fit {model.name}: {told}.")
    for layer, filled in values:
        layer.set_weights(filled)
    return model


def torch_tensors(layer: keras.Layer, name: str) -> list[tuple[str, tuple[int, ...], Any]]:
    """Return for each weight of a layer, in Keras's order: PyTorch's name and shape, and the way to Keras's layout."""
    kind = type(layer).__name__
    if kind == "BatchNormalization":
        parts = ("weight", "bias", "running_mean", "running_var")
        return [(f"{name}.{part}", tuple(layer.gamma.shape), lambda a: a) for part in parts]
    shape = tuple(layer.kernel.shape)
    if kind == "Dense":
        kernel = (shape[::-1], np.transpose)
    elif kind == "DepthwiseConv2D":  # PyTorch's channel c * multiplier + m is Keras's too
        height, width, channels, multiplier = shape
        kernel = (
            (channels * multiplier, 1, height, width),
            lambda a: a.reshape(channels, multiplier, height, width).transpose(2, 3, 0, 1),
        )
    elif shape[0] == 1 and shape[2:] == (1, 1):  # the channel attention's, a Conv1d there
        kernel = ((1, 1, shape[1]), lambda a: a)
    else:
        kernel = ((shape[3], shape[2], *shape[:2]), lambda a: a.transpose(2, 3, 1, 0))
    found = [(f"{name}.weight", *kernel)]
    if layer.use_bias:
        found.append((f"{name}.bias", tuple(layer.bias.shape), lambda a: a))
    return found


def _refuse_other_padding(model: keras.Model) -> None:
    for layer in model.layers:
        strided = getattr(layer, "strides", (1, 1))
        window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", (1, 1))
        if max(strided) > 1 and max(window) > 1 and layer.padding == "same":
            raise ValueError(
                f'`model` must be built with padding="symmetric": {layer.name} pads as TensorFlow does, so PyTorch\'s '
                "weights would give other numbers."
            )


def _some(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
