"""FER2013 in the three forms that people have it: the official csv, npz, and Kaggle's folders.

* `fer2013.csv` with columns emotion, pixels, Usage (in any order), the official file of the 2013 challenge;
* a folder with `train.npz`, `public.npz`, `private.npz`, or one such file: arrays `images` (n, 48, 48) uint8,
  `labels` (n,), optionally `votes` (n, 10) and, in a single file, `usage` (n,);
* Kaggle's folders `train/<class>/*` and `test/<class>/*`; `test` splits into public and private where the file names
  begin with PublicTest and PrivateTest, as they do in the published copy.

Goodfellow et al., "Challenges in representation learning", ICONIP 2013; FER+ votes: Barsoum et al., ICMI 2016.
The data's licence allows research only, and is asked for at its source.
"""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerafer.data.dataset import ON_ERROR, FaceDataset, LoadReport
from kerafer.files import csv_rows, read_npz
from kerafer.labels import LABELS_7, ORDERS, canonical_name, to_canonical

SIDE = 48
SPLITS = ("train", "public", "private")
USAGES = {"Training": "train", "PublicTest": "public", "PrivateTest": "private"}
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}


class Rows:
    """Rows gathered from any form, with what was skipped."""

    def __init__(self, source: Path, on_error: str) -> None:
        self.source, self.on_error = source, on_error
        self.images: list[np.ndarray] = []
        self.labels: list[int] = []
        self.splits: list[str] = []
        self.rows: list[int] = []
        self.votes: list[np.ndarray] = []
        self.skipped: list[str] = []

    def bad(self, where: str, problem: str) -> None:
        """Refuse a row, or count it where the caller chose to skip."""
        if self.on_error == "raise":
            raise ValueError(
                f"{self.source}, {where}: {problem} Mend the file, or pass on_error='skip' (--on-error skip) to leave "
                "such rows out and count them."
            )
        self.skipped.append(f"{where}: {problem}")

    def add(self, image: np.ndarray, label: int, split: str, row: int) -> None:
        """Take a row."""
        self.images.append(image)
        self.labels.append(label)
        self.splits.append(split)
        self.rows.append(row)


def read(
    path: str | Path,
    split: str = "train",
    *,
    on_error: str = "raise",
    drop_black: bool = False,
    drop_leaked: bool = False,
    votes: str | Path | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> FaceDataset:
    """Read one split of FER2013.

    Args:
        path: the csv, the npz file or folder, or Kaggle's folder.
        split: `"train"`, `"public"`, `"private"`, or for Kaggle's folders also `"test"` (both test parts).
        on_error: `"raise"` refuses a malformed row with its line number, `"skip"` leaves it out and reports it.
        drop_black: leave out images of one single value.
        drop_leaked: leave out images that also occur in another split of the same source.
        votes: `fer2013new.csv` of FER+, row for row beside the csv.
        cache: not needed, since all images are in memory; taken so that all readers are called alike.
        progress: not needed either.

    Returns:
        The split, with canonical labels and a report of duplicates, black images and skipped rows.

    Raises:
        ValueError: if an argument is wrong, a row is malformed, or the split is not there.

    Example:
        >>> from kerafer.data import fer2013
        >>> from kerafer.data.samples import write_synthetic_csv
        >>> data = fer2013.read(write_synthetic_csv("/tmp/kerafer-doc.csv", train=14, public=7), "train")
        >>> data.images.shape, data.class_names[3]
        ((14, 48, 48), 'happy')
    """
    del cache, progress
    return select(gather(path, on_error, votes), split, drop_black, drop_leaked)


def gather(path: str | Path, on_error: str, votes: str | Path | None = None) -> Rows:
    """Return the rows of all splits, from any form; arguments as `read`."""
    path = Path(path)
    if on_error not in ON_ERROR:
        raise ValueError(f"`on_error` must be one of {ON_ERROR}. Received: on_error={on_error!r}")
    rows = Rows(path, on_error)
    if path.is_dir() and (path / "train").is_dir():
        _read_folders(path, rows)
    elif path.is_dir() or path.suffix == ".npz":
        _read_npz(path, rows)
    else:
        _read_csv(path, rows)
    if not rows.images:
        raise ValueError(f"{path} holds no FER2013 image. Expected a csv, npz or folder as described in {__name__}.")
    if votes is not None:
        _read_votes(Path(votes), rows)
    return rows


def _read_csv(path: Path, rows: Rows) -> None:
    with open(path, newline="", encoding="ascii", errors="replace") as file, warnings.catch_warnings():
        # numpy only warns when a row of pixels ends in something that is no number
        warnings.simplefilter("error", DeprecationWarning)
        reader = csv_rows(path, csv.reader(file))
        header = [name.strip() for name in next(reader, [])]
        if sorted(header) != ["Usage", "emotion", "pixels"]:
            raise ValueError(
                f"{path}, line 1: expected the columns emotion, pixels, Usage of the official fer2013.csv. "
                f"Received: {', '.join(header)[:80] or 'nothing'}"
            )
        columns = [header.index(name) for name in ("emotion", "pixels", "Usage")]
        for number, row in enumerate(reader):
            where = f"line {number + 2}"
            if len(row) != 3:
                rows.bad(where, f"expected 3 columns, received {len(row)} (is the file truncated?).")
                continue
            label, pixels, usage = (row[c] for c in columns)
            if label not in "0123456" or len(label) != 1:
                rows.bad(where, f"expected a label from 0 to 6, received {label[:20]!r}.")
            elif usage.strip() not in USAGES:
                rows.bad(where, f"expected a usage of {', '.join(USAGES)}, received {usage[:20]!r}.")
            elif isinstance(image := _pixels(pixels), str):
                rows.bad(where, image)
            else:
                rows.add(image, int(label), USAGES[usage.strip()], number)


def _pixels(text: str) -> np.ndarray | str:
    """Return a (48, 48) uint8 image from "70 80 82 ...", or what is wrong with the text."""
    try:
        values = np.fromstring(text, dtype=np.int64, sep=" ")
    except (DeprecationWarning, ValueError):
        return "the pixels hold something that is not a whole number."
    if values.size != SIDE * SIDE:
        return f"expected {SIDE * SIDE} pixels, received {values.size}."
    if values.min() < 0 or values.max() > 255:
        return f"expected pixels from 0 to 255, received {values.min()} to {values.max()}."
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _read_npz(path: Path, rows: Rows) -> None:
    parts = [path] if path.is_file() else [p for s in SPLITS if (p := path / f"{s}.npz").is_file()]
    offset = 0
    for part in parts:
        arrays = read_npz(part)
        images, labels = (arrays.get(name, np.empty(())) for name in ("images", "labels"))
        count = labels.shape
        expected = {"images": (*count, SIDE, SIDE), "usage": count, "votes": (*count, len(ORDERS["ferplus"]))}
        fits = all(arrays[name].shape == shape for name, shape in expected.items() if name in arrays)
        whole = len(count) == 1 and images.dtype == np.uint8 and labels.dtype.kind in "iu"
        if not (fits and whole):
            shapes = {k: f"{v.dtype}{v.shape}" for k, v in arrays.items()}
            raise ValueError(
                f"{part}: expected `images` (n, {SIDE}, {SIDE}) uint8 and `labels` (n,) of whole numbers; where there "
                f"are, `usage` (n,) and `votes` {expected['votes'][1:]} for each image. Received: {shapes}"
            )
        usages = arrays.get("usage")
        if usages is None and part.stem not in SPLITS:
            raise ValueError(
                f"{part}: without an array `usage`, the file must be named after its split, one of "
                f"{', '.join(s + '.npz' for s in SPLITS)}."
            )
        for i in range(len(labels)):
            usage = part.stem if usages is None else USAGES.get(str(usages[i]), str(usages[i]))
            if not 0 <= labels[i] <= 6:
                rows.bad(f"{part.name} image {i}", f"expected a label from 0 to 6, received {labels[i]}.")
            elif usage not in SPLITS:
                rows.bad(f"{part.name} image {i}", f"expected a usage of {', '.join(USAGES)}, received {usage!r}.")
            else:
                rows.add(images[i], int(labels[i]), usage, offset + i)
                if "votes" in arrays:
                    rows.votes.append(arrays["votes"][i])
        offset += len(labels)


def _read_folders(path: Path, rows: Rows) -> None:
    from kerafer.images import read_image

    number = 0
    for part in ("train", "test"):
        for folder in sorted(p for p in (path / part).glob("*") if p.is_dir()):
            label = LABELS_7.index(canonical_name(folder.name))
            for file in sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES):
                usage = USAGES.get(file.name.partition("_")[0], part)
                try:
                    image = read_image(file)
                except ValueError as error:
                    rows.bad(str(file.relative_to(path)), f"{error}")
                    continue
                if image.shape[:2] != (SIDE, SIDE):
                    rows.bad(str(file.relative_to(path)), f"expected {SIDE}x{SIDE} pixels, received {image.shape}.")
                    continue
                rows.add(image[..., 0], label, usage, number)
                number += 1


def _read_votes(path: Path, rows: Rows) -> None:
    """Read FER+'s `fer2013new.csv`: one row per row of fer2013.csv, in the same order."""
    columns, number = len(ORDERS["ferplus"]), -1
    votes: dict[int, np.ndarray] = {}
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        reader = csv_rows(path, csv.reader(file))
        header = tuple(_column(name) for name in next(reader, [])[-columns:])
        if header != ORDERS["ferplus"]:
            raise ValueError(
                f"{path}, line 1: expected columns that end in {', '.join(ORDERS['ferplus'])}. "
                f"Received: {', '.join(header)[:120] or 'nothing'}"
            )
        for number, row in enumerate(reader):
            cells = row[-columns:]
            if len(cells) == columns and all(cell.strip().isdecimal() and len(cell) < 10 for cell in cells):
                votes[number] = np.array(cells, np.int64)
            else:
                rows.bad(f"{path.name} line {number + 2}", f"expected {columns} whole numbers of votes at its end.")
    if number < max(rows.rows):
        raise ValueError(
            f"{path}: expected votes for at least {max(rows.rows) + 1} rows, received {number + 1}. "
            "The file must belong to the same fer2013.csv."
        )
    kept = [i for i, row in enumerate(rows.rows) if row in votes]
    for name in ("images", "labels", "splits", "rows"):
        setattr(rows, name, [getattr(rows, name)[i] for i in kept])
    rows.votes = [votes[row] for row in rows.rows]


def _column(name: str) -> str:
    try:
        return canonical_name(name)
    except ValueError:
        return name.strip()  # "unknown" and "NF"


def select(
    rows: Rows,
    split: str,
    drop_black: bool,
    drop_leaked: bool,
    *,
    name: str = "fer2013",
    labels: np.ndarray | None = None,
    class_names: tuple[str, ...] = LABELS_7,
    left_out: dict[str, np.ndarray] | None = None,
) -> FaceDataset:
    """Return one split of gathered rows, with its report.

    Args:
        rows: from `gather`.
        split: its name.
        drop_black: leave out images of one single value.
        drop_leaked: leave out images that also occur in another split.
        name: kind of data.
        labels: (n,) canonical class numbers, FER2013's own by default.
        class_names: name of each class number.
        left_out: (n,) masks of rows without a usable label, by reason; they are counted, and compared with nothing.
    """
    splits = np.array(rows.splits)
    wanted = np.isin(splits, ["test", "public", "private"]) if split == "test" else splits == split
    if not wanted.any():
        held = ", ".join(sorted(set(rows.splits)))
        raise ValueError(f"{rows.source} has no split {split!r}; it holds {held}. Choose one of these.")
    images, seen = np.stack(rows.images), int(wanted.sum())
    if labels is None:
        labels = np.array(to_canonical("fer2013"), np.int64)[rows.labels]
    dropped, usable = {}, np.ones(len(images), bool)
    for reason, mask in (left_out or {}).items():
        dropped[reason] = int((wanted & mask).sum())
        usable &= ~mask
    wanted &= usable
    groups: dict[bytes, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        if usable[i]:
            groups[hashlib.blake2b(image, digest_size=16).digest()].append(i)
    leaked, repeated = np.zeros(len(images), bool), 0
    duplicates: dict[str, int] = defaultdict(int)
    for members in groups.values():
        mine = [i for i in members if wanted[i]]
        others = {rows.splits[i] for i in members if not wanted[i]}
        repeated += max(0, len(mine) - 1)
        for other in others:
            duplicates[other] += len(mine)
        leaked[mine] = bool(others)
    black = wanted & (images.reshape(len(images), -1).min(axis=1) == images.reshape(len(images), -1).max(axis=1))
    keep = wanted.copy()
    if drop_black:
        dropped["black"] = int((keep & black).sum())
        keep &= ~black
    if drop_leaked:
        dropped["leaked"] = int((keep & leaked).sum())
        keep &= ~leaked
    numbers = np.array(rows.rows, np.int64)
    report = LoadReport(
        rows=seen + len(rows.skipped),
        skipped=tuple(rows.skipped),
        black=tuple(numbers[black].tolist()),
        dropped=dropped,
        duplicates=dict(sorted(duplicates.items())),
        repeated=repeated,
        conflicting=sum(len(set(labels[members])) > 1 for members in groups.values()),
    )
    everything = FaceDataset(
        name=name,
        split=split,
        images=images,
        labels=labels,
        class_names=class_names,
        rows=numbers,
        leaked=leaked,
        votes=np.array(rows.votes) if rows.votes else None,
        report=report,
    )
    return replace(everything.take(keep), report=report)
