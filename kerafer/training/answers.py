"""What a teacher says of every batch of a cycle, asked once and kept in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from kerafer.data.pipeline import TrainingBatches
from kerafer.files import DAMAGE, replacing
from kerafer.training.learner import Teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

ANSWERS_FOLDER = "answers"


def kept_answers(
    teacher: Teacher, batches: TrainingBatches, epochs: int, out: str | Path, *, progress: bool = False
) -> np.ndarray:
    """Ask a teacher about every batch of a cycle, or read what it said before.

    A small student learns many times faster than its teachers answer. In a cycle of 30 epochs it sees 30 views of
    each picture, and the teachers are asked about each of them once.

    Args:
        teacher: the teacher, as it would see the student's batches.
        batches: the training batches, with a cycle.
        epochs: of the whole training: no more of the cycle are asked about.
        out: the run's folder; a file for each epoch lies in its folder `answers`.
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
    shape = (count, batches.batch_size, len(batches.data.class_names))
    answers = np.zeros((batches.cycle, *shape), np.float32)
    numbers: Sequence[int] = range(min(batches.cycle, epochs))
    for epoch in tqdm(numbers, "asking the teacher", unit="epoch", disable=not progress):
        path = folder / f"epoch-{epoch + 1}.npy"
        if path.exists():
            answers[epoch] = _read(path, shape)
            continue
        for position in range(count):
            x, _ = batches.batch(epoch * count + position)
            answers[epoch, position] = teacher.predict_on_batch(x)
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
