"""Any pictures listed in a csv file with a header.

    path,label,split                          split may be left out: all pictures are then of split `train`
    faces/1.jpg,happy,train
    faces/2.jpg,3,test

    path,label,x,y,width,height               with a face box in whole pixels, to which the picture is cut

Paths are relative to the csv and must stay in its folder. A label is the name of an expression or its number in
kerafer's canonical order; classes of one's own are given as `class_names`. The licence is the data's own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from kerafer.data.dataset import FaceDataset
from kerafer.data.pictures import Listing, dataset
from kerafer.files import csv_rows
from kerafer.labels import CANONICAL, canonical_name, check_labels

SPLITS = ()
"""Whatever the column `split` holds; see `splits`."""

NEEDED, SPLIT, BOX = ("path", "label"), "split", ("x", "y", "width", "height")


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
) -> FaceDataset:
    r"""Read one split of pictures listed in a csv.

    Args:
        path: the csv file.
        split: a value of the column `split`, or `"train"` where there is no such column.
        on_error: `"raise"` refuses a malformed line or unreadable picture, `"skip"` leaves it out and reports it.
        drop_black: leave out pictures of one single value.
        drop_leaked: leave out pictures that also occur in another split.
        cache: folder that keeps what was found in the pictures, so that the next call need not open them.
        progress: whether to show a progress bar on a terminal.
        class_names: names of the classes in the order of their numbers; expressions by default.

    Returns:
        The split, its pictures on disk.

    Raises:
        ValueError: if a line is malformed, a picture cannot be read, or an argument is wrong.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (48, 48), "red").save(root / "1.png")
        >>> _ = (root / "list.csv").write_text("path,label\n1.png,Anger\n")
        >>> read(root / "list.csv").counts()["angry"]
        1
    """
    path = Path(path)
    names = None if class_names is None else check_labels(class_names)
    listing = Listing(path, path.parent, (), on_error)
    rows = _rows(path)
    _, header = next(rows)
    for line, row in rows:
        where = f"line {line}"
        if len(row) != len(header):
            listing.bad(where, f"expected {len(header)} columns, received {len(row)}.")
            continue
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
        part = cells.get(SPLIT, "train")
        box = [cells[name] for name in BOX if name in cells]
        if not cells["path"] or not part:
            listing.bad(where, f"expected a path{' and a split' if SPLIT in cells else ''}, received {row}.")
        elif (label := _label(cells["label"], names)) is None:
            expected = f"one of {', '.join(names or CANONICAL)}, or a number from 0 to {len(names or CANONICAL) - 1}"
            hint = "" if names else " For classes of your own, pass class_names=(...)."
            listing.bad(where, f"expected a label: {expected}; received {cells['label'][:40]!r}.{hint}", part)
        elif box and not _is_box(box):
            listing.bad(where, f"expected a box of positive size in whole pixels, received {box}.", part)
        else:
            listing.add(cells["path"], label, part, where, [int(text) for text in box] or None)
    return dataset(
        listing,
        split,
        name="csv",
        class_names=names or listing.expressions(),
        drop_black=drop_black,
        drop_leaked=drop_leaked,
        cache=cache,
        progress=progress,
    )


def splits(path: str | Path, class_names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the names of the splits that `read` takes, in the order in which they first occur."""
    del class_names
    rows = _rows(Path(path))
    _, header = next(rows)
    if SPLIT not in header:
        return ("train",)
    column = header.index(SPLIT)
    found = dict.fromkeys(row[column].strip() for _, row in rows if len(row) == len(header))
    return tuple(name for name in found if name)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the header, then each row, with its line number."""
    if not path.is_file():
        raise ValueError(f"{path} is no file. Expected a csv with the columns path, label.")
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        rows = csv_rows(path, reader)
        header = [name.strip() for name in next(rows, [])]
        _check_header(path, header)
        yield 1, header
        yield from ((reader.line_num, row) for row in rows if row)


def _check_header(path: Path, header: list[str]) -> None:
    boxed = set(header) & set(BOX)
    fits = set(NEEDED) <= set(header) <= {*NEEDED, SPLIT, *BOX} and len(set(header)) == len(header)
    if not fits or boxed not in (set(), set(BOX)):
        raise ValueError(
            f"{path}, line 1: expected the columns path, label, and if wanted split, and x, y, width, height. "
            f"Received: {', '.join(header)[:120] or 'nothing'}"
        )


def _is_box(texts: list[str]) -> bool:
    whole = all(text.removeprefix("-").isdecimal() and len(text) < 10 for text in texts)
    return whole and min(map(int, texts[2:])) > 0


def _label(text: str, names: tuple[str, ...] | None) -> int | None:
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text) if int(text) < len(names or CANONICAL) else None
    if names is not None:
        return names.index(text) if text in names else None
    try:
        return CANONICAL.index(canonical_name(text))
    except ValueError:
        return None
