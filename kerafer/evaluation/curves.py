"""Accuracy of models as their pictures become worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from kerafer.data.dataset import FaceDataset
from kerafer.evaluation.corruptions import CORRUPTIONS, check_corruptions
from kerafer.evaluation.predictions import BATCH, predict_pixels
from kerafer.files import write_json

if TYPE_CHECKING:
    from kerafer.loading import LoadedModel


@dataclass(frozen=True)
class Robustness:
    """Accuracy under corruptions, one centre crop an image.

    Args:
        models: what was measured; the order of `accuracy` in every curve.
        data: kind of data.
        split: which split.
        images: how many images.
        seed: decides where pictures are covered.
        resize: (height, width) at which each model's pictures were corrupted.
        curves: for each corruption `unit`, `neutral` (the severity that changes nothing), `severities` (ascending) and
            `accuracy`: for each model one share a severity.
        data_sha256: checksum of images and labels.
    """

    models: tuple[str, ...]
    data: str
    split: str
    images: int
    seed: int
    resize: tuple[tuple[int, int], ...]
    curves: dict[str, dict[str, Any]]
    data_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "models": list(self.models), "resize": [list(size) for size in self.resize]}

    def write(self, folder: str | Path) -> tuple[Path, Path]:
        """Write `robustness.json` and `robustness.png` into a folder, and return their paths."""
        from kerafer.plots import robustness_curves

        table, picture = Path(folder) / "robustness.json", Path(folder) / "robustness.png"
        write_json(table, self.to_dict())
        title = f"Accuracy on {self.data} {self.split}, {self.images:,} images"
        robustness_curves(self.curves, self.models, picture, title)
        return table, picture


def robustness(
    models: LoadedModel | Sequence[LoadedModel],
    data: FaceDataset,
    *,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    severities: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Robustness:
    """Measure accuracy under occlusion, rotation, blur and light.

    Pictures are corrupted at the contract's `resize` size, before the centre crop. Where a picture is covered depends
    on `seed` and its place in the data only, so all models and severities have the same centre of damage, as far as
    whole pixels allow. At the neutral severity the accuracy is exactly that of `kerafer.evaluate`.

    Args:
        models: one or several, from `kerafer.load_model`.
        data: the split.
        corruptions: keys of `kerafer.evaluation.CORRUPTIONS`.
        severities: instead of a corruption's own, by its name; the neutral one is always added.
        seed: decides where pictures are covered.
        progress: whether to show a progress bar.

    Returns:
        One curve for each corruption and model.

    Raises:
        ValueError: if a corruption is unknown, a severity out of range, the data is empty, or a model has other
            classes.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> ean = kerafer.load_model("ean", weights="fer2013")
        >>> found = robustness(ean, synthetic(14), corruptions=["light"], severities={"light": [0.5]})
        >>> found.curves["light"]["severities"]
        (0.5, 1.0)
    """
    models = list(models) if isinstance(models, Sequence) else [models]
    check_corruptions(corruptions)
    given = dict(severities or {})
    if set(given) - set(corruptions):
        raise ValueError(
            f"`severities` must be of corruptions asked for, {', '.join(corruptions)}. Received: {', '.join(given)}"
        )
    steps = {name: CORRUPTIONS[name].check(given.get(name, CORRUPTIONS[name].severities)) for name in corruptions}
    if not models or not len(data):
        raise ValueError(f"`models` and `data` must not be empty. Received: {len(models)} models, {len(data)} images")
    for loaded in models:
        if set(loaded.card.labels) != set(data.class_names):
            raise ValueError(
                f"The data must have the classes of {loaded.name}, {', '.join(loaded.card.labels)}, in any order. "
                f"Received: {', '.join(data.class_names)}"
            )
    right = {name: np.zeros((len(models), len(steps[name])), np.int64) for name in corruptions}
    places = np.random.default_rng(seed).random((len(data), 2))
    resizes = [tuple(loaded.card.preprocessing.resize) for loaded in models]
    with tqdm(total=len(data), unit="image", desc="robustness", disable=not progress) as bar:
        for start in range(0, len(data), BATCH):
            index = np.arange(start, min(start + BATCH, len(data)))
            for resize in dict.fromkeys(resizes):  # models of one size share their corrupted pictures
                group = [number for number, size in enumerate(resizes) if size == resize]
                pixels = data.pixels(index, models[group[0]].card.preprocessing)
                for name, counts in right.items():
                    for column, severity in enumerate(steps[name]):
                        corrupted = CORRUPTIONS[name](pixels, severity, places[index])
                        for number in group:
                            counts[number, column] += _right(models[number], corrupted, data, index)
            bar.update(len(index))
    names = _unique([loaded.name for loaded in models])
    curves = {
        name: {
            "unit": CORRUPTIONS[name].unit,
            "neutral": CORRUPTIONS[name].neutral,
            "severities": steps[name],
            "accuracy": dict(zip(names, (counts / len(data)).tolist(), strict=True)),
        }
        for name, counts in right.items()
    }
    return Robustness(names, data.name, data.split, len(data), seed, tuple(resizes), curves, data.checksum())


def _right(loaded: LoadedModel, pixels: np.ndarray, data: FaceDataset, index: np.ndarray) -> int:
    order = [loaded.card.labels.index(name) for name in data.class_names]
    return int((predict_pixels(loaded, pixels)[:, order].argmax(axis=1) == data.labels[index]).sum())


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Return names made different by a number where they repeat."""
    out: list[str] = []
    for name in names:
        count = 2
        unique = name
        while unique in out:
            unique = f"{name} ({count})"
            count += 1
        out.append(unique)
    return tuple(out)
