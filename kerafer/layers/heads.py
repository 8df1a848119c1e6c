"""From the last map to class probabilities."""

from __future__ import annotations

import keras
from keras import layers

from kerafer.layers.core import batch_norm, conv_bn, mish


def classify(logits: keras.KerasTensor, classifier_activation: str | None) -> keras.KerasTensor:
    """Turn logits (batch, classes) into a model's output: `"softmax"` probabilities, or the logits for None."""
    if classifier_activation is None:
        return logits
    return layers.Activation(classifier_activation, name="predictions")(logits)


def conv_gap_head(
    x: keras.KerasTensor,
    classes: int,
    *,
    name: str = "tail",
    normalized: bool = True,
    classifier_activation: str | None = "softmax",
) -> keras.KerasTensor:
    """A head without dense layer: 3x3 convolution to one map a class, then ``softmax(mean_hw(maps))``.

    Args:
        x: (batch, height, width, channels).
        classes: number of classes.
        name: prefix of the convolution's name.
        normalized: True for batch normalisation of the maps (EAN), False for a bias instead (LCNN).
        classifier_activation: see `classify`.

    Returns:
        (batch, classes).

    Reference:
        Lin et al., Network in Network, ICLR 2014, section 3.2; LCNN, section III; EAN, figure 3.
    """
    if normalized:
        x = conv_bn(x, classes, 3, name=name, activation=None)  # (b, h, w, classes)
    else:
        x = layers.Conv2D(classes, 3, padding="same", name=f"{name}_conv")(x)  # (b, h, w, classes)
    return classify(layers.GlobalAveragePooling2D(name="logits")(x), classifier_activation)


def output_module(
    x: keras.KerasTensor,
    classes: int,
    *,
    name: str = "head",
    pool: int = 1,
    batch_normalized: bool = False,
    use_bias: bool = False,
    mish_logits: bool = False,
    classifier_activation: str | None = "softmax",
) -> keras.KerasTensor:
    """LFER-LDL's improved output module in place of a dense layer.

    ``softmax(conv1x1(mish(depthwise3x3(pool(x)))))``. The paper's counts fix the kernel (3), that the depthwise
    convolution has one output position, and that the 1x1 convolution is the classifier. They leave open the rest,
    which is therefore an argument; the defaults follow the text literally.

    Args:
        x: (batch, height, width, channels).
        classes: number of classes.
        name: prefix of the layers' names.
        pool: 1 pools the whole map to one place (the paper's "global average pooling"; eight of the nine depthwise
            weights then only ever see padding), 3 pools to 3x3 places, which the kernel covers exactly.
        batch_normalized: batch normalisation after the depthwise convolution.
        use_bias: bias in both convolutions.
        mish_logits: Mish after the 1x1 convolution too.
        classifier_activation: see `classify`.

    Returns:
        (batch, classes).

    Raises:
        ValueError: if `pool` is neither 1 nor 3, or the map is smaller than `pool`.

    Reference:
        LFER-LDL (Liu, Luo, Xu, 2022), section 1.1, figure 2.
    """
    _, height, width, _ = x.shape
    if pool == 1:
        x = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)  # (b, 1, 1, c)
        padding = "same"
    elif pool == 3 and min(height, width) >= 3:
        strides = (height // 3, width // 3)
        window = (height - 2 * strides[0], width - 2 * strides[1])
        x = layers.AveragePooling2D(window, strides, name=f"{name}_pool")(x)  # (b, 3, 3, c)
        padding = "valid"
    else:
        raise ValueError(
            f"`pool` must be 1, or 3 for a map of at least 3x3. Received: pool={pool!r} for a map of {height}x{width}"
        )
    x = layers.DepthwiseConv2D(3, padding=padding, use_bias=use_bias, name=f"{name}_depthwise_conv")(x)  # (b, 1, 1, c)
    if batch_normalized:
        x = batch_norm(x, f"{name}_depthwise_bn")
    x = mish(x, name=f"{name}_mish")
    x = layers.Conv2D(classes, 1, use_bias=use_bias, name=f"{name}_pointwise_conv")(x)  # (b, 1, 1, classes)
    if mish_logits:
        x = mish(x, name=f"{name}_logits_mish")
    return classify(layers.Reshape((classes,), name="logits")(x), classifier_activation)
