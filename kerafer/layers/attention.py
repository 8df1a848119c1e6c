"""Attention: what a map says about itself, multiplied back onto it."""

from __future__ import annotations

import math

import keras
from keras import layers

from kerafer.layers.core import activate, batch_norm


def eca(x: keras.KerasTensor, *, name: str, kernel_size: int | str = 3) -> keras.KerasTensor:
    """Efficient channel attention: scale each channel by what its neighbours in channel order say.

    ``y = x * sigmoid(conv1d(mean_hw(x)))``, the convolution sliding over channels, zero-padded, without bias.
    It is written as a Conv2D over a (1, channels, 1) map, since quantization tools know no Conv1D.

    Args:
        x: (batch, height, width, channels).
        name: prefix of the layers' names.
        kernel_size: odd number of neighbouring channels, or `"adaptive"` for `eca_kernel_size` of the channels.

    Returns:
        The shape of `x`.

    Raises:
        ValueError: if `kernel_size` is not odd and positive.

    Reference:
        Wang et al., ECA-Net, CVPR 2020, equation (7); EAN, IET Image Processing 2022, section 3.1.
    """
    channels = x.shape[-1]
    if kernel_size == "adaptive":
        kernel_size = eca_kernel_size(channels)
    if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f'`kernel_size` must be odd and positive, or "adaptive". Received: kernel_size={kernel_size!r}'
        )
    w = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)  # (b, 1, 1, c)
    w = layers.Reshape((1, channels, 1), name=f"{name}_to_row")(w)  # (b, 1, c, 1)
    w = layers.Conv2D(1, (1, kernel_size), padding="same", use_bias=False, name=f"{name}_conv")(w)  # (b, 1, c, 1)
    w = layers.Reshape((1, 1, channels), name=f"{name}_to_channels")(w)  # (b, 1, 1, c)
    w = layers.Activation("sigmoid", name=f"{name}_sigmoid")(w)
    return layers.Multiply(name=f"{name}_scale")([x, w])


def eca_kernel_size(channels: int) -> int:
    """Return ECA-Net's adaptive kernel, the odd number nearest above ``log2(channels) / 2 + 1 / 2``.

    Example:
        >>> [eca_kernel_size(c) for c in (8, 64, 128, 512)]
        [3, 3, 5, 5]

    Reference:
        Wang et al., ECA-Net, CVPR 2020, equation (12) with gamma 2 and b 1.
    """
    size = int(abs(math.log2(channels) / 2 + 0.5))
    return size if size % 2 else size + 1


def channel_spatial_modulator(x: keras.KerasTensor, *, name: str, reduction: int = 16) -> keras.KerasTensor:
    """EfficientFace's modulator: ``y = x * sigmoid(channel(x) * spatial(x))``.

    ``channel`` is GAP, dense to channels / reduction, batch norm, ReLU, dense back: one number a channel.
    ``spatial`` is 1x1 to channels / reduction, two 3x3 of dilation 4, 1x1 to one map: one number a place.
    The paper's equation (1) adds the two; its code multiplies them, and the author says that multiplication is meant.

    Args:
        x: (batch, height, width, channels).
        name: prefix of the layers' names.
        reduction: how much narrower the inner maps are.

    Returns:
        The shape of `x`.

    Reference:
        EfficientFace (Zhao, Liu, Zhou, AAAI 2021), section 3.2; Park et al., BAM, BMVC 2018.
    """
    channels = x.shape[-1]
    inner = channels // reduction
    c = layers.GlobalAveragePooling2D(name=f"{name}_channel_pool")(x)  # (b, c)
    c = layers.Dense(inner, name=f"{name}_channel_reduce_dense")(c)  # (b, c / r)
    c = activate(batch_norm(c, f"{name}_channel_reduce_bn"), "relu", f"{name}_channel_reduce")
    c = layers.Dense(channels, name=f"{name}_channel_expand_dense")(c)  # (b, c)
    c = layers.Reshape((1, 1, channels), name=f"{name}_channel_map")(c)  # (b, 1, 1, c)
    s = x
    for part, kernel, dilation in (("reduce", 1, 1), ("dilated0", 3, 4), ("dilated1", 3, 4)):
        prefix = f"{name}_spatial_{part}"
        s = layers.Conv2D(inner, kernel, padding="same", dilation_rate=dilation, name=f"{prefix}_conv")(s)
        s = activate(batch_norm(s, f"{prefix}_bn"), "relu", prefix)  # (b, h, w, c / r)
    s = layers.Conv2D(1, 1, name=f"{name}_spatial_final_conv")(s)  # (b, h, w, 1)
    attention = layers.Multiply(name=f"{name}_both")([c, s])  # (b, h, w, c)
    attention = layers.Activation("sigmoid", name=f"{name}_sigmoid")(attention)
    return layers.Multiply(name=f"{name}_scale")([x, attention])
