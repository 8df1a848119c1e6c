"""Any pictures in one folder a class, with or without a folder a split.

    ROOT/<split>/<class>/*.jpg          for example train/happy/1.jpg, test/happy/7.jpg
    ROOT/<class>/*.jpg                  one split, `train`; or `train` and `val` with held_out=0.1

Splits are called what their folders are called. Where all class folders are names of expressions ("Happiness", "happy"
...), the classes are kerafer's seven, or eight with contempt, in their canonical order. Otherwise the folders' names,
sorted, are the classes. A folder that `kerafer data align` wrote is known by its `align.json`. Files that are no
pictures are not looked at; the licence is the data's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerafer.data.dataset import FaceDataset
from kerafer.data.pictures import ALIGNED, Assign, Listing, add_class_folder, dataset, entries, groups
from kerafer.labels import CANONICAL, LABELS_7, canonical_name, check_labels

SPLITS = ()
"""Whatever the folders are; see `splits`."""

HELD_OUT = ("train", "val")


def read(
    path: str | Path,
    split: str = "train",
    *,
    on_error: str = "raise",
    drop_black: bool = False,
    drop_leaked: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
    class_names: Sequence[str] | None = None,
    held_out: float | None = None,
) -> FaceDataset:
    """Read one split of pictures in folders.

    Args:
        path: the root folder.
        split: name of a split's folder; `"train"`, or with `held_out` also `"val"`, where there are none.
        on_error: `"raise"` refuses a misplaced or unreadable picture, `"skip"` leaves it out and reports it.
        drop_black: leave out pictures of one single value.
        drop_leaked: leave out pictures that also occur in another split.
        cache: folder that keeps what was found in the pictures, so that the next call need not open them.
        progress: whether to show a progress bar on a terminal.
        class_names: names of the class folders in the order of their numbers, for classes of one's own.
        held_out: share of each class, above 0 and below 1, that becomes the split `"val"`, for folders without
            splits. Which pictures these are depends on the content of the files alone, and equal pictures stay
            together.

    Returns:
        The split, its pictures on disk.

    Raises:
        ValueError: if the folders do not fit, a picture cannot be read, or an argument is wrong.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("Anger", "Happiness"):
        ...     (root / name).mkdir()
        ...     Image.new("RGB", (48, 48), name == "Anger" and "red" or "green").save(root / name / "0.png")
        >>> read(root).counts()["happy"]
        1
    """
    root = Path(path)
    parts = _parts(root)
    if held_out is not None and (parts or not 0 < held_out < 1):
        raise ValueError(
            f"`held_out` must be above 0 and below 1, for folders without splits. Received: held_out={held_out!r}"
            + (f", and {root} has the splits {', '.join(parts)}" if parts else "")
        )
    listing = Listing(root, root, parts or HELD_OUT, on_error)
    folders = {part: list(entries(root / part, directories=True)) for part in parts or [""]}
    numbers, names = _classes(root, sorted({name for found in folders.values() for name in found}), class_names)
    for stray in entries(root):
        listing.bad(stray, "expected pictures in a class's folder, received one outside.")
    for part, found in folders.items():
        for stray in entries(root / part) if part else ():
            listing.bad(f"{part}/{stray}", "expected pictures in a class's folder, received one outside.", part)
        for name in found:
            add_class_folder(listing, root / part / name, numbers[name], part or "train")
    read_in = dataset(
        listing,
        split,
        name="folder",
        class_names=names,
        drop_black=drop_black,
        drop_leaked=drop_leaked,
        cache=cache,
        progress=progress,
        assign=None if held_out is None else _holding_out(held_out),
    )
    return replace(read_in, aligned=(root / ALIGNED).is_file())


def splits(path: str | Path, held_out: float | None = None) -> tuple[str, ...]:
    """Return the names of the splits that `read` takes."""
    return tuple(_parts(Path(path))) or (("train",) if held_out is None else HELD_OUT)


def _parts(root: Path) -> list[str]:
    """Return the splits' folders, or none where the root holds the classes."""
    if not root.is_dir():
        raise ValueError(f"{root} is no folder. Expected one that holds a folder for each class or split.")
    folders = list(entries(root, directories=True))
    if not folders:
        raise ValueError(f"{root} holds no folders. Expected ROOT/<class>/*.jpg or ROOT/<split>/<class>/*.jpg.")
    nested = (root / name / inner for name in folders for inner in entries(root / name, directories=True))
    return folders if any(next(entries(folder), None) for folder in nested) else []


def _classes(
    root: Path, folders: list[str], class_names: Sequence[str] | None
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the number of each class folder, and the classes' names."""
    if class_names is not None:
        names = check_labels(class_names)
        if unknown := sorted(set(folders) - set(names)):
            raise ValueError(
                f"{root}: expected folders among `class_names`, {', '.join(names)}. Received: {', '.join(unknown)}"
            )
        return {name: number for number, name in enumerate(names)}, names
    known: dict[str, str] = {}
    for name in folders:
        try:
            known[name] = canonical_name(name)
        except ValueError:
            continue
    if len(known) == len(folders):
        names = CANONICAL if CANONICAL[-1] in known.values() else LABELS_7
        return {name: names.index(expression) for name, expression in known.items()}, names
    for name in folders if known else ():
        # beside folders of expressions, a near miss is a misspelling rather than a class of one's own
        if name not in known and (near := difflib.get_close_matches(name.lower(), CANONICAL, n=1, cutoff=0.75)):
            raise ValueError(
                f"{root}: expected {near[0]!r} or another expression. Received: a folder {name!r}. Rename it, or pass "
                "class_names=(...) if it is a class of its own."
            )
    return {name: number for number, name in enumerate(folders)}, check_labels(folders)


def _holding_out(share: float) -> Assign:
    """Return a function that puts a share of each class into split 1, by content."""

    def assign(hashes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        group = groups(hashes)  # numbers ascend with the hash, so they are in an order of chance
        _, first = np.unique(group, return_index=True)
        held = np.zeros(len(first), np.int64)
        for label in np.unique(labels):
            members = np.flatnonzero(labels[first] == label)
            held[members[: round(share * len(members))]] = 1
        return held[group]

    return assign
