"""An evaluation as files: the numbers, and pictures of confusion, calibration and mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kerafer.data.dataset import FaceDataset
from kerafer.evaluation.measures import Evaluation
from kerafer.evaluation.predictions import Predictions
from kerafer.files import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISTAKES = 32
"""How many mistakes are drawn."""


def write_report(measured: Evaluation, predictions: Predictions, data: FaceDataset, folder: str | Path) -> list[Path]:
    """Write `evaluation.json`, `confusion.png`, `calibration.png` and `mistakes.png`.

    Args:
        measured: from `measure(predictions)`.
        predictions: what was measured.
        data: the images that were predicted, in the same order: the split, or its subset.
        folder: where to write; made if missing.

    Returns:
        The files' paths.

    Raises:
        ValueError: if data and predictions are not of the same images.

    Example:
        >>> import kerafer, tempfile
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.evaluation import measure, predict
        >>> data = synthetic(7)
        >>> found = predict(kerafer.load_model("ean", weights="fer2013"), data)
        >>> [path.name for path in write_report(measure(found), found, data, tempfile.mkdtemp())]
        ['evaluation.json', 'confusion.png', 'calibration.png', 'mistakes.png']
    """
    from kerafer import plots

    if not np.array_equal(data.rows, predictions.rows) or not np.array_equal(data.labels, predictions.labels):
        raise ValueError(
            f"`data` must hold the {len(predictions):,} images of the predictions, in the same order. "
            f"Received: {len(data):,} images of {data.name} {data.split}. Take the subset first."
        )
    names = ("evaluation.json", "confusion.png", "calibration.png", "mistakes.png")
    paths = [Path(folder) / name for name in names]
    write_json(paths[0], measured.to_dict())
    draw_confusion(measured, paths[1])
    draw_reliability(measured, paths[2])
    wrong = np.flatnonzero(~predictions.right)
    confidence = predictions.probabilities.max(axis=1)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    captions = [
        f"{predictions.class_names[predictions.predicted[i]]} {confidence[i]:.3f}\n"
        f"labelled {predictions.class_names[predictions.labels[i]]}\nrow {predictions.rows[i]}"
        for i in shown
    ]
    plots.picture_table(
        [np.asarray(data.images[int(i)]) for i in shown],
        captions,
        paths[3],
        f"{_title(measured)}\nthe {len(shown)} most confident of {len(wrong):,} mistakes",
    )
    return paths


def draw_confusion(measured: Evaluation, path: str | Path | None) -> Figure:
    """Draw what was taken for what, and return the figure.

    Args:
        measured: from `measure`.
        path: where to write, or None.
    """
    from kerafer import plots

    title = f"{_title(measured)}\naccuracy {measured.accuracy:.4f}"
    return plots.confusion_matrix(measured.confusion, tuple(measured.support), path, title)


def draw_reliability(measured: Evaluation, path: str | Path | None) -> Figure:
    """Draw how sure the model was and how often it was right, and return the figure.

    Args:
        measured: from `measure`.
        path: where to write, or None.
    """
    from kerafer import plots

    title = f"{_title(measured)}\nexpected calibration error {measured.calibration_error:.4f}"
    return plots.reliability(measured.calibration, path, title)


def _title(measured: Evaluation) -> str:
    part = f" ({measured.subset})" if measured.subset else ""
    return f"{measured.model} on {measured.data} {measured.split}{part}, {measured.images:,} images"
