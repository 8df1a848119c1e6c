"""A faster batch normalisation for training on TensorFlow, put in for the length of a training.

Keras 3 normalises with separate operations; TensorFlow's fused kernel makes EAN's training on a CPU nearly
twice as fast (results/throughput.json). The model that is saved and exported keeps the standard layer.
"""

from __future__ import annotations

from typing import Any

import keras

_BACKEND_IS_TENSORFLOW = keras.backend.backend() == "tensorflow"


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
        if plain or not _BACKEND_IS_TENSORFLOW or len(inputs.shape) != 4 or self.axis not in (-1, 3):
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


def with_fused_batch_norm(model: keras.Model) -> keras.Model:
    """Return a copy of a functional model, with its weights, that trains through the fused kernel."""

    def swap(layer: keras.Layer) -> keras.Layer:
        if type(layer) is keras.layers.BatchNormalization:
            return FusedBatchNormalization.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=swap)
    copy.set_weights(model.get_weights())
    return copy
