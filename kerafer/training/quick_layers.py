"""Faster layers of the same weights and results, put in for the length of a training.

Keras 3 normalises with separate operations; TensorFlow's fused kernel makes EAN's training on a CPU nearly
twice as fast (results/throughput.json). XLA, through which JAX trains, is slow at depthwise convolutions on a CPU, and
these networks are made of them; on a GPU neither form was measured. The model that is saved and exported keeps the
standard layers.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_BACKEND = keras.backend.backend()


@keras.saving.register_keras_serializable(package="kerafer")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` that trains through TensorFlow's fused kernel.

    Same arguments, weights and results to float rounding; outside training, for masked input, for other ranks or
    on another backend it is the standard layer. As in the standard layer, the moving variance takes the batch's
    biased variance, where the kernel itself would give the unbiased one.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise (batch, height, width, channels) over all axes but the last."""
        plain = not training or not self.trainable or mask is not None or not (self.scale and self.center)
        if plain or _BACKEND != "tensorflow" or len(inputs.shape) != 4 or self.axis not in (-1, 3):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        gamma, beta = (keras.ops.convert_to_tensor(v, dtype="float32") for v in (self.gamma, self.beta))
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        variance *= (count - 1.0) / tf.maximum(count, 1.0)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + tf.stop_gradient(value) * (1.0 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="kerafer")
class ShiftedDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` as a sum of shifted inputs, which XLA turns into one loop, also backwards.

    Same arguments, weights and results to float rounding; with dilation, several outputs a channel or channels first it
    is the standard layer.
    """

    def call(self, inputs: Any) -> Any:
        """Convolve (batch, height, width, channels), each channel with its own kernel."""
        if self.data_format != "channels_last" or self.depth_multiplier != 1 or max(_pair(self.dilation_rate)) > 1:
            return super().call(inputs)
        strides, sides = _pair(self.strides), inputs.shape[1:3]
        if self.padding == "same":
            inputs = ops.pad(inputs, [(0, 0), *map(_same, sides, self.kernel_size, strides), (0, 0)])
        counts = [
            (side - kernel) // stride + 1
            for side, kernel, stride in zip(inputs.shape[1:3], self.kernel_size, strides, strict=True)
        ]
        outputs: Any = 0.0
        for row in range(self.kernel_size[0]):
            for column in range(self.kernel_size[1]):
                part = inputs[
                    :,
                    row : row + (counts[0] - 1) * strides[0] + 1 : strides[0],
                    column : column + (counts[1] - 1) * strides[1] + 1 : strides[1],
                ]
                outputs = outputs + part * self.kernel[row, column, :, 0]  # (batch, *counts, channels)
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _same(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return what `"same"` pads before and after, as TensorFlow defines it."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def with_quick_layers(model: keras.Model) -> keras.Model:
    """Return a copy of a functional model, with its weights, that trains faster on the backend in use."""
    quick = {keras.layers.BatchNormalization: FusedBatchNormalization}
    if _BACKEND == "jax":
        quick[keras.layers.DepthwiseConv2D] = ShiftedDepthwiseConv2D

    def swap(layer: keras.Layer) -> keras.Layer:
        return quick.get(type(layer), layer.__class__).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=swap)
    copy.set_weights(model.get_weights())
    return copy
