"""How well a model does on a split: accuracy, per class, and without the images that leaked into training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from kerafer.data.dataset import FaceDataset

if TYPE_CHECKING:
    from kerafer.loading import LoadedModel


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured, one centre crop an image.

    Args:
        model: what was measured.
        data: kind of data.
        split: which split.
        images: how many images.
        accuracy: share of images whose best class is the label's.
        leak_free_images: images that occur in no other split.
        leak_free_accuracy: accuracy on those.
        loss: mean cross-entropy in nats.
        recall: share of each class that is found.
        confusion: images by true class (rows) and predicted class (columns).
        data_sha256: checksum of images and labels.
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

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def predict_dataset(loaded: LoadedModel, data: FaceDataset, *, progress: bool = False) -> np.ndarray:
    """Return the probabilities of every image of a split, (n, classes) float32, in the split's order."""
    contract = loaded.card.preprocessing
    starts = range(0, len(data), 256)
    return np.concatenate(
        [
            loaded.runner.predict(data.inputs(contract, slice(i, i + 256)))
            for i in tqdm(starts, desc=loaded.name, unit="batch", disable=not progress)
        ]
    )


def evaluate(loaded: LoadedModel, data: FaceDataset, *, progress: bool = False) -> Evaluation:
    """Measure a model on a split.

    Args:
        loaded: from `kerafer.load_model`.
        data: the split, from `kerafer.load_data`.
        progress: whether to show a progress bar.

    Returns:
        The measures.

    Raises:
        ValueError: if the data has other classes than the model; their order may differ.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> kerafer.evaluate(kerafer.load_model("ean", weights="fer2013"), synthetic(14)).images
        14
    """
    if set(data.class_names) != set(loaded.card.labels):
        raise ValueError(
            f"The model's labels {loaded.card.labels} must be the data's. Received: {tuple(data.class_names)}"
        )
    probabilities = predict_dataset(loaded, data, progress=progress)
    # an imported model may number the same classes in another order
    probabilities = probabilities[:, [loaded.card.labels.index(name) for name in data.class_names]]
    predicted, classes = probabilities.argmax(axis=1), len(data.class_names)
    right = predicted == data.labels
    confusion = np.bincount(data.labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    totals = confusion.sum(axis=1)
    chosen = probabilities[np.arange(len(data)), data.labels]
    clean = ~data.leaked
    return Evaluation(
        model=loaded.name,
        data=data.name,
        split=data.split,
        images=len(data),
        accuracy=float(right.mean()),
        leak_free_images=int(clean.sum()),
        leak_free_accuracy=float(right[clean].mean()) if clean.any() else float("nan"),
        loss=float(-np.log(np.clip(chosen, 1e-7, 1)).mean()),
        recall={name: float(confusion[i, i] / totals[i]) for i, name in enumerate(data.class_names) if totals[i]},
        confusion=confusion.tolist(),
        data_sha256=data.checksum(),
    )
