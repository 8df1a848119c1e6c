"""Residual blocks: EAN's and LCNN's."""

from __future__ import annotations

import keras
from keras import layers

from kerafer.layers.attention import eca
from kerafer.layers.core import activate, batch_norm, conv_bn, depthwise_bn


def inverted_residual_eca(
    x: keras.KerasTensor,
    filters: int,
    *,
    name: str,
    expansion: int,
    strides: int = 1,
    kernel_size: int | str | None = 3,
    padding: str = "same",
) -> keras.KerasTensor:
    """EAN's block: expand 1x1, depthwise 3x3, project 1x1, channel attention, shortcut where the shape allows.

    The expansion is kept when `expansion` is 1 (only so do the paper's parameter counts come out), and nothing is
    activated after the projection or the addition.

    Args:
        x: (batch, height, width, channels).
        filters: output channels.
        name: prefix of the layers' names.
        expansion: factor from input channels to the block's inner width.
        strides: step of the depthwise convolution.
        kernel_size: neighbours seen by the attention, see `eca`; None leaves it out.
        padding: see `pad`.

    Returns:
        (batch, height / strides, width / strides, filters), rounded up.
    """
    h = conv_bn(x, x.shape[-1] * expansion, 1, name=f"{name}_expand")
    h = depthwise_bn(h, 3, name=f"{name}_depthwise", strides=strides, padding=padding)
    h = conv_bn(h, filters, 1, name=f"{name}_project", activation=None)
    if kernel_size is not None:
        h = eca(h, name=f"{name}_eca", kernel_size=kernel_size)
    if strides == 1 and x.shape[-1] == filters:
        h = layers.Add(name=f"{name}_add")([x, h])
    return h


def residual_separable(
    x: keras.KerasTensor, filters: int, *, name: str, strides: int = 2, normalization: dict[str, float] | None = None
) -> keras.KerasTensor:
    """LCNN's block: two depthwise-separable convolutions and a max pool, beside a strided 1x1 shortcut.

    ``y = pool(bn(sep(relu(bn(sep(x)))))) + bn(conv1x1(x))``; nothing is activated after the addition. A separable
    convolution is written as its two convolutions, depthwise 3x3 and pointwise 1x1, without normalisation between.

    Args:
        x: (batch, height, width, channels).
        filters: output channels.
        name: prefix of the layers' names.
        strides: step of the pool and of the shortcut.
        normalization: `epsilon` and `momentum` of the batch normalisations, where they are not PyTorch's.

    Returns:
        (batch, height / strides, width / strides, filters), rounded up.

    Reference:
        LCNN (Zhou et al., IEEE Access 2020), section III; Arriaga et al., 2017 (mini-Xception).
    """
    normalization = normalization or {}
    shortcut = conv_bn(
        x, filters, 1, name=f"{name}_shortcut", strides=strides, activation=None, normalization=normalization
    )
    for part, activation in (("separable1", "relu"), ("separable2", None)):
        prefix = f"{name}_{part}"
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{prefix}_depthwise")(x)
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{prefix}_pointwise")(x)
        x = activate(batch_norm(x, f"{prefix}_bn", **normalization), activation, prefix)
    x = layers.MaxPooling2D(3, strides, padding="same", name=f"{name}_pool")(x)
    return layers.Add(name=f"{name}_add")([x, shortcut])
