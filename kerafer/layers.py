"""Building blocks, composed of standard Keras layers only.

Standard layers train on every Keras backend, translate to `tf_keras` for quantization-aware training, and convert to
clean `.tflite` graphs; a custom layer would do none of these (see `quantize/twin.py`). So a block here is a function
from tensor to tensor, as in `keras.applications`.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

BN_EPSILON = 1e-5
"""PyTorch's default, which the papers' code used; Keras's own is 1e-3."""

BN_MOMENTUM = 0.9
"""PyTorch's momentum of 0.1, in Keras's terms."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in gray (ITU-R BT.601), as in OpenCV, Pillow and JPEG."""


def batch_norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Batch normalisation with the papers' epsilon and momentum."""
    return layers.BatchNormalization(epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name=name)(x)


def conv_bn(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
    padding: str = "same",
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, and an optional activation.

    Args:
        x: (batch, height, width, channels).
        filters: output channels.
        kernel_size: side of the kernel.
        name: prefix of the layers' names.
        strides: step on both axes.
        activation: name of a Keras activation, or None.
        padding: `"same"`, or `"symmetric"` for PyTorch's padding (see `pad`).

    Returns:
        (batch, height / strides, width / strides, filters), rounded up.
    """
    x, keras_padding = pad(x, kernel_size, strides, padding, f"{name}_pad")
    x = layers.Conv2D(filters, kernel_size, strides, padding=keras_padding, use_bias=False, name=f"{name}_conv")(x)
    x = batch_norm(x, f"{name}_bn")
    return x if activation is None else layers.Activation(activation, name=f"{name}_{activation}")(x)


def depthwise_bn(
    x: keras.KerasTensor,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
    padding: str = "same",
) -> keras.KerasTensor:
    """Depthwise convolution without bias, batch normalisation, and an optional activation; arguments as `conv_bn`."""
    x, keras_padding = pad(x, kernel_size, strides, padding, f"{name}_pad")
    x = layers.DepthwiseConv2D(kernel_size, strides, padding=keras_padding, use_bias=False, name=f"{name}_conv")(x)
    x = batch_norm(x, f"{name}_bn")
    return x if activation is None else layers.Activation(activation, name=f"{name}_{activation}")(x)


def pad(x: keras.KerasTensor, kernel_size: int, strides: int, padding: str, name: str) -> tuple[keras.KerasTensor, str]:
    """Apply the chosen padding, and return the tensor with the `padding` argument left for the convolution.

    TensorFlow's `same` pads only bottom and right of an even map at stride 2, PyTorch pads all four sides. Weights
    port exactly only with the padding that they were trained with.

    Raises:
        ValueError: if `padding` is neither `"same"` nor `"symmetric"`.
    """
    if padding == "same" or (padding == "symmetric" and strides == 1):
        return x, "same"
    if padding == "symmetric":
        return layers.ZeroPadding2D(kernel_size // 2, name=name)(x), "valid"
    raise ValueError(f'`padding` must be "same" or "symmetric". Received: padding={padding!r}')


def eca(x: keras.KerasTensor, *, name: str, kernel_size: int = 3) -> keras.KerasTensor:
    """Efficient channel attention: scale each channel by what its neighbours in channel order say.

    ``y = x * sigmoid(conv1d(mean_hw(x)))``, the convolution sliding over channels, zero-padded, without bias.
    It is written as a Conv2D over a (1, channels, 1) map, since quantization tools know no Conv1D.

    Args:
        x: (batch, height, width, channels).
        name: prefix of the layers' names.
        kernel_size: odd number of neighbouring channels.

    Returns:
        The shape of `x`.

    Raises:
        ValueError: if `kernel_size` is not odd and positive.

    Reference:
        Wang et al., ECA-Net, CVPR 2020, equation (7); EAN, IET Image Processing 2022, section 3.1.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"`kernel_size` must be odd and positive. Received: kernel_size={kernel_size}")
    channels = x.shape[-1]
    w = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)  # (b, 1, 1, c)
    w = layers.Reshape((1, channels, 1), name=f"{name}_to_row")(w)  # (b, 1, c, 1)
    w = layers.Conv2D(1, (1, kernel_size), padding="same", use_bias=False, name=f"{name}_conv")(w)  # (b, 1, c, 1)
    w = layers.Reshape((1, 1, channels), name=f"{name}_to_channels")(w)  # (b, 1, 1, c)
    w = layers.Activation("sigmoid", name=f"{name}_sigmoid")(w)
    return layers.Multiply(name=f"{name}_scale")([x, w])


def inverted_residual_eca(
    x: keras.KerasTensor,
    filters: int,
    *,
    name: str,
    expansion: int,
    strides: int = 1,
    kernel_size: int | None = 3,
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
        kernel_size: neighbours seen by the attention; None leaves it out.
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


def fold_luma(model: keras.Model) -> None:
    """Make a 3-channel model that was trained on gray pictures see gray in colour pictures, in place.

    A gray picture arrives as three equal channels, so the first convolution only ever used the sum of its kernel over
    the input channels. Giving each channel its luma share of that sum, ``W'[c] = LUMA[c] * sum_d W[d]``, changes no
    output for gray input (the shares add up to 1) and makes the model convert colour to gray inside its own weights:
    no extra operator, nothing for an app to do.

    Args:
        model: a functional model whose single input has 3 channels and feeds a Conv2D, possibly through padding.

    Raises:
        ValueError: if the first weighted layer is no Conv2D on 3 channels.
    """
    first = next((layer for layer in model.layers if layer.weights), None)
    if not isinstance(first, layers.Conv2D) or first.kernel.shape[2] != 3:
        raise ValueError(
            "`model` must begin with a Conv2D on 3 channels, so that colour can be folded into it. "
            f"Received: first weighted layer {first and first.name!r}"
        )
    kernel = keras.ops.convert_to_numpy(first.kernel)  # (kh, kw, 3, filters)
    total = kernel.sum(axis=2, keepdims=True)
    first.kernel.assign(total * np.asarray(LUMA, np.float32)[:, None])
