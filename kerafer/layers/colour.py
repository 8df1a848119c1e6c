"""Colour to gray inside a model's own weights."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in gray (ITU-R BT.601), as in OpenCV, Pillow and JPEG."""


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
    first = _first_convolution(model, 3)
    kernel = keras.ops.convert_to_numpy(first.kernel)  # (kh, kw, 3, filters)
    total = kernel.sum(axis=2, keepdims=True)
    first.kernel.assign(total * np.asarray(LUMA, np.float32)[:, None])


def with_rgb_input(model: keras.Model) -> keras.Model:
    """Return the RGB twin of a gray (1-channel) model: the same network, which converts colour to gray by itself.

    The first convolution's kernel is repeated over R, G and B by their luma shares, ``W'[c] = LUMA[c] * W``, so a
    gray picture on three equal channels gives what the gray model gives. No operator is added, nothing is left for an
    app to do.

    Args:
        model: a functional model whose single input has 1 channel and feeds a Conv2D.

    Returns:
        A model with 3 input channels; the given one unchanged if it has 3 already.

    Raises:
        ValueError: if the first weighted layer is no Conv2D.

    Example:
        >>> import kerafer
        >>> from kerafer.layers import with_rgb_input
        >>> with_rgb_input(kerafer.build_model("lcnn")).input_shape
        (None, 48, 48, 3)
    """
    if model.input_shape[-1] == 3:
        return model
    first = _first_convolution(model, 1)
    colour = keras.models.clone_model(
        model, input_tensors=keras.Input((*model.input_shape[1:3], 3), name=model.inputs[0].name)
    )
    colour.name = model.name
    for layer in model.layers:
        values = layer.get_weights()
        if layer is first:
            values[0] = values[0] * np.asarray(LUMA, np.float32)[:, None]  # (h, w, 1, f) -> (h, w, 3, f)
        if values:
            colour.get_layer(layer.name).set_weights(values)
    return colour


def with_camera_input(model: keras.Model, mean: Sequence[float], std: Sequence[float]) -> keras.Model:
    """Return a model that takes RGB values of 0 to 1 as a camera gives them, and scales them itself.

    Scaling becomes a layer of three factors and three offsets, ``(x - mean) / std``, so that bytes can feed an integer
    file as they are. (Inside the first convolution's weights it would be wrong at the edges, where zeros are padded.)

    Args:
        model: a functional model of (batch, height, width, 3) inputs scaled by `mean` and `std`.
        mean: of R, G and B.
        std: of R, G and B.

    Returns:
        The same model where there is nothing to scale, else one that scales and then calls the given one.

    Example:
        >>> import kerafer, numpy as np
        >>> model = kerafer.build_model("efficientface", input_shape=(32, 32, 3))
        >>> camera = with_camera_input(model, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        >>> x = np.full((1, 32, 32, 3), 0.75, np.float32)
        >>> bool(np.allclose(camera(x), model((x - 0.5) / 0.25), atol=1e-6))
        True
    """
    factor, offset = 1 / np.asarray(std, np.float32), -np.asarray(mean, np.float32) / np.asarray(std, np.float32)
    if (factor == 1).all() and (offset == 0).all():
        return model
    image = keras.Input(model.input_shape[1:], name=model.inputs[0].name)
    normalize = layers.DepthwiseConv2D(1, name="normalize")
    camera = keras.Model(image, model(normalize(image)), name=model.name)
    normalize.set_weights([factor[None, None, :, None], offset])
    return camera


def _first_convolution(model: keras.Model, channels: int) -> keras.Layer:
    first = next((layer for layer in model.layers if layer.weights), None)
    if not isinstance(first, layers.Conv2D) or first.kernel.shape[2] != channels:
        raise ValueError(
            f"`model` must begin with a Conv2D on {channels} channel{'s' * (channels > 1)}, so that the conversion of "
            f"colour to gray can be folded into it. Received: first weighted layer {first and first.name!r}"
        )
    return first
