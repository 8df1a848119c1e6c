"""Building blocks, composed of standard Keras layers only.

Standard layers train on every Keras backend, translate to `tf_keras` for quantization-aware training, and convert to
clean `.tflite` graphs; a custom layer would do none of these (see `kerafer.quantization.twin`). So a block here is a
function from tensor to tensor, as in `keras.applications`. Maps are (batch, height, width, channels) throughout.
"""

from __future__ import annotations

from kerafer.layers.attention import channel_spatial_modulator, eca
from kerafer.layers.colour import LUMA, fold_luma, with_camera_input, with_rgb_input
from kerafer.layers.core import BN_EPSILON, BN_MOMENTUM, activate, batch_norm, conv_bn, depthwise_bn, mish, pad
from kerafer.layers.heads import classify, conv_gap_head, output_module
from kerafer.layers.residual import inverted_residual_eca, residual_separable
from kerafer.layers.shuffle import (
    channel_shuffle,
    join_patches,
    local_features,
    shuffle_unit,
    split_channels,
    split_patches,
)

__all__ = [
    "BN_EPSILON",
    "BN_MOMENTUM",
    "LUMA",
    "activate",
    "batch_norm",
    "channel_shuffle",
    "channel_spatial_modulator",
    "classify",
    "conv_bn",
    "conv_gap_head",
    "depthwise_bn",
    "eca",
    "fold_luma",
    "inverted_residual_eca",
    "join_patches",
    "local_features",
    "mish",
    "output_module",
    "pad",
    "residual_separable",
    "shuffle_unit",
    "split_channels",
    "split_patches",
    "with_camera_input",
    "with_rgb_input",
]
