"""tensorflow-model-optimization and `tf_keras`, imported without what importing them leaves behind.

The package sets `TF_USE_LEGACY_KERAS` for this process and its children, and turns a `tf.keras` that nobody has
touched yet into `tf_keras` for good. Both are undone here.
"""

from __future__ import annotations

import os

import tensorflow as tf

_before = os.environ.get("TF_USE_LEGACY_KERAS")
tf.keras.Model  # noqa: B018 - touched first, it stays what it is
import tensorflow_model_optimization.quantization.keras as api  # noqa: E402

if _before is None:
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
else:
    os.environ["TF_USE_LEGACY_KERAS"] = _before

QuantizeConfig, QuantizeWrapper, Quantizer = api.QuantizeConfig, api.QuantizeWrapperV2, api.quantizers.Quantizer
