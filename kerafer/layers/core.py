"""Convolution, batch normalisation and activation: what every block is made of."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

BN_EPSILON = 1e-5
"""PyTorch's default, which the papers' code used; Keras's own is 1e-3."""

BN_MOMENTUM = 0.9
"""PyTorch's momentum of 0.1, in Keras's terms."""


def batch_norm(
    x: keras.KerasTensor, name: str, *, epsilon: float = BN_EPSILON, momentum: float = BN_MOMENTUM
) -> keras.KerasTensor:
    """Batch normalisation over all axes but the last, with the papers' epsilon and momentum."""
    return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=name)(x)


def activate(x: keras.KerasTensor, activation: str | None, name: str) -> keras.KerasTensor:
    """Apply an activation as a layer of its own, named `NAME_ACTIVATION`.

    Args:
        x: any shape.
        activation: `"relu6"` (``min(max(x, 0), 6)``), `"mish"` (see `mish`), the name of a Keras activation, or None.
        name: prefix of the layer's name.

    Returns:
        The shape of `x`.
    """
    if activation is None:
        return x
    if activation == "relu6":
        return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x)
    if activation == "mish":
        return mish(x, name=f"{name}_mish")
    return layers.Activation(activation, name=f"{name}_{activation}")(x)


def conv_bn(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
    padding: str | None = "same",
    normalization: dict[str, float] | None = None,
    **conv: Any,
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, and an optional activation.

    Args:
        x: (batch, height, width, channels).
        filters: output channels.
        kernel_size: side of the kernel.
        name: prefix of the layers' names.
        strides: step on both axes.
        activation: see `activate`.
        padding: see `pad`.
        normalization: `epsilon` and `momentum` where they are not PyTorch's.
        **conv: further arguments of `keras.layers.Conv2D`, such as `dilation_rate`.

    Returns:
        (batch, height / strides, width / strides, filters), rounded up; smaller with `padding=None`.
    """
    x, keras_padding = pad(x, kernel_size, strides, padding, f"{name}_pad")
    if kernel_size == 1 and strides == 2:
        x = _odd(x, f"{name}_crop")
    conv = {"use_bias": False, **conv}
    x = layers.Conv2D(filters, kernel_size, strides, padding=keras_padding, name=f"{name}_conv", **conv)(x)
    x = batch_norm(x, f"{name}_bn", **(normalization or {}))
    return activate(x, activation, name)


def depthwise_bn(
    x: keras.KerasTensor,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
    padding: str = "same",
    depth_multiplier: int = 1,
) -> keras.KerasTensor:
    """Depthwise convolution without bias, batch normalisation, and an optional activation.

    Args:
        x: (batch, height, width, channels).
        kernel_size: side of the kernel.
        name: prefix of the layers' names.
        strides: step on both axes.
        activation: see `activate`.
        padding: see `pad`.
        depth_multiplier: output channels per input channel; they stand side by side, as in PyTorch.

    Returns:
        (batch, height / strides, width / strides, channels * depth_multiplier), rounded up.
    """
    x, keras_padding = pad(x, kernel_size, strides, padding, f"{name}_pad")
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides,
        padding=keras_padding,
        depth_multiplier=depth_multiplier,
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    return activate(batch_norm(x, f"{name}_bn"), activation, name)


def pad(
    x: keras.KerasTensor, kernel_size: int, strides: int, padding: str | None, name: str
) -> tuple[keras.KerasTensor, str]:
    """Apply the chosen padding, and return the tensor with the `padding` argument left for the convolution.

    TensorFlow's `same` pads only bottom and right of an even map at stride 2, PyTorch pads all four sides. Weights
    port exactly only with the padding that they were trained with.

    Args:
        x: (batch, height, width, channels).
        kernel_size: side of the kernel that follows.
        strides: its step.
        padding: `"same"`, `"symmetric"` (PyTorch's), or None for none.
        name: name of the padding layer, where one is needed.

    Raises:
        ValueError: if `padding` is none of these.
    """
    if padding is None:
        return x, "valid"
    if padding == "same" or (padding == "symmetric" and strides == 1):  # at stride 1 the two agree
        return x, "same"
    if padding == "symmetric":
        return (layers.ZeroPadding2D(kernel_size // 2, name=name)(x) if kernel_size > 1 else x), "valid"
    raise ValueError(f'`padding` must be "same" or "symmetric". Received: padding={padding!r}')


def _odd(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Cut the last row and column of an even map, which a 1x1 convolution of stride 2 never reads.

    With them, TensorFlow 2.21's gradient of such a convolution writes beyond its memory on a CPU and ends the process.
    """
    cut = tuple((0, 1 - side % 2) for side in x.shape[1:3])
    return layers.Cropping2D(cut, name=name)(x) if cut != ((0, 0), (0, 0)) else x


def mish(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Mish, ``x * tanh(ln(1 + e^x))``, written as ``x - 2 x s`` with ``s = softsign(sigmoid(-x)^2)``.

    The two are equal: ``tanh(ln(1 + e^x)) = (1 - w^2) / (1 + w^2)`` with ``w = sigmoid(-x)``, and softsign,
    ``v / (1 + |v|)``, is the only standard layer that divides. In this form nothing overflows in float16, and each
    step keeps a narrow range in int8, where tanh of softplus is off by more than 1.

    Args:
        x: any shape.
        name: prefix of the layers' names.

    Returns:
        The shape of `x`.

    Reference:
        LFER-LDL (Liu, Luo, Xu, 2022), section 1.1; Misra, Mish, BMVC 2020.
    """
    negative = layers.Rescaling(-1.0, name=f"{name}_negative")(x)
    w = layers.Activation("sigmoid", name=f"{name}_sigmoid")(negative)
    squared = layers.Multiply(name=f"{name}_square")([w, w])
    s = layers.Activation("softsign", name=f"{name}_softsign")(squared)
    doubled = layers.Add(name=f"{name}_double")([s, s])
    return layers.Add(name=f"{name}_sum")([x, layers.Multiply(name=f"{name}_scale")([negative, doubled])])
