"""RAF-DB, the basic expressions: 12,271 training and 3,068 test pictures from the web, seven classes.

    basic/EmoLabel/list_patition_label.txt      lines such as "train_00001.jpg 5" (the name is spelt so)
    basic/Image/aligned/train_00001_aligned.jpg

Labels 1 to 7 are surprise, fear, disgust, happiness, sadness, anger, neutral. The path is the folder that holds
`basic`, or `basic` itself.

Li, Deng and Du, "Reliable crowdsourcing and deep locality-preserving learning for expression recognition in the wild",
CVPR 2017. For non-commercial research only, asked for at the authors' page, www.whdeng.cn/raf/model1.html.
"""

from __future__ import annotations

import re
from pathlib import Path

from kerafer.data.dataset import FaceDataset
from kerafer.data.pictures import Listing, dataset
from kerafer.labels import LABELS_7, to_canonical

SPLITS = ("train", "test")
LIST = "EmoLabel/list_patition_label.txt"
_NAME = re.compile(r"(train|test)_(\d+)\.jpg")


def read(
    path: str | Path,
    split: str = "train",
    *,
    on_error: str = "raise",
    drop_black: bool = False,
    drop_leaked: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
) -> FaceDataset:
    """Read one split of RAF-DB's basic expressions, aligned pictures.

    Args:
        path: the folder with `basic`, or `basic` itself.
        split: `"train"` or `"test"`.
        on_error: `"raise"` refuses a malformed line or unreadable picture, `"skip"` leaves it out and reports it.
        drop_black: leave out pictures of one single value.
        drop_leaked: leave out pictures that also occur in the other split.
        cache: folder that keeps what was found in the pictures, so that the next call need not open them.
        progress: whether to show a progress bar on a terminal.

    Returns:
        The split, with canonical labels and its pictures on disk.

    Raises:
        ValueError: if the list is not there or malformed, a picture cannot be read, or an argument is wrong.

    Example:
        >>> read("/tmp")
        Traceback (most recent call last):
        ...
        ValueError: /tmp/EmoLabel/list_patition_label.txt is missing. Expected RAF-DB's folder `basic` in /tmp.
    """
    root = Path(path) / "basic" if (Path(path) / "basic").is_dir() else Path(path)
    source = root / LIST
    if not source.is_file():
        raise ValueError(f"{source} is missing. Expected RAF-DB's folder `basic` in {path}.")
    listing = Listing(source, root, SPLITS, on_error)
    order = to_canonical("rafdb")
    with open(source, encoding="ascii", errors="replace") as file:
        for number, line in enumerate(file, 1):
            where, words = f"line {number}", line.split()
            if not words:
                continue
            named = _NAME.fullmatch(words[0])
            if len(words) != 2 or not named:
                listing.bad(where, f"expected a name and a label such as 'train_00001.jpg 5', received {line[:60]!r}.")
            elif words[1] not in {"1", "2", "3", "4", "5", "6", "7"}:
                listing.bad(where, f"expected a label from 1 to 7, received {words[1][:20]!r}.", named[1])
            else:
                picture = f"Image/aligned/{named[1]}_{named[2]}_aligned.jpg"
                listing.add(picture, order[int(words[1]) - 1], named[1], where)
    return dataset(
        listing,
        split,
        name="rafdb",
        class_names=LABELS_7,
        drop_black=drop_black,
        drop_leaked=drop_leaked,
        cache=cache,
        progress=progress,
    )
