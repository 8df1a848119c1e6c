"""From a reader's listing of picture files to a `FaceDataset`: the part that all data sets of files share.

A reader lists the pictures of all splits; here every picture is opened once (`kerafer.data.scanning`), bad ones are
refused or reported, equal ones are found by the content of their files, and the split asked for is returned with
its pictures still on disk.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerafer.data.dataset import ON_ERROR, FaceDataset, LoadReport
from kerafer.data.scanning import scan
from kerafer.data.stored import ImageFiles, Names
from kerafer.files import inside
from kerafer.labels import CANONICAL, LABELS_7

ALIGNED = "align.json"
"""The file by which a folder of aligned faces is known."""

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
"""Files that are taken for pictures, in any case of letters."""

Assign = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Listing:
    """Pictures that a reader found, before any is opened.

    Args:
        source: file or folder that error messages name.
        root: folder that the names are relative to.
        splits: names of the splits.
        on_error: `"raise"` refuses a bad row, `"skip"` leaves it out and reports it.
    """

    def __init__(self, source: Path, root: Path, splits: Sequence[str], on_error: str) -> None:
        if on_error not in ON_ERROR:
            raise ValueError(f"`on_error` must be one of {ON_ERROR}. Received: on_error={on_error!r}")
        self.source, self.root, self.on_error = source, root, on_error
        self.split_names = list(splits)
        self.names = Names()
        self.labels, self.splits, self.rows = array("h"), array("h"), array("q")
        self.boxes = array("i")
        self.left_out: Counter[tuple[str, str]] = Counter()
        self.problems: list[tuple[str | None, str]] = []
        self.seen = 0

    def bad(self, where: str, problem: str, split: str | None = None) -> None:
        """Refuse a row, or count it in its split (in every split if None) where the caller chose to skip."""
        self.seen += 1
        self.refuse(where, problem, split)

    def refuse(self, where: str, problem: str, split: str | None) -> None:
        """Do as `bad` for a row that was counted already."""
        if self.on_error == "raise":
            raise ValueError(
                f"{self.source}, {where}: {problem} Mend it, or pass on_error='skip' (--on-error skip) to leave such "
                "rows out and count them."
            )
        self.problems.append((split, f"{where}: {problem}"))

    def leave_out(self, split: str, reason: str) -> None:
        """Count a good picture that is not wanted."""
        self.seen += 1
        self.left_out[split, reason] += 1

    def add(self, name: str, label: int, split: str, where: str, box: Sequence[int] | None = None) -> None:
        """Take a picture.

        Args:
            name: path under the root; one that leaves it is a bad row.
            label: canonical class number.
            split: its split; a new one is added.
            where: place in the source, for an error message.
            box: (x, y, width, height) of the part to use; either all pictures have one or none.
        """
        if ".." in name or "\\" in name or ":" in name or name.startswith("/"):  # resolving every name takes minutes
            try:
                inside(self.root, name)
            except ValueError as error:
                self.bad(where, str(error), split)
                return
        if split not in self.split_names:
            self.split_names.append(split)
        self.names.append(name)
        self.labels.append(label)
        self.splits.append(self.split_names.index(split))
        self.rows.append(self.seen)
        if box is not None:
            self.boxes.extend(box)
        self.seen += 1

    def expressions(self) -> tuple[str, ...]:
        """Return the seven classes, or eight where contempt occurs in any split."""
        return CANONICAL if len(LABELS_7) in self.labels else LABELS_7


def dataset(
    listing: Listing,
    split: str,
    *,
    name: str,
    class_names: Sequence[str],
    drop_black: bool = False,
    drop_leaked: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
    assign: Assign | None = None,
) -> FaceDataset:
    """Open every picture of a listing once, and return the split asked for.

    Args:
        listing: pictures of all splits.
        split: which one.
        name: kind of data.
        class_names: name of each class number.
        drop_black: leave out pictures of one single value.
        drop_leaked: leave out pictures that also occur in another split.
        cache: folder that keeps what was found in the pictures.
        progress: whether to show a progress bar on a terminal.
        assign: returns the number of each readable picture's split from its content hash, (n, 16) uint8, and its
            label, (n,), where the splits are not the listing's own.

    Returns:
        The split, its pictures on disk, with its report.

    Raises:
        ValueError: if the split is not there, or one of its pictures cannot be read and the caller did not choose to
            skip.
    """
    if not len(listing.names):
        first = f" The first row that was left out: {listing.problems[0][1]}" if listing.problems else ""
        raise ValueError(f"{listing.source} lists no picture of a face.{first}")
    boxes = np.array(listing.boxes, np.int32).reshape(-1, 4) if listing.boxes else None
    found = scan(ImageFiles(listing.root, listing.names, boxes), cache, progress=progress)
    labels = np.array(listing.labels, np.int64)
    splits = np.array(listing.splits, np.int64)
    if assign is not None:
        splits[found.readable] = assign(found.hashes[found.readable], labels[found.readable])
    held = [n for i, n in enumerate(listing.split_names) if (splits == i).any()]
    if split not in held:
        raise ValueError(f"{listing.source} has no split {split!r}; it holds {', '.join(held)}. Choose one of these.")
    number = listing.split_names.index(split)
    for i, reason in found.problems.items():
        if splits[i] == number:
            listing.refuse(listing.names[i], reason, split)
    skipped = tuple(text for of, text in listing.problems if of in (None, split))
    dropped = {reason: count for (of, reason), count in listing.left_out.items() if of == split}
    same = compare(found.hashes[found.readable], labels[found.readable], splits[found.readable], number)
    wanted = (splits == number) & found.readable
    if not wanted.any():
        raise ValueError(f"{listing.source}: no picture of split {split!r} can be read. The first: {skipped[0]}")
    leaked = np.zeros(len(splits), bool)
    leaked[found.readable] = same.leaked
    keep, rows = wanted.copy(), np.array(listing.rows, np.int64)
    for unwanted, reason, chosen in ((found.black, "black", drop_black), (leaked, "leaked", drop_leaked)):
        if chosen:
            dropped[reason] = int((keep & unwanted).sum())
            keep &= ~unwanted
    report = LoadReport(
        rows=int(wanted.sum()) + len(skipped) + sum(c for (of, _), c in listing.left_out.items() if of == split),
        skipped=skipped,
        black=tuple(rows[wanted & found.black].tolist()),
        dropped=dropped,
        duplicates={listing.split_names[i]: count for i, count in same.duplicates.items()},
        repeated=same.repeated,
        conflicting=same.conflicting,
    )
    gray = bool(found.gray[found.readable].all())
    numbers = np.flatnonzero(keep)
    return FaceDataset(
        name=name,
        split=split,
        images=ImageFiles(listing.root, listing.names, boxes, hashes=found.hashes, gray=gray, numbers=numbers),
        labels=labels[numbers],
        class_names=tuple(class_names),
        rows=rows[numbers],
        leaked=leaked[numbers],
        report=report,
    )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Which pictures of a split are equal to others, by content hash.

    Args:
        leaked: (n,) bool, True for a picture of the split that also occurs in another one.
        duplicates: how many pictures of the split occur in each other split's number.
        repeated: pictures of the split that repeat an earlier one of it.
        conflicting: groups of equal pictures, over all splits, whose labels differ.
    """

    leaked: np.ndarray
    duplicates: dict[int, int]
    repeated: int
    conflicting: int


def compare(hashes: np.ndarray, labels: np.ndarray, splits: np.ndarray, split: int) -> Comparison:
    """Find equal pictures.

    Args:
        hashes: (n, 16) uint8.
        labels: (n,) class numbers.
        splits: (n,) number of each picture's split.
        split: the split asked for.

    Example:
        >>> hashes = np.repeat(np.array([[1], [2], [1], [1]], np.uint8), 16, axis=1)
        >>> found = compare(hashes, np.array([0, 0, 0, 3]), np.array([0, 0, 0, 1]), 0)
        >>> found.leaked.tolist(), found.duplicates, found.repeated, found.conflicting
        ([True, False, True, False], {1: 2}, 1, 1)
    """
    group = groups(hashes)
    count = int(group.max(initial=-1)) + 1
    wanted = splits == split
    leaked, duplicates = np.zeros(len(splits), bool), {}
    for other in sorted(set(np.unique(splits).tolist()) - {split}):
        there = np.zeros(count, bool)
        there[group[splits == other]] = True
        shared = wanted & there[group]
        leaked |= shared
        if shared.any():
            duplicates[other] = int(shared.sum())
    lowest, highest = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(lowest, group, labels)
    np.maximum.at(highest, group, labels)
    return Comparison(
        leaked=leaked,
        duplicates=duplicates,
        repeated=int(wanted.sum()) - len(np.unique(group[wanted])),
        conflicting=int((lowest != highest).sum()),
    )


def groups(hashes: np.ndarray) -> np.ndarray:
    """Return (n,) group numbers, equal for equal rows of (n, 16) uint8 and ascending with the hash."""
    halves = np.ascontiguousarray(hashes).view(">u8").reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    new = np.ones(len(order), np.int64)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(axis=1)
    out = np.empty(len(order), np.int64)
    out[order] = np.cumsum(new) - 1
    return out


def entries(folder: Path, *, directories: bool = False) -> Iterator[str]:
    """Yield the names of the pictures (or directories) in a folder, sorted, without hidden ones."""
    with os.scandir(folder) as found:
        names = [
            e.name
            for e in found
            if not e.name.startswith(".")
            and (e.is_dir() if directories else os.path.splitext(e.name)[1].lower() in SUFFIXES and not e.is_dir())
        ]
    yield from sorted(names)


def add_class_folder(listing: Listing, folder: Path, label: int, split: str) -> None:
    """Take all pictures of a class's folder; a folder inside it is a bad row."""
    where = folder.relative_to(listing.root).as_posix()
    for name in entries(folder, directories=True):
        listing.bad(f"{where}/{name}", "expected pictures in a class's folder, received a folder.", split)
    for name in entries(folder):
        listing.add(f"{where}/{name}", label, split, f"{where}/{name}")
