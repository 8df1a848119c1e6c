"""What a teacher says of every batch of a cycle, asked once and kept in the run's folder."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
from tqdm import tqdm

from kerafer.data.pipeline import TrainingBatches
from kerafer.exporting import convert
from kerafer.files import DAMAGE, replacing
from kerafer.runtime import LiteRTRunner
from kerafer.training.learner import SMALLEST, Teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ANSWERS_FOLDER = "answers"


class QuickTeacher:
    """A teacher on LiteRT's CPU kernels, which answer several times faster than Keras does on a CPU.

    Args:
        teacher: the teacher, whose networks are converted to float32 files; its answers are the same to rounding.
        threads: how many pictures are answered about at a time; by default as many as TensorFlow computes on.

    Raises:
        TypeError: if a network has a layer that cannot be converted.
    """

    def __init__(self, teacher: Teacher, threads: int | None = None) -> None:
        self.teacher, self.threads = teacher, threads or _threads()
        self._runners: list[list[LiteRTRunner]] = [[] for _ in range(self.threads)]  # an interpreter is one thread's
        with tempfile.TemporaryDirectory() as folder:
            for number, network in enumerate(teacher.networks):
                path = Path(folder) / f"{number}.tflite"
                path.write_bytes(convert(network, "float32"))
                for runners in self._runners:
                    runners.append(LiteRTRunner(path))

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        """Return log-probabilities, (batch, classes) float32, for a student's inputs."""
        views = [np.asarray(view) for view in self.teacher.views(x)]
        shares = np.array_split(np.arange(len(x)), self.threads)
        with ThreadPoolExecutor(self.threads) as pool:
            parts = list(pool.map(lambda part: self._mean(part[0], [v[part[1]] for v in views]), enumerate(shares)))
        return np.log(np.maximum(np.concatenate(parts), SMALLEST))

    def _mean(self, thread: int, views: list[np.ndarray]) -> np.ndarray:
        both = zip(self._runners[thread], views, self.teacher.orders, strict=True)
        total = sum(runner.predict(view)[:, order] for runner, view, order in both)
        return np.float32(total / len(views))


def _threads() -> int:
    import tensorflow as tf

    return tf.config.threading.get_intra_op_parallelism_threads() or len(os.sched_getaffinity(0))


def _quickest(teacher: Teacher) -> Teacher | QuickTeacher:
    """Return what answers fastest here: LiteRT on a CPU, the Keras model on an accelerator or where it must."""
    if keras.backend.backend() != "tensorflow":
        return teacher
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return teacher
    try:
        return QuickTeacher(teacher)
    except TypeError:  # a layer of somebody's own
        return teacher


def kept_answers(
    teacher: Teacher,
    batches: TrainingBatches,
    epochs: int,
    out: str | Path,
    *,
    ask: Callable[[int], np.ndarray] | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Ask a teacher about every batch of a cycle, or read what it said before.

    A small student learns many times faster than its teachers answer. In a cycle of 30 epochs it sees 30 views of
    each picture, and the teachers are asked about each of them once.

    Args:
        teacher: the teacher, as it would see the student's batches.
        batches: the training batches, with a cycle.
        epochs: of the whole training: no more of the cycle are asked about.
        out: the run's folder; a file for each epoch lies in its folder `answers`.
        ask: gives the answers about an epoch's pictures, (batches, batch, classes), in place of the teacher itself.
        progress: whether to show a progress bar.

    Returns:
        Log-probabilities, (cycle, batches, batch, classes) float32.

    Raises:
        ValueError: if a kept file is damaged.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.data.samples import synthetic
        >>> faces, contract = synthetic(8), kerafer.model_spec("ean").preprocessing
        >>> batches = TrainingBatches(faces, contract, 4, ("random_crop",), seed=1, cycle=3)
        >>> teacher = Teacher([kerafer.load_model("ean", weights="fer2013")], contract, faces.class_names)
        >>> kept_answers(teacher, batches, epochs=9, out=tempfile.mkdtemp()).shape
        (3, 2, 4, 7)
    """
    folder, count = Path(out) / ANSWERS_FOLDER, len(batches)
    asked: Teacher | QuickTeacher | None = None
    shape = (count, batches.batch_size, len(batches.data.class_names))
    answers = np.zeros((batches.cycle, *shape), np.float32)
    numbers: Sequence[int] = range(min(batches.cycle, epochs))
    for epoch in tqdm(numbers, "asking the teacher", unit="epoch", disable=not progress):
        path = folder / f"epoch-{epoch + 1}.npy"
        if path.exists():
            answers[epoch] = _read(path, shape)
            continue
        if ask:
            answers[epoch] = ask(epoch)
        else:
            asked = asked or _quickest(teacher)
            for position in range(count):
                x, _ = batches.batch(epoch * count + position)
                answers[epoch, position] = asked.predict_on_batch(x)
        with replacing(path) as temporary:
            np.save(temporary, answers[epoch])
    return answers


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged ({error}). Remove it, and the teacher is asked again.") from error
    if values.shape != shape:
        raise ValueError(f"{path} must hold {shape} values. Received: {values.shape}. Remove it, to ask again.")
    return values
