"""From a `FaceDataset` to batches: shuffled, augmented and endless for training; plain and in order to evaluate.

A batch is a pure function of seed and step, and each of its images of its place in the batch. So a training resumed at
any step goes on exactly as if nothing had happened, the batches can be made on several threads, and several hosts can
each make their part of a batch. Only the images of a batch are in memory, where the data set keeps them on disk.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import keras
import numpy as np

from kerafer.data.augment import augment
from kerafer.data.dataset import FaceDataset
from kerafer.layers import LUMA
from kerafer.preprocess import Preprocessing

if TYPE_CHECKING:
    import tensorflow as tf

THREADS = 2
"""Threads that make batches; the pictures' decoding may use more."""


def with_channels(x: np.ndarray, channels: int) -> np.ndarray:
    """Return RGB inputs (n, height, width, 3) as they are, or their luma (n, height, width, 1) for a gray model."""
    return x if channels == 3 else x @ np.asarray(LUMA, np.float32)[:, None]


class TrainingBatches:
    """Shuffled, augmented batches, each a pure function of seed and step.

    Every epoch goes through a new permutation; the images left over at its end (fewer than a batch) are dropped.

    Args:
        data: the training split.
        preprocessing: the model's contract.
        batch_size: images in a batch, over all hosts together.
        augmentation: names of `kerafer.data.augment.AUGMENTATIONS`, in order; empty for centre crops.
        seed: decides order and augmentation.
        channels: of the model's input, 3, or 1 for the luma of the picture.
        distributions: (n, classes) float32, a label distribution for each image, or None.
        balanced: whether each class is drawn equally often, with repetition, instead of each image once an epoch.
        mixup: parameter of the Beta distribution by which each image and its labels are mixed with another of the
            batch (Zhang et al., "mixup", ICLR 2018); 0 for none.
        cycle: epochs after which the same batches come again; 0 for never.
        part: (number, count): which of so many equal parts of each batch is made here.

    Raises:
        ValueError: if the split is smaller than a batch, a batch has no such parts, or the distributions do not fit.

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
        *,
        distributions: np.ndarray | None = None,
        balanced: bool = False,
        mixup: float = 0.0,
        cycle: int = 0,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if not 1 <= batch_size <= len(data):
            raise ValueError(
                f"`batch_size` must be 1 to the number of images, {len(data)}. Received: batch_size={batch_size}"
            )
        if batch_size % part[1] or not 0 <= part[0] < part[1]:
            raise ValueError(
                f"`batch_size` must be a multiple of the hosts' number. Received: batch_size={batch_size}, part={part}"
            )
        shape = (len(data), len(data.class_names))
        if distributions is not None and distributions.shape != shape:
            raise ValueError(f"`distributions` must have shape {shape}. Received: {distributions.shape}")
        self.data, self.distributions = data, distributions
        self.preprocessing, self.batch_size = preprocessing, batch_size
        self.augmentation, self.seed, self.channels = tuple(augmentation), seed, channels
        self.balanced, self.mixup, self.cycle, self.part = balanced, mixup, cycle, part
        self.answers: np.ndarray | None = None
        # (images,) by class; classes without images are never drawn
        self._members = [m for c in range(shape[1]) if len(m := np.flatnonzero(data.labels == c))] if balanced else []
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.data) // self.batch_size

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return this part of a step's batch.

        Returns:
            Inputs (part of batch, height, width, channels) float32, and labels: (part of batch, classes), one-hot or
            mixed; with distributions or answers (part of batch, 2, classes), the hard labels and those.
        """
        epoch, position = self._place(step)
        x, y = self._made(epoch, position)
        if self.answers is None:
            return x, y
        return x, np.stack([y, self.answers[epoch, position]], axis=1)  # (n, 2, classes)

    def answer(self, answers: np.ndarray) -> None:
        """Give every batch of a cycle what a teacher said of it, in place of distributions.

        Args:
            answers: (cycle, batches, part of batch, classes) float32.

        Raises:
            ValueError: if the shape is another one, or there are distributions already.
        """
        shape = (self.cycle, len(self), self.batch_size // self.part[1], len(self.data.class_names))
        if answers.shape != shape or self.distributions is not None:
            raise ValueError(
                f"`answers` must have shape {shape}, and go with no distributions. Received: {answers.shape}"
            )
        self.answers = answers

    def _place(self, step: int) -> tuple[int, int]:
        """Return the epoch, counted within its cycle, and the batch in it."""
        epoch, position = divmod(int(step), len(self))
        return (epoch % self.cycle if self.cycle else epoch), position

    def _made(self, epoch: int, position: int) -> tuple[np.ndarray, np.ndarray]:
        index = self._numbers(epoch, position)
        share = self.batch_size // self.part[1]
        rows = np.arange(self.part[0] * share, (self.part[0] + 1) * share)
        key = [self.seed, epoch, position]
        if not self.mixup:
            return self._inputs(index, rows, key), self._targets(index[rows])
        rng = np.random.default_rng([*key, 1])
        partner, weight = rng.permutation(self.batch_size), rng.beta(self.mixup, self.mixup, self.batch_size)
        weight = weight[rows].astype(np.float32)
        both = np.concatenate([rows, partner[rows]])
        x, y = self._inputs(index, both, key), self._targets(index[both])
        return _mixed(x, weight), _mixed(y, weight)

    def pictures(self, epoch: int, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a whole batch before it is scaled: (batch, height, width[, 3]) uint8, and the images' numbers."""
        index = self._numbers(epoch, position)
        return self._cut(index, np.arange(self.batch_size), [self.seed, epoch, position]), index

    def _inputs(self, index: np.ndarray, rows: np.ndarray, key: list[int]) -> np.ndarray:
        return with_channels(self.preprocessing.batch_of_crops(self._cut(index, rows, key)), self.channels)

    def _cut(self, index: np.ndarray, rows: np.ndarray, key: list[int]) -> np.ndarray:
        """Return augmented pictures of the model's size, or centre crops where nothing is varied."""
        images = self.data.pixels(index[rows], self.preprocessing)
        if self.augmentation:
            rng = np.random.default_rng(key)
            return augment(images, self.augmentation, self.preprocessing.size, rng, rows=rows, of=self.batch_size)
        return self.preprocessing.centre(images)

    def _targets(self, numbers: np.ndarray) -> np.ndarray:
        hard = np.eye(len(self.data.class_names), dtype=np.float32)[self.data.labels[numbers]]
        if self.distributions is None:
            return hard
        return np.stack([hard, self.distributions[numbers].astype(np.float32)], axis=1)  # (n, 2, classes)

    def _numbers(self, epoch: int, position: int) -> np.ndarray:
        return self._epoch_order(epoch)[position * self.batch_size : (position + 1) * self.batch_size]

    def _epoch_order(self, epoch: int) -> np.ndarray:
        kept, order = self._order  # one tuple, so that threads see a matching pair
        if kept != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            order = self._balanced_order(rng) if self.balanced else rng.permutation(len(self.data))
            self._order = (epoch, order)
        return order

    def _balanced_order(self, rng: np.random.Generator) -> np.ndarray:
        classes, where = rng.integers(len(self._members), size=len(self.data)), rng.random(len(self.data))
        order = np.empty(len(self.data), np.int64)
        for number, members in enumerate(self._members):
            chosen = classes == number
            order[chosen] = members[(where[chosen] * len(members)).astype(np.int64)]
        return order

    def generator(self, first_step: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the batches from a step on without end, made ahead on threads, for backends other than TensorFlow."""
        with ThreadPoolExecutor(THREADS) as pool:
            ahead: deque[Future] = deque()
            for step in itertools.count(first_step):
                ahead.append(pool.submit(self.batch, step))
                if len(ahead) > 2 * THREADS:
                    yield ahead.popleft().result()

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

        batches = steps.map(make, num_parallel_calls=THREADS, deterministic=True).prefetch(2 * THREADS)
        options = tf.data.Options()
        # nothing is left to tune, and the tuner's thread can hold up the end of a `fit` by seconds
        options.autotune.enabled = False
        return batches.with_options(options)


def _mixed(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mix the first half with the second, image by image: (2n, ...) and (n,) -> (n, ...)."""
    one, other = np.split(values, 2)
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    return weight * one + (1 - weight) * other


class EvaluationBatches(keras.utils.PyDataset):
    """A split in its own order, one centre crop an image, for `model.evaluate` on any backend.

    Args:
        data: the split.
        preprocessing: the model's contract.
        batch_size: images in a batch, over all hosts together.
        channels: of the model's input, 3, or 1 for the luma of the picture.
        part: (number, count): which of so many equal parts of each batch is made here. With more than one, the last
            batch is filled up with images of weight 0, because hosts need equal parts.

    Example:
        >>> import kerafer
        >>> from kerafer.data.pipeline import EvaluationBatches
        >>> from kerafer.data.samples import synthetic
        >>> batches = EvaluationBatches(synthetic(10), kerafer.model_spec("ean").preprocessing, batch_size=4)
        >>> len(batches), batches[2][0].shape
        (3, (2, 44, 44, 3))
    """

    def __init__(
        self,
        data: FaceDataset,
        preprocessing: Preprocessing,
        batch_size: int = 256,
        channels: int = 3,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__()
        self.data, self.preprocessing, self.channels, self.part = data, preprocessing, channels, part
        self.batch_size = batch_size // part[1] * part[1]
        self.targets = np.eye(len(data.class_names), dtype=np.float32)[data.labels]

    def __len__(self) -> int:
        """Batches in the split, the last one possibly smaller."""
        return (len(self.data) + self.batch_size - 1) // self.batch_size

    @property
    def fill(self) -> float:
        """Images in all batches together, those of weight 0 included, for each image of the split."""
        return 1.0 if self.part[1] == 1 else len(self) * self.batch_size / len(self.data)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Return inputs (batch, height, width, channels) float32, one-hot labels (batch, classes), and weights.

        Weights, (batch,) float32, are there only where batches are made in parts.
        """
        if self.part[1] == 1:
            numbers = np.arange(index * self.batch_size, min((index + 1) * self.batch_size, len(self.data)))
            return self._inputs(numbers), self.targets[numbers]
        share = self.batch_size // self.part[1]
        first = index * self.batch_size + self.part[0] * share
        numbers = np.arange(first, first + share)
        weights = (numbers < len(self.data)).astype(np.float32)
        numbers = np.minimum(numbers, len(self.data) - 1)
        return self._inputs(numbers), self.targets[numbers], weights

    def _inputs(self, numbers: np.ndarray) -> np.ndarray:
        return with_channels(self.data.inputs(self.preprocessing, numbers), self.channels)
