"""Colour to gray inside a model's own weights."""

from __future__ import annotations

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


def _first_convolution(model: keras.Model, channels: int) -> keras.Layer:
    first = next((layer for layer in model.layers if layer.weights), None)
    if not isinstance(first, layers.Conv2D) or first.kernel.shape[2] != channels:
        raise ValueError(
            f"`model` must begin with a Conv2D on {channels} channel{'s' * (channels > 1)}, so that the conversion of "
            f"colour to gray can be folded into it. Received: first weighted layer {first and first.name!r}"
        )
    return first
