"""How weights and activations are rounded in training, as tensorflow-model-optimization's quantizers and configs.

Reference:
    Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
    CVPR 2018.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from kerafer.quantization.tfmot import QuantizeConfig, Quantizer

RANGE_DECAY = 0.99
"""How slowly the ranges of activations follow the batches, once there have been enough of them."""

_SMALLEST_RANGE = 1e-6
_CONSTANT = contextvars.ContextVar("kernels are constant", default=False)


@contextlib.contextmanager
def constant_kernels() -> Iterator[None]:
    """Trace graphs in which the ranges of kernels are numbers, not computed from the kernels.

    For conversion alone: the converter leaves undone what it would have to compute from a kernel of 140 MB.
    """
    before = _CONSTANT.set(True)
    try:
        yield
    finally:
        _CONSTANT.reset(before)


class WeightRounding(Quantizer):
    """Round a kernel to 255 symmetric steps of its own largest absolute value.

    Args:
        axes: `"channels"` for steps of each output channel, `"depthwise"` for those of a depthwise kernel, `"tensor"`
            for one step of all.
    """

    def __init__(self, axes: str) -> None:
        self.axes = axes

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Keep nothing: the range is that of the kernel as it is."""
        return {}

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, Any], **_: Any) -> tf.Tensor:
        """Return the rounded kernel; its gradient passes."""
        kernel = inputs
        if self.axes == "depthwise":
            kernel = tf.reshape(kernel, (*kernel.shape[:2], -1))  # (h, w, channels, 1) -> (h, w, channels)
        if _CONSTANT.get():
            with tf.init_scope():
                largest = self.largest(inputs.numpy())
        else:
            axes = None if self.axes == "tensor" else range(len(kernel.shape) - 1)
            largest = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=axes), _SMALLEST_RANGE)
        if self.axes == "tensor":
            return tf.quantization.fake_quant_with_min_max_vars(kernel, -largest, largest, narrow_range=True)
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -largest, largest, narrow_range=True)
        return tf.reshape(kernel, inputs.shape)

    def largest(self, kernel: np.ndarray) -> np.ndarray:
        """Return the largest absolute value, (channels,) float32 or one of all."""
        if self.axes == "tensor":
            return np.maximum(np.abs(kernel).max(), np.float32(_SMALLEST_RANGE))
        channels = np.prod(kernel.shape[2:]) if self.axes == "depthwise" else kernel.shape[-1]
        return np.maximum(np.abs(kernel.reshape(-1, channels)).max(axis=0), np.float32(_SMALLEST_RANGE))

    def step(self, kernel: np.ndarray) -> np.ndarray:
        """Return the size of a step, (channels,) float32 or one for all."""
        return self.largest(kernel) / 127

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"axes": self.axes}


class FixedRange(Quantizer):
    """Round activations to 256 steps of a given range.

    Args:
        low: smallest value.
        high: largest value.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Keep nothing."""
        return {}

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, Any], **_: Any) -> tf.Tensor:
        """Return the rounded activations."""
        return tf.quantization.fake_quant_with_min_max_args(inputs, self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"low": self.low, "high": self.high}


class FollowingRange(Quantizer):
    """Round activations to 256 steps of a range that follows the smallest and largest value of the batches.

    The first batches count equally, so that a few are enough for a range; later ones less and less.
    """

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Keep both ends, and how many batches were seen."""
        return {
            end: layer.add_weight(f"{name}_{end}", shape=(), initializer="zeros", trainable=False)
            for end in ("low", "high", "batches")
        }

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, Any], **_: Any) -> tf.Tensor:
        """Return the rounded activations, in training with the range moved first."""
        low, high = weights["low"], weights["high"]
        if training:
            seen = weights["batches"].assign_add(1.0)
            share = tf.maximum(1.0 / seen, 1.0 - RANGE_DECAY)
            # zero is always a step: padding is exact
            low = low.assign_add(share * (tf.minimum(tf.reduce_min(inputs), 0.0) - low))
            high = high.assign_add(share * (tf.maximum(tf.reduce_max(inputs), _SMALLEST_RANGE) - high))
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {}


class Rounding(QuantizeConfig):
    """What of a layer is rounded.

    Args:
        kernel: attribute of the layer that holds its kernel, or None.
        weights: how the kernel is rounded.
        output: how the output is rounded, or None.
    """

    def __init__(
        self, kernel: str | None = None, weights: Quantizer | None = None, output: Quantizer | None = None
    ) -> None:
        self.kernel, self.weights, self.output = kernel, weights, output

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """Return the kernel with its quantizer."""
        return [(getattr(layer, self.kernel), self.weights)] if self.kernel else []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        """Return nothing: activations are rounded as the layer's output."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Put the rounded kernel in the place of the kernel, for a call."""
        if self.kernel:
            setattr(layer, self.kernel, quantize_weights[0])

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """Do nothing: there are none."""
        del quantize_activations

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """Return the output's quantizer."""
        return [self.output] if self.output else []

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"kernel": self.kernel, "weights": self.weights, "output": self.output}
