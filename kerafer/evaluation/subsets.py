"""Parts of a split that a list names, such as the occluded or turned faces of a test set.

Wang et al. ("Region Attention Networks for Pose and Occlusion Robust Facial Expression Recognition", IEEE
Transactions on Image Processing 29, 2020) published such lists for RAF-DB, AffectNet and FERPlus, in five forms:

    test_1670_aligned 0 2          RAF-DB, occlusion: stem, label, kind of occlusion
    6/test_3044_aligned.jpg        RAF-DB, pose: label, counted from 0, and file
    val/5/1a2b3c/                  AffectNet, occlusion: a folder of crops named after the picture
    5/1a2b3c/8.jpg                 AffectNet, pose: the same, and one of its crops
    3_fer0034818.png 8 2           FERPlus, occlusion: label and file, two more columns

Labels in a list are ignored: those of the data set count.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerafer.data.dataset import ON_ERROR, FaceDataset

_SUFFIX = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp|gif)$", re.IGNORECASE)
_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Subset:
    """Images that a list names.

    Args:
        index: (n,) int64 numbers of the images in the data set, ascending, each once.
        entries: lines of the list that name an image.
        repeated: lines that repeat an earlier line.
        problems: lines left out and why, when the caller chose to skip.
    """

    index: np.ndarray
    entries: int
    repeated: int = 0
    problems: tuple[str, ...] = ()


def image_names(data: FaceDataset) -> list[str]:
    """Return the name of each image: its path below the data's root with "/", or its row number in the source.

    Example:
        >>> from kerafer.data.samples import synthetic
        >>> image_names(synthetic(3))
        ['0', '1', '2']
    """
    name = getattr(data.images, "name", None)
    return [str(row) for row in data.rows] if name is None else [name(i).replace("\\", "/") for i in range(len(data))]


def read_subset(data: FaceDataset, path: str | Path, *, on_error: str = "raise") -> Subset:
    r"""Find the images that a list names.

    A line holds a name, and possibly further columns after a space or comma, which are ignored. Empty lines and
    lines that begin with "#" are skipped. A name is compared, in this order, with

    1. the end of an image's path (whole folders: `4/xxx.jpg` fits `test/4/xxx.jpg`),
    2. the file names alone, since a list may number the folders in another way,
    3. the file names without picture suffix and without `_aligned` at the end,
    4. the same, after a class number and "_" at the line's beginning, or for the folder that the line names.

    The first that fits anything counts. Data in memory, and data that `kerafer.data.stored.decode` turned into one
    array, has row numbers for names, and these must be equal; so take a subset first, and decode it then.

    Args:
        data: the split.
        path: the list, UTF-8.
        on_error: "raise", or "skip" to leave out names that fit no image or several, and report them.

    Returns:
        The images' numbers.

    Raises:
        FileNotFoundError: if there is no such list.
        ValueError: if a name fits no image, several images, or an image that another name took already, with line
            numbers; or if no name is left.

    Example:
        >>> from kerafer.data.samples import synthetic
        >>> path = Path("/tmp/kerafer-doc-list.txt")
        >>> _ = path.write_text("5 happy\n3,sad\n")
        >>> read_subset(synthetic(7), path).index
        array([3, 5])
    """
    path = Path(path)
    if on_error not in ON_ERROR:
        raise ValueError(f"`on_error` must be one of {ON_ERROR}. Received: on_error={on_error!r}")
    if not path.is_file():
        raise FileNotFoundError(f"There is no list {path}. Give a text file with one image name a line.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8: {error}. Is it a list of image names?") from error
    tables = _Tables(data)
    found: dict[int, int] = {}  # image -> line
    seen: dict[str, int] = {}  # text -> line
    problems: list[str] = []
    repeated = 0
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        if entry in seen:
            repeated += 1
            continue
        seen[entry] = number
        images = tables.find(entry)
        if len(images) != 1:
            what = f"fits {len(images)} images" if images else "fits no image"
            problems.append(f"line {number}: {entry[:80]!r} {what}.")
        elif found.setdefault(images[0], number) != number:
            problems.append(f"line {number}: {entry[:80]!r} fits the same image as line {found[images[0]]}.")
    if not found or (problems and on_error == "raise"):
        shown = "\n  ".join(problems[:_SHOWN] or ["it names nothing."])
        more = f"\n  and {len(problems) - _SHOWN} more." if len(problems) > _SHOWN else ""
        example = f", such as {tables.names[0]!r}" if tables.names else ""
        raise ValueError(
            f"{path} must name images of {data.name} {data.split}{example}. "
            f"Received:\n  {shown}{more}\nCorrect the list, take the split it was made for, or use on_error='skip'."
        )
    index = np.array(sorted(found), np.int64)
    return Subset(index, entries=len(seen), repeated=repeated, problems=tuple(problems))


class _Tables:
    """Images by the names that a list may use for them."""

    def __init__(self, data: FaceDataset) -> None:
        self.names = image_names(data)
        self.are_paths = hasattr(data.images, "name")
        self.ends: dict[str, list[int]] = defaultdict(list)
        self.stems: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(self.names):
            parts = name.split("/")
            for start in range(len(parts)):
                self.ends["/".join(parts[start:])].append(number)
            self.stems[_stem(parts[-1])].append(number)

    def find(self, entry: str) -> list[int]:
        """Return the images that the first fitting rule gives for a line."""
        # the whole line first: a file name may hold a space or a comma
        texts = [entry, re.split(r"[\s,]", entry, maxsplit=1)[0]]
        for table, key in (rule for text in texts for rule in self._rules(text)):
            if key in table:
                return table[key]
        return []

    def _rules(self, text: str) -> Iterator[tuple[dict[str, list[int]], str]]:
        parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts:
            return
        yield self.ends, "/".join(parts)
        if not self.are_paths:
            return
        yield self.ends, parts[-1]
        yield self.stems, _stem(parts[-1])
        label, _, rest = parts[-1].partition("_")
        if label.isdigit() and rest:
            yield self.stems, _stem(rest)
        if len(parts) > 1 and not parts[-2].isdigit():  # a number is a class, not a picture
            yield self.stems, _stem(parts[-2])


def _stem(name: str) -> str:
    return _SUFFIX.sub("", name).removesuffix("_aligned")
