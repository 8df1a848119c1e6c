"""AffectNet's manually annotated faces in the two forms that its authors have released.

The lists, with whole pictures that are cut to the face box of the list:

    Manually_Annotated_file_lists/training.csv, validation.csv        (or both files directly in the path)
    Manually_Annotated_Images/                                        (or in Manually_Annotated/)

with the columns subDirectory_filePath, face_x, face_y, face_width, face_height, facial_landmarks, expression, valence,
arousal; a list without its header line is taken to have these. Or the later form, with cut faces:

    train_set/images/0.jpg    train_set/annotations/0_exp.npy
    val_set/images/1.jpg      val_set/annotations/1_exp.npy

Expressions are 0 neutral, 1 happy, 2 sad, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt; 8 none, 9 uncertain and
10 non-face are left out and counted. The kind `affectnet8` keeps contempt, `affectnet7` leaves it out as well.

Mollahosseini, Hasani and Mahoor, "AffectNet: a database for facial expression, valence, and arousal computing in the
wild", IEEE Transactions on Affective Computing 10(1), 2019. For research, asked for from the authors' laboratory at
mohammadmahoor.com.
"""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

import numpy as np

from kerafer.data.dataset import FaceDataset
from kerafer.data.pictures import Listing, dataset, entries
from kerafer.data.scanning import fingerprint, kept
from kerafer.data.stored import ImageFiles, Names
from kerafer.data.threads import chunks, in_order
from kerafer.files import DAMAGE, csv_rows
from kerafer.labels import CANONICAL, ORDERS, to_canonical

SPLITS = ("train", "val")
LISTS = {"train": "training.csv", "val": "validation.csv"}
FOLDERS = {"train": "train_set", "val": "val_set"}
COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)
NUMBERS = to_canonical("affectnet")
MISSING, MALFORMED = -1, -2
"""Of an annotation, instead of its number."""


def read(
    path: str | Path,
    split: str = "train",
    *,
    on_error: str = "raise",
    drop_black: bool = False,
    drop_leaked: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
    classes: int = 8,
) -> FaceDataset:
    """Read one split of AffectNet.

    Args:
        path: the folder of either form.
        split: `"train"` or `"val"`.
        on_error: `"raise"` refuses a malformed row or unreadable picture, `"skip"` leaves it out and reports it.
        drop_black: leave out pictures of one single value.
        drop_leaked: leave out pictures that also occur in the other split.
        cache: folder that keeps what was found in the pictures, so that the next call need not open them.
        progress: whether to show a progress bar on a terminal.
        classes: 8, or 7 to leave contempt out.

    Returns:
        The split, with canonical labels and its pictures on disk.

    Raises:
        ValueError: if neither form is there, a row is malformed, a picture cannot be read, or an argument is wrong.

    Example:
        >>> read("/tmp", classes=6)
        Traceback (most recent call last):
        ...
        ValueError: `classes` must be 7 or 8. Received: classes=6
    """
    if classes not in {7, 8}:
        raise ValueError(f"`classes` must be 7 or 8. Received: classes={classes!r}")
    root = Path(path)
    lists = root / "Manually_Annotated_file_lists" if (root / "Manually_Annotated_file_lists").is_dir() else root
    if any((lists / name).is_file() for name in LISTS.values()):
        images = next((p for p in _image_folders(root) if p.is_dir()), None)
        if images is None:
            raise ValueError(f"{root} holds AffectNet's lists, but no folder Manually_Annotated_Images.")
        listing = Listing(root, images, SPLITS, on_error)
        for part, name in LISTS.items():
            if (lists / name).is_file():
                _read_list(listing, lists / name, part, classes)
    elif any((root / name).is_dir() for name in FOLDERS.values()):
        listing = Listing(root, root, SPLITS, on_error)
        for part, name in FOLDERS.items():
            if (root / name).is_dir():
                _read_folder(listing, name, part, classes, cache)
    else:
        raise ValueError(
            f"{root} holds neither Manually_Annotated_file_lists/training.csv nor train_set/images. Expected one of "
            f"the forms described in {__name__}."
        )
    return dataset(
        listing,
        split,
        name=f"affectnet{classes}",
        class_names=CANONICAL[:classes],
        drop_black=drop_black,
        drop_leaked=drop_leaked,
        cache=cache,
        progress=progress,
    )


read_7 = partial(read, classes=7)
read_8 = partial(read, classes=8)


def _image_folders(root: Path) -> tuple[Path, ...]:
    names = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
    return (*(root / name for name in names), root.parent / names[0])


def _take(
    listing: Listing, classes: int, name: str, expression: int, part: str, where: str, box: list[int] | None = None
) -> None:
    """Add a picture, or count it where its expression is not wanted."""
    number = NUMBERS[expression]
    if number is None or number >= classes:
        listing.leave_out(part, ORDERS["affectnet"][expression])
    else:
        listing.add(name, number, part, where, box)


def _read_list(listing: Listing, path: Path, part: str, classes: int) -> None:
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.reader(file)
        for row in csv_rows(path, reader):
            where = f"{path.name} line {reader.line_num}"
            if reader.line_num == 1 and COLUMNS[0] in row:
                if tuple(name.strip() for name in row) != COLUMNS:
                    raise ValueError(f"{path}, line 1: expected the columns {', '.join(COLUMNS)}. Received: {row}")
            elif len(row) != len(COLUMNS):
                listing.bad(
                    where, f"expected {len(COLUMNS)} columns, received {len(row)} (is the file cut off?).", part
                )
            elif (expression := _expression(row[6])) is None:
                listing.bad(where, f"expected an expression from 0 to {len(NUMBERS) - 1}, received {row[6]!r}.", part)
            elif NUMBERS[expression] is None:  # such rows often have no box
                _take(listing, classes, row[0], expression, part, where)
            elif (box := _box(row[1:5])) is None:
                listing.bad(where, f"expected a face box of positive size in whole pixels, received {row[1:5]}.", part)
            else:
                _take(listing, classes, row[0], expression, part, where, box)


def _expression(text: str) -> int | None:
    text = text.strip()
    fits = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if fits and int(text) < len(NUMBERS) else None


def _box(texts: list[str]) -> list[int] | None:
    try:
        box = [int(text) for text in texts]
    except ValueError:
        return None
    return box if min(box[2:]) > 0 and max(map(abs, box)) < 2**31 else None


def _read_folder(listing: Listing, folder: str, part: str, classes: int, cache: str | Path | None) -> None:
    images, annotations = listing.root / folder / "images", listing.root / folder / "annotations"
    for place in (images, annotations):
        if not place.is_dir():
            raise ValueError(f"{place} is missing. Expected {folder}/images/0.jpg and {folder}/annotations/0_exp.npy.")
    pictures = Names(entries(images))
    labels = Names(f"{Path(name).stem}_exp.npy" for name in pictures)
    files = ImageFiles(annotations, labels)

    def fits(found: dict[str, np.ndarray]) -> bool:
        [values] = found.values() if found.keys() == {"labels"} else [np.zeros(0)]
        return values.shape == (len(files),) and set(values.tolist()) <= {MISSING, MALFORMED, *range(len(NUMBERS))}

    found = kept(cache, "annotations", lambda: fingerprint(files), lambda: {"labels": _annotations(files)}, fits)
    for number, expression in enumerate(found["labels"].tolist()):
        where = f"{folder}/annotations/{labels[number]}"
        if expression == MISSING:
            listing.bad(where, f"the annotation of {folder}/images/{pictures[number]} is missing.", part)
        elif expression == MALFORMED:
            listing.bad(where, f"expected one number from 0 to {len(NUMBERS) - 1} in a .npy file.", part)
        else:
            _take(listing, classes, f"{folder}/images/{pictures[number]}", expression, part, where)
    names = {p.name for p in annotations.glob("*_exp.npy")}
    for name in sorted(names.difference(labels)):
        listing.bad(f"{folder}/annotations/{name}", f"its picture in {folder}/images is missing.", part)


def _annotations(files: ImageFiles) -> np.ndarray:
    """Return (n,) int8 expressions from `.npy` files, `MISSING` or `MALFORMED` where there is none."""

    def look(part: range) -> list[int]:
        return [_annotation(files.path(number)) for number in part]

    found = [value for values in in_order(look, chunks(len(files))) for value in values]
    return np.array(found, np.int8)


def _annotation(path: Path) -> int:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return MISSING
    try:
        # a number, or a text such as "3": both are in use
        value = float(np.load(io.BytesIO(content), allow_pickle=False).item())
    except DAMAGE:
        return MALFORMED
    return int(value) if value in range(len(NUMBERS)) else MALFORMED
