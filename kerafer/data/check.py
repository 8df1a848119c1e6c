"""What is in a data set, split by split, and what is wrong with it: as numbers and as a picture."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.data.dataset import READERS, FaceDataset, LoadReport, load_data
from kerafer.files import replacing
from kerafer.preprocess import Preprocessing

SAMPLES = 8
"""Pictures of a class and split in `draw_check`'s figure."""


@dataclass(frozen=True)
class SplitCheck:
    """What `check_data` found in one split.

    Args:
        images: how many images were kept.
        classes: how many of each class.
        sha256: checksum of images and labels, `FaceDataset.checksum`.
        report: what was left out, repeated, leaked and so on.
    """

    images: int
    classes: dict[str, int]
    sha256: str
    report: LoadReport

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, the report's beside the others."""
        return {"images": self.images, "classes": self.classes, "sha256": self.sha256, **self.report.to_dict()}


@dataclass(frozen=True)
class DataCheck:
    """What `check_data` found.

    Args:
        source: what was checked, `KIND:PATH`.
        splits: by name, in the data set's order.
        data: the splits themselves, for `draw_check`.
    """

    source: str
    splits: dict[str, SplitCheck]
    data: dict[str, FaceDataset] = field(repr=False, compare=False)

    @property
    def bad(self) -> int:
        """Rows and files that were left out because they are malformed or unreadable, each counted once."""
        return len({problem for found in self.splits.values() for problem in found.report.skipped})

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, which are the same in all splits."""
        return next(iter(self.data.values())).class_names

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: what was found, by split."""
        return {name: found.to_dict() for name, found in self.splits.items()}


def split_names(source: str, **options: Any) -> tuple[str, ...]:
    """Return the splits that a data set of this kind may have, some of which may not be there.

    Args:
        source: `KIND:PATH`.
        **options: of the reader; only those that decide the splits matter.

    Raises:
        ValueError: if the kind is not known.

    Example:
        >>> split_names("rafdb:somewhere")
        ('train', 'test')
    """
    kind, _, path = source.partition(":")
    if kind not in READERS or not path:
        raise ValueError(f"`source` must be KIND:PATH with KIND one of {', '.join(READERS)}. Received: {source!r}")
    module = import_module(READERS[kind].partition(":")[0])
    if module.SPLITS:
        return module.SPLITS
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no {path} (in {source!r}). Give the path of the data set.")
    return module.splits(path, **{k: v for k, v in options.items() if k == "held_out"})


def check_data(source: str, splits: Sequence[str] | None = None, **options: Any) -> DataCheck:
    """Read all splits of a data set and say what is in them.

    Args:
        source: `KIND:PATH`, such as `"rafdb:data/rafdb"`.
        splits: only these; all that are there by default.
        **options: of the reader; `on_error="skip"` unless given, so that all bad rows are found.

    Returns:
        What was found.

    Raises:
        ValueError: if no split is there, a split asked for is not, or the data cannot be read.

    Example:
        >>> from kerafer.data.samples import write_synthetic_csv
        >>> path = write_synthetic_csv("/tmp/kerafer-doc.csv", train=14, public=7)
        >>> check = check_data(f"fer2013:{path}")
        >>> check.splits["public"].classes["happy"], check.bad
        (1, 0)
    """
    found: dict[str, FaceDataset] = {}
    missing = None
    with tempfile.TemporaryDirectory(prefix="kerafer-check-") as folder:
        settings = {"on_error": "skip", **options}
        if settings.get("cache") is None:
            settings["cache"] = folder  # so that pictures are opened once, and not again for each split
        for name in splits or split_names(source, **options):
            try:
                found[name] = load_data(source, name, **settings)
            except ValueError as error:
                if splits or "has no split" not in str(error):
                    raise
                missing = error
    if not found:
        raise ValueError(f"{source} holds none of its kind's splits.") from missing
    checks = {name: SplitCheck(len(data), data.counts(), data.checksum(), data.report) for name, data in found.items()}
    return DataCheck(source, checks, found)


def draw_check(check: DataCheck, path: str | Path, side: int = 48) -> None:
    """Draw a PNG: some pictures of each class and split, and how many there are.

    Args:
        check: from `check_data`.
        path: where to write.
        side: height and width of each picture, in pixels.
    """
    from matplotlib.figure import Figure

    classes, splits = check.class_names, list(check.data)
    width = 2.2 + len(splits) * (SAMPLES * 0.5 + 0.4) + 4.0
    figure = Figure(figsize=(width, 1.2 + 0.56 * len(classes)), layout="constrained")
    figure.suptitle(f"{check.source.partition(':')[0]}: {sum(map(len, check.data.values())):,} images")
    ratios = [*(SAMPLES * 0.5 for _ in splits), 4.0]
    *grids, bars = figure.subplots(1, len(splits) + 1, width_ratios=ratios)
    for axes, name in zip(grids, splits, strict=True):
        axes.imshow(_samples(check.data[name], side))
        axes.set(title=name, xticks=[], yticks=side * (np.arange(len(classes)) + 0.5), yticklabels=classes)
        axes.tick_params(length=0)
    thick = 0.8 / len(splits)
    for i, name in enumerate(splits):
        counts = list(check.splits[name].classes.values())
        bars.barh(np.arange(len(classes)) + (i - (len(splits) - 1) / 2) * thick, counts, thick, label=name)
    bars.set(title="images", yticks=range(len(classes)), yticklabels=classes, ylim=(len(classes) - 0.5, -0.5))
    bars.grid(axis="x", alpha=0.3)
    bars.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _samples(data: FaceDataset, side: int) -> np.ndarray:
    """Return a sheet with a row of up to `SAMPLES` pictures a class, evenly spaced in the split's order.

    Returns:
        (classes * side, SAMPLES * side, 3) uint8, white where there is no picture.
    """
    contract = Preprocessing(size=(side, side), resize=(side, side))
    sheet = np.full((len(data.class_names), side, SAMPLES, side, 3), 255, np.uint8)
    for number in range(len(data.class_names)):
        members = np.flatnonzero(data.labels == number)
        if not len(members):
            continue
        chosen = members[np.unique(np.linspace(0, len(members) - 1, SAMPLES).round().astype(int))]
        pixels = data.pixels(chosen, contract)  # (n, side, side[, 3])
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        sheet[number, :, : len(chosen)] = np.moveaxis(pixels, 0, 1)
    return sheet.reshape(len(data.class_names) * side, SAMPLES * side, 3)
