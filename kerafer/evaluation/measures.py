"""Measures of one model on one split, with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.data.dataset import FaceDataset
from kerafer.evaluation.predictions import Predictions, predict

if TYPE_CHECKING:
    from kerafer.loading import LoadedModel

BINS, RESAMPLES, LEVEL = 15, 2000, 0.95


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured.

    A class without images in the split has no recall and no F1: it is left out of these and of the two averages over
    classes, and its row of `confusion_shares` is None. A class that was never predicted has no precision.

    Args:
        model: what was measured.
        data: kind of data.
        split: which split.
        images: how many images.
        accuracy: share of images whose best class is the label's.
        leak_free_images: images that occur in no other split.
        leak_free_accuracy: accuracy on those; NaN where there are none (None in `to_dict`).
        loss: mean cross-entropy in nats; probabilities below 1e-7 count as 1e-7.
        recall: share of each class that is found.
        confusion: images by true class (rows) and predicted class (columns).
        data_sha256: checksum of images and labels.
        views: what was seen of each image, a key of `kerafer.evaluation.VIEWS`.
        subset: name of the list of images, or empty for the whole split.
        balanced_accuracy: mean recall of the classes.
        macro_f1: mean F1 of the classes.
        precision: share of the images predicted as a class that are of this class.
        f1: harmonic mean of precision and recall of each class, 0 for a class that is never found.
        support: images of each class.
        confusion_shares: `confusion` with each row divided by its sum, as papers print it.
        calibration_error: expected calibration error, 0 to 1 (Guo et al. 2017, equation 3, with `BINS` bins of equal
            width over the probability of the best class).
        calibration: the bins: `above`, `to`, `images`, and the means `confidence` and `accuracy` (None if empty).
        intervals: (low, high) of `accuracy`, `balanced_accuracy` and `macro_f1`: percentile bootstrap over images.
        settings: `bins`, and `resamples`, `level` and `seed` of the bootstrap.
    """

    model: str
    data: str
    split: str
    images: int
    accuracy: float
    leak_free_images: int
    leak_free_accuracy: float
    loss: float
    recall: dict[str, float]
    confusion: list[list[int]]
    data_sha256: str
    views: str
    subset: str
    balanced_accuracy: float
    macro_f1: float
    precision: dict[str, float]
    f1: dict[str, float]
    support: dict[str, int]
    confusion_shares: list[list[float] | None]
    calibration_error: float
    calibration: list[dict[str, float | int | None]]
    intervals: dict[str, tuple[float, float]]
    settings: dict[str, float | int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = asdict(self)
        values["intervals"] = {name: list(interval) for name, interval in self.intervals.items()}
        if math.isnan(self.leak_free_accuracy):
            values["leak_free_accuracy"] = None
        return values


def evaluate(
    loaded: LoadedModel,
    data: FaceDataset,
    *,
    views: str = "center",
    subset: str | Path | np.ndarray | None = None,
    progress: bool = False,
) -> Evaluation:
    """Measure a model on a split.

    Args:
        loaded: from `kerafer.load_model`.
        data: the split, from `kerafer.load_data`.
        views: `"center"` for one centre crop an image; `"flip"` for that and its mirror image; `"ten_crop"` for four
            corners, centre and their mirror images, cut from the picture at the contract's `resize` size. The views'
            probabilities are averaged.
        subset: a list of images (see `kerafer.evaluation.read_subset`), or their numbers; all by default.
        progress: whether to show a progress bar.

    Returns:
        The measures.

    Raises:
        ValueError: if the data has other classes than the model (their order may differ), a list does not fit the
            data, the model crops nothing so that ten crops would be equal, or a probability is not finite.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> kerafer.evaluate(kerafer.load_model("ean", weights="fer2013"), synthetic(14)).images
        14
    """
    return measure(predict(loaded, data, views=views, subset=subset, progress=progress))


def measure(predictions: Predictions, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> Evaluation:
    """Measure predictions.

    Args:
        predictions: from `kerafer.evaluation.predict` or `Predictions.load`.
        resamples: of the bootstrap.
        level: probability that an interval is to cover, such as 0.95.
        seed: decides the resamples.

    Returns:
        The measures.

    Raises:
        ValueError: if `resamples` is below 1 or `level` not between 0 and 1.

    Example:
        >>> import numpy as np
        >>> sure, unsure = [0.9, 0.1], [0.4, 0.6]
        >>> made = Predictions(
        ...     model="coin", data="made", split="test", class_names=("heads", "tails"), rows=np.arange(4),
        ...     labels=np.array([0, 0, 0, 1]), leaked=np.zeros(4, bool), data_sha256="",
        ...     probabilities=np.array([sure, sure, unsure, unsure], np.float32))
        >>> measured = measure(made)
        >>> measured.accuracy, round(measured.balanced_accuracy, 4), measured.confusion
        (0.75, 0.8333, [[2, 1], [0, 1]])
    """
    from sklearn import metrics

    labels, predicted, right = predictions.labels, predictions.predicted, predictions.right
    classes = np.arange(len(predictions.class_names))
    # NaN marks what is not defined: 0 / 0
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, average=None, zero_division=np.nan
    )
    present = support > 0
    confusion = metrics.confusion_matrix(labels, predicted, labels=classes)
    chosen = predictions.probabilities[np.arange(len(labels)), labels]
    clean = ~predictions.leaked
    bins = calibration_bins(predictions.probabilities.max(axis=1), right)
    return Evaluation(
        model=predictions.model,
        data=predictions.data,
        split=predictions.split,
        images=len(labels),
        accuracy=float(right.mean()),
        leak_free_images=int(clean.sum()),
        leak_free_accuracy=float(right[clean].mean()) if clean.any() else float("nan"),
        loss=float(-np.log(np.clip(chosen, 1e-7, 1)).mean()),
        recall=_named(predictions, recall, present),
        confusion=confusion.tolist(),
        data_sha256=predictions.data_sha256,
        views=predictions.views,
        subset=predictions.subset,
        balanced_accuracy=float(recall[present].mean()),
        macro_f1=float(f1[present].mean()),
        precision=_named(predictions, precision, confusion.sum(axis=0) > 0),
        f1=_named(predictions, f1, present),
        support=dict(zip(predictions.class_names, support.tolist(), strict=True)),
        confusion_shares=[(row / row.sum()).tolist() if row.sum() else None for row in confusion],
        calibration_error=calibration_error(bins),
        calibration=bins,
        intervals=bootstrap(confusion, resamples=resamples, level=level, seed=seed),
        settings={"bins": BINS, "resamples": resamples, "level": level, "seed": seed},
    )


def _named(predictions: Predictions, values: np.ndarray, defined: np.ndarray) -> dict[str, float]:
    named = zip(predictions.class_names, values.tolist(), defined, strict=True)
    return {name: value for name, value, fine in named if fine}


def calibration_bins(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> list[dict[str, Any]]:
    """Sort images by confidence into bins of equal width: (0, 1/bins], (1/bins, 2/bins], ...

    Args:
        confidence: (n,) probability of the best class.
        right: (n,) bool, whether the best class is the label's.
        bins: how many.

    Returns:
        One dict a bin with `above`, `to`, `images`, `confidence`, `accuracy`; the last two None in an empty bin.
    """
    # float32 edges, as `kerafer.metrics` has them, so that both put every image into the same bin
    edges = (np.arange(1, bins) / bins).astype(np.float32)
    number = np.searchsorted(edges, confidence.astype(np.float32), side="left")
    rows = []
    for i in range(bins):
        inside = number == i
        count = int(inside.sum())
        rows.append(
            {
                "above": i / bins,
                "to": (i + 1) / bins,
                "images": count,
                "confidence": float(confidence[inside].mean(dtype=np.float64)) if count else None,
                "accuracy": float(right[inside].mean()) if count else None,
            }
        )
    return rows


def calibration_error(bins: list[dict[str, Any]]) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy, weighted by images.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equation (3):
    the sum over bins of |B_m| / n * |acc(B_m) - conf(B_m)|.
    """
    n = sum(row["images"] for row in bins)
    return sum(row["images"] / n * abs(row["accuracy"] - row["confidence"]) for row in bins if row["images"])


def bootstrap(
    confusion: np.ndarray, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return percentile bootstrap intervals of accuracy, balanced accuracy and macro F1.

    All three depend on the images only through the confusion matrix, and the matrix of n images drawn with replacement
    is multinomial over its cells. So whole matrices are drawn, which is the same as drawing images, and fast.

    Args:
        confusion: (classes, classes) images by true and predicted class.
        resamples: how many matrices are drawn.
        level: probability to cover, such as 0.95.
        seed: decides the draws.

    Returns:
        (low, high) by name.

    Raises:
        ValueError: if `resamples` is below 1 or `level` not between 0 and 1.
    """
    check_bootstrap(resamples, level)
    confusion = np.asarray(confusion)
    n = confusion.sum()
    drawn = np.random.default_rng(seed).multinomial(n, confusion.ravel() / n, size=resamples)
    drawn = drawn.reshape(resamples, *confusion.shape)  # (resamples, classes * classes) -> (resamples, true, predicted)
    right = np.diagonal(drawn, axis1=1, axis2=2)
    true, found = drawn.sum(axis=2), drawn.sum(axis=1)
    present = true > 0  # a class that a resample lacks is left out of its averages
    shares = {
        "accuracy": right.sum(axis=1) / n,
        "balanced_accuracy": _mean_of(right / np.maximum(true, 1), present),
        "macro_f1": _mean_of(2 * right / np.maximum(true + found, 1), present),
    }
    return {name: interval(values, level) for name, values in shares.items()}


def _mean_of(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    return np.where(present, values, 0).sum(axis=1) / present.sum(axis=1)


def interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """Return the percentiles between which the share `level` of the values lies."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def check_bootstrap(resamples: int, level: float) -> None:
    """Refuse settings that give no interval."""
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(
            "`resamples` must be 1 or more and `level` between 0 and 1, such as 2000 and 0.95. "
            f"Received: resamples={resamples}, level={level}"
        )
