"""FER+: the images of FER2013 with ten new votes each, eight classes.

    fer2013.csv  fer2013new.csv      both in the folder that is the path
    train.npz  public.npz ...        or FER2013's npz form with an array `votes` (n, 10): a folder or one file

The label is the class that most votes name, by the paper's rule "majority voting" as its published code has it: a class
with a single vote is taken for a mistake and loses it; the winner must then have more than half of the votes that are
left. Images without such a winner, and those that are found to be unknown or no face, are left out and counted. The
votes themselves stay with the data set, for `FaceDataset.distributions`.

Barsoum, Zhang, Canton Ferrer and Zhang, "Training deep networks for facial expression recognition with crowd-sourced
label distribution", ICMI 2016. The votes are at github.com/microsoft/FERPlus; the images are FER2013's, with its terms.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerafer.data import fer2013
from kerafer.data.dataset import FaceDataset
from kerafer.labels import CANONICAL, LABELS_7, ORDERS, to_canonical

SPLITS = fer2013.SPLITS
IMAGES, VOTES = "fer2013.csv", "fer2013new.csv"


def read(
    path: str | Path,
    split: str = "train",
    *,
    on_error: str = "raise",
    drop_black: bool = False,
    drop_leaked: bool = False,
    classes: int = 8,
    cache: str | Path | None = None,
    progress: bool = True,
) -> FaceDataset:
    """Read one split of FER2013 with FER+ labels.

    Args:
        path: the folder with both csv files, or FER2013's npz form with votes.
        split: `"train"`, `"public"` or `"private"`.
        on_error: `"raise"` refuses a malformed row with its line number, `"skip"` leaves it out and reports it.
        drop_black: leave out images of one single value.
        drop_leaked: leave out images that also occur in another split.
        classes: 8, or 7 to leave contempt out.
        cache: not needed, since all images are in memory; taken so that all readers are called alike.
        progress: not needed either.

    Returns:
        The split, with canonical labels, its votes, and a report of what was left out.

    Raises:
        ValueError: if the votes are missing, a row is malformed, or an argument is wrong.

    Example:
        >>> majority(np.array([[6, 0, 0, 1, 0, 0, 0, 2, 1, 0], [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]]))
        array([ 0, -1])
    """
    del cache, progress
    if classes not in {7, 8}:
        raise ValueError(f"`classes` must be 7 or 8. Received: classes={classes!r}")
    path = Path(path)
    if path.is_dir() and (path / IMAGES).is_file():
        if not (path / VOTES).is_file():
            raise ValueError(f"{path / VOTES} is missing. Expected the votes of FER+ beside {IMAGES}.")
        rows = fer2013.gather(path / IMAGES, on_error, path / VOTES)
    else:
        rows = fer2013.gather(path, on_error)
    if len(rows.votes) != len(rows.images):
        raise ValueError(
            f"{path}: expected votes for each of the {len(rows.images)} images. Received: {len(rows.votes)}. Give a "
            f"folder with {IMAGES} and {VOTES}, or npz files that all hold `votes` (n, 10)."
        )
    winners = majority(np.array(rows.votes))
    order = ORDERS["ferplus"]
    left_out = {"no majority": winners < 0}
    left_out |= {order[i]: winners == i for i, number in enumerate(to_canonical("ferplus")) if number is None}
    if classes == 7:
        left_out["contempt"] = winners == order.index("contempt")
    numbers = np.array([-1 if number is None else number for number in to_canonical("ferplus")], np.int64)
    return fer2013.select(
        rows,
        split,
        drop_black,
        drop_leaked,
        name="ferplus",
        labels=numbers[winners],
        class_names=CANONICAL if classes == 8 else LABELS_7,
        left_out=left_out,
    )


def majority(votes: np.ndarray) -> np.ndarray:
    """Return the column that wins each row of votes by FER+'s rule, or -1 where none does.

    Args:
        votes: (n, 10) numbers of votes, in FER+ column order.

    Returns:
        (n,) int64.
    """
    counted = np.where(votes > 1, votes, 0)
    wins = counted.max(axis=1) * 2 > counted.sum(axis=1)
    return np.where(wins, counted.argmax(axis=1), -1)
