"""From a `FaceDataset` to batches: shuffled, augmented and endless for training; plain and in order to evaluate.

A batch is a pure function of seed and step. So a training resumed at any step goes on exactly as if nothing
had happened, on every backend, and the batches can be made on several threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import keras
import numpy as np

from kerafer.data.augment import augment
from kerafer.data.dataset import FaceDataset
from kerafer.layers import LUMA
from kerafer.preprocess import Preprocessing

if TYPE_CHECKING:
    import tensorflow as tf


def with_channels(x: np.ndarray, channels: int) -> np.ndarray:
    """Return RGB inputs (n, height, width, 3) as they are, or their luma (n, height, width, 1) for a gray model."""
    return x if channels == 3 else x @ np.asarray(LUMA, np.float32)[:, None]


class TrainingBatches:
    """Shuffled, augmented batches, each a pure function of seed and step.

    Every epoch goes through a new permutation; the images left over at its end (fewer than a batch) are dropped.

    Args:
        data: the training split.
        preprocessing: the model's contract.
        batch_size: images in a batch.
        augmentation: names of `kerafer.data.augment.AUGMENTATIONS`, in order; empty for centre crops.
        seed: decides order and augmentation.
        channels: of the model's input, 3, or 1 for the luma of the picture.

    Raises:
        ValueError: if the split is smaller than a batch.

    Example:
        >>> import kerafer
        >>> from kerafer.data.pipeline import TrainingBatches
        >>> from kerafer.data.samples import synthetic
        >>> spec = kerafer.model_spec("ean")
        >>> batches = TrainingBatches(synthetic(10), spec.preprocessing, 4, ("random_crop", "flip"), seed=1)
        >>> x, y = batches.batch(0)
        >>> x.shape, y.shape, len(batches)
        ((4, 44, 44, 3), (4, 7), 2)
    """

    def __init__(
        self,
        data: FaceDataset,
        preprocessing: Preprocessing,
        batch_size: int,
        augmentation: tuple[str, ...] = (),
        seed: int = 0,
        channels: int = 3,
    ) -> None:
        if not 1 <= batch_size <= len(data):
            raise ValueError(
                f"`batch_size` must be 1 to the number of images, {len(data)}. Received: batch_size={batch_size}"
            )
        self.data = data
        self.targets = np.eye(len(data.class_names), dtype=np.float32)[data.labels]
        self.preprocessing, self.batch_size = preprocessing, batch_size
        self.augmentation, self.seed, self.channels = tuple(augmentation), seed, channels
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.data) // self.batch_size

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs (batch, height, width, channels) float32 and one-hot labels (batch, classes) of a step."""
        epoch, position = divmod(int(step), len(self))
        index = self._permutation(epoch)[position * self.batch_size : (position + 1) * self.batch_size]
        images = self.data.pixels(index, self.preprocessing)
        if self.augmentation:
            rng = np.random.default_rng([self.seed, epoch, position])
            images = augment(images, self.augmentation, self.preprocessing.size, rng)
            x = self.preprocessing.batch_of_crops(images)
        else:
            x = self.preprocessing.batch(images)
        return with_channels(x, self.channels), self.targets[index]

    def _permutation(self, epoch: int) -> np.ndarray:
        kept, order = self._order  # one tuple, so that threads see a matching pair
        if kept != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.data))
            self._order = (epoch, order)
        return order

    def generator(self, first_step: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the batches from a step on without end, for backends other than TensorFlow."""
        return (self.batch(step) for step in itertools.count(first_step))

    def to_tf(self, first_step: int = 0, last_step: int | None = None) -> tf.data.Dataset:
        """Return the batches from a step on as a `tf.data` pipeline, prefetched, in order.

        Args:
            first_step: where to begin.
            last_step: where to end, exclusive; None goes on without end.
        """
        import tensorflow as tf

        x, y = self.batch(first_step)
        signature = (tf.TensorSpec(x.shape, tf.float32), tf.TensorSpec(y.shape, tf.float32))
        steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max if last_step is None else last_step)

        def make(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            made = tf.numpy_function(self.batch, [step], (tf.float32, tf.float32), stateful=False)
            return tuple(tf.ensure_shape(t, s.shape) for t, s in zip(made, signature, strict=True))

        return steps.map(make, num_parallel_calls=2, deterministic=True).prefetch(4)


class EvaluationBatches(keras.utils.PyDataset):
    """A split in its own order, one centre crop an image, for `model.evaluate` on any backend.

    Args:
        data: the split.
        preprocessing: the model's contract.
        batch_size: images in a batch.
        channels: of the model's input, 3, or 1 for the luma of the picture.

    Example:
        >>> import kerafer
        >>> from kerafer.data.pipeline import EvaluationBatches
        >>> from kerafer.data.samples import synthetic
        >>> batches = EvaluationBatches(synthetic(10), kerafer.model_spec("ean").preprocessing, batch_size=4)
        >>> len(batches), batches[2][0].shape
        (3, (2, 44, 44, 3))
    """

    def __init__(
        self, data: FaceDataset, preprocessing: Preprocessing, batch_size: int = 256, channels: int = 3
    ) -> None:
        super().__init__()
        self.data, self.preprocessing, self.batch_size, self.channels = data, preprocessing, batch_size, channels
        self.targets = np.eye(len(data.class_names), dtype=np.float32)[data.labels]

    def __len__(self) -> int:
        """Batches in the split, the last one possibly smaller."""
        return (len(self.data) + self.batch_size - 1) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs (batch, height, width, channels) float32 and one-hot labels (batch, classes)."""
        part = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return with_channels(self.data.inputs(self.preprocessing, part), self.channels), self.targets[part]
