"""ShuffleNetV2's unit, and the patch-wise local features of EfficientFace and LFER-LDL.

All stays within rank 4, since GPU runtimes take no more: a shuffle transposes (places, groups, channels), and a split
crops that same view.
"""

from __future__ import annotations

import keras
from keras import layers

from kerafer.layers.core import conv_bn, depthwise_bn

PATCHES = ("top_left", "bottom_left", "top_right", "bottom_right")
"""The quarters of a map in EfficientFace's order: 11, 21, 12, 22 as (row, column)."""


def channel_shuffle(x: keras.KerasTensor, *, name: str, groups: int = 2) -> keras.KerasTensor:
    """Interleave the channels of `groups` groups: ``y[..., i * groups + g] = x[..., g * (channels / groups) + i]``.

    Args:
        x: (batch, height, width, channels).
        name: prefix of the layers' names.
        groups: number of groups; must divide the channels.

    Returns:
        The shape of `x`.

    Raises:
        ValueError: if the channels cannot be divided.

    Reference:
        Zhang et al., ShuffleNet, CVPR 2018, section 3.1.
    """
    _, height, width, channels = x.shape
    _check_divisible(channels, groups)
    x = layers.Reshape((height * width, groups, channels // groups), name=f"{name}_apart")(x)  # (b, h * w, g, c / g)
    x = layers.Permute((1, 3, 2), name=f"{name}_swap")(x)  # (b, h * w, c / g, g)
    return layers.Reshape((height, width, channels), name=f"{name}_together")(x)


def split_channels(x: keras.KerasTensor, *, name: str) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the first and the second half of the channels, each (batch, height, width, channels / 2)."""
    _, height, width, channels = x.shape
    _check_divisible(channels, 2)
    half = channels // 2
    apart = layers.Reshape((height * width, 2, half), name=f"{name}_apart")(x)  # (b, h * w, 2, c / 2)
    halves = []
    for part, crop in (("first", (0, 1)), ("second", (1, 0))):
        one = layers.Cropping2D(((0, 0), crop), name=f"{name}_{part}_crop")(apart)  # (b, h * w, 1, c / 2)
        halves.append(layers.Reshape((height, width, half), name=f"{name}_{part}")(one))
    return halves[0], halves[1]


def shuffle_unit(
    x: keras.KerasTensor, filters: int, *, name: str, strides: int = 1, padding: str = "symmetric"
) -> keras.KerasTensor:
    """ShuffleNetV2's unit.

    Stride 1: ``shuffle(concat(first half, branch2(second half)))``. Stride 2: ``shuffle(concat(branch1(x),
    branch2(x)))``. ``branch1`` is depthwise 3x3, pointwise 1x1; ``branch2`` is 1x1, depthwise 3x3, 1x1. ReLU follows
    the 1x1 convolutions only.

    Args:
        x: (batch, height, width, channels).
        filters: output channels, even; those of `x` at stride 1.
        name: prefix of the layers' names.
        strides: 1 or 2.
        padding: see `pad`.

    Returns:
        (batch, height / strides, width / strides, filters), rounded up.

    Raises:
        ValueError: if `filters` is odd, or differs from the channels of `x` at stride 1.

    Reference:
        Ma et al., ShuffleNet V2, ECCV 2018, figure 3 (c) and (d).
    """
    _check_divisible(filters, 2)
    if strides == 1 and x.shape[-1] != filters:
        raise ValueError(f"`filters` must be the channels of `x`, {x.shape[-1]}, at stride 1. Received: {filters}")
    half = filters // 2
    if strides == 1:
        first, x = split_channels(x, name=f"{name}_split")
    else:
        first = depthwise_bn(x, 3, name=f"{name}_branch1_depthwise", strides=strides, activation=None, padding=padding)
        first = conv_bn(first, half, 1, name=f"{name}_branch1_pointwise")
    second = conv_bn(x, half, 1, name=f"{name}_branch2_expand")
    second = depthwise_bn(
        second, 3, name=f"{name}_branch2_depthwise", strides=strides, activation=None, padding=padding
    )
    second = conv_bn(second, half, 1, name=f"{name}_branch2_project")
    x = layers.Concatenate(name=f"{name}_concat")([first, second])  # (b, h / strides, w / strides, filters)
    return channel_shuffle(x, name=f"{name}_shuffle")


def split_patches(x: keras.KerasTensor, *, name: str) -> dict[str, keras.KerasTensor]:
    """Return the four quarters of a map by their names in `PATCHES`, each (batch, height / 2, width / 2, channels).

    Raises:
        ValueError: if height or width is odd.
    """
    _, height, width, _ = x.shape
    if height % 2 or width % 2:
        raise ValueError(f"`x` must have an even height and width to be cut in four. Received: {height}x{width}")
    rows = {"top": (0, height // 2), "bottom": (height // 2, 0)}  # what is cut away above and below
    columns = {"left": (0, width // 2), "right": (width // 2, 0)}
    return {
        patch: layers.Cropping2D((rows[patch.split("_")[0]], columns[patch.split("_")[1]]), name=f"{name}_{patch}")(x)
        for patch in PATCHES
    }


def join_patches(patches: dict[str, keras.KerasTensor], *, name: str) -> keras.KerasTensor:
    """Put four quarters together again: on height first, then on width; the inverse of `split_patches`."""
    left = layers.Concatenate(axis=1, name=f"{name}_left")([patches["top_left"], patches["bottom_left"]])
    right = layers.Concatenate(axis=1, name=f"{name}_right")([patches["top_right"], patches["bottom_right"]])
    return layers.Concatenate(axis=2, name=name)([left, right])


def local_features(
    x: keras.KerasTensor,
    filters: int,
    *,
    name: str,
    activation: str = "relu",
    padding: str = "symmetric",
    strided: str = "first",
) -> keras.KerasTensor:
    """EfficientFace's local-feature extractor; with `activation="relu6"` LFER-LDL's PDWRes.

    Each quarter of the map goes through two depthwise 3x3 convolutions of its own weights, one of them with stride 2
    and several output channels per input channel. Each quarter is padded by itself: zeros at the inner seams.

    Args:
        x: (batch, height, width, channels); height and width divisible by 4.
        filters: output channels, a multiple of those of `x`.
        name: prefix of the layers' names.
        activation: after each batch normalisation, see `activate`.
        padding: see `pad`.
        strided: `"first"` or `"second"`, which of the two convolutions halves the map and multiplies the channels.

    Returns:
        (batch, height / 2, width / 2, filters).

    Raises:
        ValueError: if a size cannot be divided, or `strided` is unknown.

    Reference:
        EfficientFace, section 3.1, figure 3; LFER-LDL, section 1.2 (ReLU6).
    """
    _check_divisible(filters, x.shape[-1])
    if strided not in ("first", "second"):
        raise ValueError(f'`strided` must be "first" or "second". Received: strided={strided!r}')
    if x.shape[1] % 4 or x.shape[2] % 4:
        raise ValueError(
            f"`x` must have a height and width divisible by 4, so that its quarters can be halved and put together "
            f"again. Received: {x.shape[1]}x{x.shape[2]}"
        )
    strong = {"strides": 2, "depth_multiplier": filters // x.shape[-1]}
    patches = split_patches(x, name=f"{name}_patch")
    for patch in PATCHES:
        for order in ("first", "second"):
            patches[patch] = depthwise_bn(
                patches[patch],
                3,
                name=f"{name}_{patch}_{order}",
                activation=activation,
                padding=padding,
                **(strong if order == strided else {}),
            )
    return join_patches(patches, name=f"{name}_joined")  # four of (b, h / 4, w / 4, filters)


def _check_divisible(number: int, by: int) -> None:
    if number % by:
        raise ValueError(f"The number of channels must be divisible by {by}. Received: {number}")
