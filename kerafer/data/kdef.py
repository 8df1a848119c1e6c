"""KDEF: 70 people, seven posed expressions, five angles, two sessions, photographed in Stockholm in 1998.

    KDEF/AF01/AF01ANS.JPG

A name holds the session (A, B), the sex (F, M), the person (01 to 35), the expression (AF afraid, AN angry,
DI disgusted, HA happy, NE neutral, SA sad, SU surprised) and the angle (FL full left, HL half left, S straight, HR half
right, FR full right). The path is `KDEF`, or a folder that holds it. Only names count, not the folders below.

KDEF has no official splits. Pictures of one person must not be in two, or a model is measured on faces that it knows:
so people are dealt to `folds` folds, and fold `fold` is the test split. Woman n is in fold (n - 1) mod folds, man n
in fold (n + 34) mod folds, whichever people are there.

Lundqvist, Flykt and Öhman, "The Karolinska Directed Emotional Faces", Karolinska Institutet, 1998. For researchers and
non-commercial purposes only, at kdef.se; it may not be redistributed without written consent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from kerafer.data.dataset import FaceDataset
from kerafer.data.pictures import Listing, dataset, entries
from kerafer.labels import LABELS_7, to_canonical

SPLITS = ("train", "test")
ANGLES = ("FL", "HL", "S", "HR", "FR")
CODES = ("AF", "AN", "DI", "HA", "NE", "SA", "SU")
"""What file names call the classes, in the order that `kerafer.labels` holds."""

PEOPLE = 35
_NAME = re.compile(rf"[AB]([FM])(\d\d)({'|'.join(CODES)})({'|'.join(ANGLES)})\.JPE?G")


def read(
    path: str | Path,
    split: str = "train",
    *,
    on_error: str = "raise",
    drop_black: bool = False,
    drop_leaked: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
    angles: str | Sequence[str] = ("S",),
    folds: int = 10,
    fold: int = 0,
) -> FaceDataset:
    """Read one split of KDEF, divided by person.

    Args:
        path: the folder `KDEF`, or one that holds it.
        split: `"train"` or `"test"`.
        on_error: `"raise"` refuses an unreadable picture or a name that does not fit, `"skip"` leaves it out and
            reports it.
        drop_black: leave out pictures of one single value.
        drop_leaked: leave out pictures that also occur in the other split.
        cache: folder that keeps what was found in the pictures, so that the next call need not open them.
        progress: whether to show a progress bar on a terminal.
        angles: among `ANGLES`; straight only by default.
        folds: how many groups of people there are, 2 to 35.
        fold: which of them is the test split, from 0.

    Returns:
        The split, with canonical labels and its pictures on disk.

    Raises:
        ValueError: if a name does not fit, a picture cannot be read, or an argument is wrong.

    Example:
        >>> read("/tmp", angles=("X",))
        Traceback (most recent call last):
        ...
        ValueError: `angles` must be among FL, HL, S, HR, FR. Received: angles=('X',)
    """
    chosen = (angles,) if isinstance(angles, str) else tuple(angles)
    if not chosen or not set(chosen) <= set(ANGLES):
        raise ValueError(f"`angles` must be among {', '.join(ANGLES)}. Received: angles={angles!r}")
    if not 2 <= folds <= PEOPLE or not 0 <= fold < folds:
        raise ValueError(
            f"`folds` must be 2 to {PEOPLE} and `fold` 0 to folds - 1. Received: folds={folds}, fold={fold}"
        )
    root = next((p for p in (Path(path) / "KDEF", Path(path) / "KDEF_and_AKDEF/KDEF") if p.is_dir()), Path(path))
    listing = Listing(root, root, SPLITS, on_error)
    order = to_canonical("kdef")
    for folder, folders, _ in os.walk(root):
        folders.sort()
        for name in entries(Path(folder)):
            where = (Path(folder) / name).relative_to(root).as_posix()
            fits = _NAME.fullmatch(name.upper())
            if not fits or not 1 <= int(fits[2]) <= PEOPLE:
                listing.bad(where, "expected a name such as AF01ANS.JPG (session, sex, person, expression, angle).")
                continue
            place = int(fits[2]) - 1 + (PEOPLE if fits[1] == "M" else 0)
            part = "test" if place % folds == fold else "train"
            if fits[4] in chosen:
                listing.add(where, order[CODES.index(fits[3])], part, where)
            else:
                listing.leave_out(part, "angle")
    return dataset(
        listing,
        split,
        name="kdef",
        class_names=LABELS_7,
        drop_black=drop_black,
        drop_leaked=drop_leaked,
        cache=cache,
        progress=progress,
    )
