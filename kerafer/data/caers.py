"""CAER-S: frames of television series, seven classes.

    train/Anger/0001.png   and so on; the other folders are Disgust, Fear, Happy, Neutral, Sad, Surprise
    test/Anger/0001.png

The path is the folder that holds `train` and `test`, or the one above it where that is called `CAER-S`. The pictures
show whole scenes: cut the faces out with `kerafer data align` before training a model of faces.

Lee, Kim, Kim, Park and Sohn, "Context-aware emotion recognition networks", ICCV 2019. The data and its terms are at
the project's page, caer-dataset.github.io.
"""

from __future__ import annotations

from pathlib import Path

from kerafer.data.dataset import FaceDataset
from kerafer.data.pictures import Listing, add_class_folder, dataset, entries
from kerafer.labels import CANONICAL, LABELS_7, ORDERS, canonical_name

SPLITS = ("train", "test")


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
    """Read one split of CAER-S.

    Args:
        path: the folder with `train` and `test`.
        split: `"train"` or `"test"`.
        on_error: `"raise"` refuses an unknown folder or unreadable picture, `"skip"` leaves it out and reports it.
        drop_black: leave out pictures of one single value.
        drop_leaked: leave out pictures that also occur in the other split.
        cache: folder that keeps what was found in the pictures, so that the next call need not open them.
        progress: whether to show a progress bar on a terminal.

    Returns:
        The split, with canonical labels and its pictures on disk.

    Raises:
        ValueError: if the folders are not there, a picture cannot be read, or an argument is wrong.

    Example:
        >>> read("/tmp/kerafer-nowhere")
        Traceback (most recent call last):
        ...
        ValueError: /tmp/kerafer-nowhere holds no folder train or test. Expected CAER-S's train/Anger and so on.
    """
    root = Path(path) / "CAER-S" if (Path(path) / "CAER-S").is_dir() else Path(path)
    listing = Listing(root, root, SPLITS, on_error)
    present = [part for part in SPLITS if (root / part).is_dir()]
    if not present:
        raise ValueError(f"{root} holds no folder train or test. Expected CAER-S's train/Anger and so on.")
    for part in present:
        for name in entries(root / part):
            listing.bad(f"{part}/{name}", "expected pictures in a class's folder, received one outside.", part)
        for name in entries(root / part, directories=True):
            try:
                expression = canonical_name(name)
            except ValueError:
                expression = name
            if expression not in ORDERS["caers"]:
                listing.bad(f"{part}/{name}", f"expected a folder of one of {', '.join(LABELS_7)}.", part)
            else:
                add_class_folder(listing, root / part / name, CANONICAL.index(expression), part)
    return dataset(
        listing,
        split,
        name="caers",
        class_names=LABELS_7,
        drop_black=drop_black,
        drop_leaked=drop_leaked,
        cache=cache,
        progress=progress,
    )
