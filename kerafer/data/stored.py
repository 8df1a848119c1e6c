"""Pictures of a data set that stay on disk: as the files they came in, or decoded once into one array file.

Both hold names or numbers only, so that memory stays bounded however many pictures there are. `decode` turns the
first form into the second, from which batches are read many times faster.
"""

from __future__ import annotations

import hashlib
import math
import os
import weakref
from array import array
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kerafer.data.dataset import FaceDataset
from kerafer.data.threads import chunks, in_order
from kerafer.files import DAMAGE, replacing
from kerafer.images import read_image
from kerafer.preprocess import Preprocessing

HASH_BYTES = 16


class Names(Sequence[str]):
    """Many short texts in two buffers, instead of one Python object each.

    Example:
        >>> names = Names(["a.jpg", "sub/b.jpg"])
        >>> names[1], len(names)
        ('sub/b.jpg', 2)
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._text, self._ends = bytearray(), array("q", [0])
        for name in names:
            self.append(name)

    def append(self, name: str) -> None:
        """Add a text at the end."""
        self._text += os.fsencode(name)
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError(f"There are {len(self)} names. Received: {number}")
        return os.fsdecode(bytes(self._text[self._ends[number] : self._ends[number + 1]]))


class ImageFiles:
    """Pictures as files, decoded each time they are asked for.

    Args:
        root: folder of the pictures.
        names: path of each picture under `root`.
        boxes: (len(names), 4) whole numbers (x, y, width, height), the part of each picture that is used; or None.
        hashes: (len(names), 16) uint8 content hashes, where a scan has found them.
        gray: whether red, green and blue are known to be equal in all pictures.
        numbers: which of the names belong to the set, in order; all by default.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = tempfile.mkdtemp()
        >>> Image.new("RGB", (60, 50), "red").save(f"{folder}/a.png")
        >>> pictures = ImageFiles(folder, ["a.png"])
        >>> pictures[0].shape, pictures.pixels(np.array([0, 0]), (48, 44)).shape
        ((50, 60, 3), (2, 48, 44, 3))
    """

    def __init__(
        self,
        root: str | Path,
        names: Iterable[str],
        boxes: np.ndarray | None = None,
        *,
        hashes: np.ndarray | None = None,
        gray: bool = False,
        numbers: np.ndarray | None = None,
    ) -> None:
        self.root = Path(root)
        self.names = names if isinstance(names, Names) else Names(names)
        self.boxes, self.hashes, self.is_gray = boxes, hashes, gray
        self.numbers = np.arange(len(self.names)) if numbers is None else numbers
        for name, value in (("boxes", boxes), ("hashes", hashes)):
            if value is not None and len(value) != len(self.names):
                raise ValueError(f"`{name}` must have one row a name, {len(self.names)}. Received: {len(value)} rows")

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, number: int) -> str:
        """Return the path of a picture under `root`."""
        return self.names[int(self.numbers[number])]

    def path(self, number: int) -> Path:
        """Return the file of a picture."""
        return self.root / self.name(number)

    def box(self, number: int) -> np.ndarray | None:
        """Return (x, y, width, height) of the part that is used, or None for the whole picture."""
        return None if self.boxes is None else self.boxes[self.numbers[number]]

    def __getitem__(self, number: int) -> np.ndarray:
        """Return one picture in its own size, (height, width[, 3]) uint8.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if it cannot be read as a picture, or its box lies outside.
        """
        image = read_image(self.path(number))
        box = self.box(number)
        if box is not None:
            x, y, width, height = (int(v) for v in box)
            cut = image[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
            if not cut.size:
                raise ValueError(
                    f"{self.path(number)}: expected a face box (x, y, width, height) inside the picture of "
                    f"{image.shape[1]}x{image.shape[0]} pixels. Received: {(x, y, width, height)}"
                )
            image = np.ascontiguousarray(cut)
        return image[..., 0] if self.is_gray else image

    def take(self, index: np.ndarray) -> ImageFiles:
        """Return some of the pictures, by number or by mask."""
        taken = copy(self)
        taken.numbers = self.numbers[index]
        return taken

    def pixels(self, index: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return pictures resized to (height, width) as `Preprocessing.pixels` does: (n, height, width[, 3]) uint8."""
        return _resized(self.take(np.asarray(index)), tuple(size))

    def content_hash(self, number: int) -> bytes:
        """Return the BLAKE2b of a file's bytes and box, 16 bytes; other boxes of one file are other images."""
        digest = hashlib.blake2b(self.path(number).read_bytes(), digest_size=HASH_BYTES)
        box = self.box(number)
        if box is not None:
            digest.update(np.ascontiguousarray(box, dtype="<i8"))
        return digest.digest()

    def update(self, digest: Any) -> None:
        """Feed the content hashes of all pictures, in order, to a `hashlib` object."""
        for part in chunks(len(self)):
            if self.hashes is not None:
                digest.update(np.ascontiguousarray(self.hashes[self.numbers[part]]))
            else:
                digest.update(b"".join(in_order(self.content_hash, part)))


class DecodedImages:
    """Decoded pictures of one size in one `.npy` file, read by number as they are asked for.

    The file is read with `preadv`, not mapped into memory: a mapped file's pages count as the process's own, and
    grow with every picture that is seen.

    Args:
        path: `.npy` file, version 1, of (n, height, width) or (n, height, width, 3) uint8.
        numbers: which of its pictures belong to the set, in order; all by default.
        hashes: (n, 16) uint8 content hashes of the files that the pictures came from, for the checksum.

    Raises:
        ValueError: if the file is not such an array, or is cut off.

    Example:
        >>> np.save("/tmp/kerafer-doc.npy", np.arange(24, dtype=np.uint8).reshape(3, 2, 4))
        >>> DecodedImages("/tmp/kerafer-doc.npy").pixels(np.array([2, 0]), (2, 4))[:, 0]
        array([[16, 17, 18, 19],
               [ 0,  1,  2,  3]], dtype=uint8)
    """

    def __init__(
        self, path: str | Path, numbers: np.ndarray | None = None, *, hashes: np.ndarray | None = None
    ) -> None:
        self.path = Path(path)
        self.shape, self._offset = _read_header(self.path)
        self._file = _OpenFile(self.path)
        self.numbers = np.arange(self.shape[0]) if numbers is None else numbers
        self.hashes = hashes
        if hashes is not None and len(hashes) != self.shape[0]:
            raise ValueError(f"`hashes` must have {self.shape[0]} rows, one a picture. Received: {len(hashes)} rows")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_file"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _file=_OpenFile(state["path"]))

    @property
    def is_gray(self) -> bool:
        """True where `pixels` gives one channel."""
        return len(self.shape) == 3

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> np.ndarray:
        """Return one picture as it is stored, (height, width[, 3]) uint8."""
        return self._read(self.numbers[[number]])[0]

    def take(self, index: np.ndarray) -> DecodedImages:
        """Return some of the pictures, by number or by mask."""
        taken = copy(self)
        taken.numbers = self.numbers[index]
        return taken

    def pixels(self, index: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return pictures at (height, width): as stored where that is their size, else resized from what is stored.

        Returns:
            (n, height, width[, 3]) uint8.
        """
        if self.shape[1:3] == tuple(size):
            return self._read(self.numbers[np.asarray(index)])
        return _resized(self.take(np.asarray(index)), tuple(size))

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        out = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        if not out.size:
            return out
        # neighbours in the file are read in one call
        breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
        for first, end in zip([0, *breaks.tolist()], [*breaks.tolist(), len(numbers)], strict=True):
            self._fill(memoryview(out[first:end]).cast("B"), int(numbers[first]))
        return out

    def _fill(self, buffer: memoryview, first: int) -> None:
        position = self._offset + first * int(np.prod(self.shape[1:]))
        while buffer:
            count = os.preadv(self._file.number, [buffer], position)
            if not count:
                raise ValueError(f"{self.path} is shorter than when it was opened. Remove it, and decode again.")
            buffer, position = buffer[count:], position + count

    def update(self, digest: Any) -> None:
        """Feed the content of all pictures to a `hashlib` object: the source files' hashes, else the pixels."""
        for part in chunks(len(self)):
            numbers = self.numbers[part]
            digest.update(self._read(numbers) if self.hashes is None else np.ascontiguousarray(self.hashes[numbers]))


class _OpenFile:
    """A descriptor that is closed with the last data set that reads from it."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.number)


def _read_header(path: Path) -> tuple[tuple[int, ...], int]:
    """Return shape and first byte of the pictures of a `.npy` file, after checking that all of them are there."""
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        except DAMAGE as error:
            raise ValueError(
                f"{path} is not a .npy file of version 1: {error}. Remove it, and decode again."
            ) from error
        offset = file.tell()
        size = os.fstat(file.fileno()).st_size
    gray_or_rgb = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    if version != (1, 0) or fortran or dtype != np.uint8 or not gray_or_rgb or min(shape) < 0:
        raise ValueError(
            f"{path}: expected (n, height, width[, 3]) uint8 in C order. Received: {dtype}{shape}, version {version}"
        )
    if size != offset + math.prod(shape):
        raise ValueError(
            f"{path}: expected {offset + math.prod(shape):,} bytes for {shape}. Received: {size:,} bytes. "
            "Was it cut off? Remove it, and decode again."
        )
    return tuple(shape), offset


def _resized(pictures: ImageFiles | DecodedImages, size: tuple[int, int]) -> np.ndarray:
    """Decode and resize all pictures on threads: (n, height, width[, 3]) uint8."""
    whole = Preprocessing(size=size, resize=size)
    gray = pictures.is_gray
    out = np.empty((len(pictures), *size) if gray else (len(pictures), *size, 3), np.uint8)

    def fill(part: range) -> None:
        for number in part:
            pixels = whole.pixels(pictures[number])  # (height, width, 3)
            out[number] = pixels[..., 0] if gray else pixels

    for _ in in_order(fill, chunks(len(pictures), 8)):
        pass
    return out


def decode(data: FaceDataset, cache: str | Path, size: tuple[int, int], *, progress: bool = True) -> FaceDataset:
    """Decode a data set's files once into one array file, and return the data set with its pictures there.

    The file is `<checksum of the data>-<height>x<width>.npy` in `cache`, and is used when it is there already. Its
    pixels are exactly those that `FaceDataset.pixels` gives for the files.

    Args:
        data: the data set. With pictures in memory, or decoded already, it is returned as it is.
        cache: folder for the file, made if need be.
        size: (height, width), the model's `Preprocessing.resize`.
        progress: whether to show a progress bar on a terminal.

    Returns:
        The same data set with `DecodedImages`, and the same checksum.

    Raises:
        ValueError: if `size` is not two positive integers, or a picture has become unreadable.

    Example:
        >>> from kerafer.data.samples import synthetic
        >>> data = synthetic(7)
        >>> decode(data, "/tmp/kerafer-doc-cache", (48, 48)) is data
        True
    """
    size = Preprocessing(size=tuple(size), resize=tuple(size)).size
    if not isinstance(data.images, ImageFiles):
        return data
    files = data.images
    path = Path(cache) / f"{data.checksum()}-{size[0]}x{size[1]}.npy"
    shape = (len(files), *size) if files.is_gray else (len(files), *size, 3)
    if not _holds(path, shape):
        _write(path, files, shape, progress)
    hashes = None if files.hashes is None else files.hashes[files.numbers]
    return replace(data, images=DecodedImages(path, hashes=hashes))


def _holds(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        return _read_header(path)[0] == shape
    except (FileNotFoundError, ValueError):  # a damaged file in a cache is made again
        return False


def _write(path: Path, files: ImageFiles, shape: tuple[int, ...], progress: bool) -> None:
    bar = tqdm(total=shape[0], desc="decoding", unit="picture", delay=1, disable=None if progress else True)
    with bar, replacing(path) as temporary, open(temporary, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for part in chunks(shape[0]):
            file.write(files.pixels(np.array(part), shape[1:3]))
            bar.update(len(part))
