"""Every picture of a data set opened once: which cannot be read, which are equal, gray or of one single value."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from kerafer.data.stored import HASH_BYTES, ImageFiles
from kerafer.data.threads import chunks, in_order
from kerafer.files import read_npz, replacing

READABLE, GRAY, BLACK = 1, 2, 4
_VERSION = b"kerafer scan 1"


@dataclass(frozen=True, eq=False)
class Scan:
    """What `scan` found, picture by picture.

    Args:
        hashes: (n, 16) uint8 BLAKE2b of each file's bytes (and its box); zeros where the file is not readable.
        readable: (n,) bool.
        gray: (n,) bool, True where red, green and blue are equal everywhere.
        black: (n,) bool, True where the picture is of one single value.
        problems: why the others are not readable, by number.
    """

    hashes: np.ndarray
    readable: np.ndarray
    gray: np.ndarray
    black: np.ndarray
    problems: dict[int, str]


def scan(files: ImageFiles, cache: str | Path | None = None, *, progress: bool = True) -> Scan:
    """Decode every picture once, on threads.

    Args:
        files: the pictures.
        cache: folder that keeps the result; it is used again until a file's name, size, time of change or box
            changes. Without it every call decodes all pictures.
        progress: whether to show a progress bar on a terminal.

    Returns:
        What was found.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = tempfile.mkdtemp()
        >>> Image.new("RGB", (60, 50), "red").save(f"{folder}/a.png")
        >>> found = scan(ImageFiles(folder, ["a.png", "b.png"]))
        >>> found.readable, found.problems
        (array([ True, False]), {1: 'There is no picture b.png.'})
    """

    def make() -> dict[str, np.ndarray]:
        hashes, flags = np.zeros((len(files), HASH_BYTES), np.uint8), np.zeros(len(files), np.uint8)
        bar = tqdm(total=len(files), desc="checking", unit="picture", delay=1, disable=None if progress else True)
        with bar:
            for part, found in zip(parts, in_order(lambda part: [_look(files, i) for i in part], parts), strict=True):
                for number, result in zip(part, found, strict=True):
                    if not isinstance(result, str):
                        hashes[number], flags[number] = np.frombuffer(result[0], np.uint8), result[1]
                bar.update(len(part))
        return {"hashes": hashes, "flags": flags}

    parts = chunks(len(files), 32)

    def fits(found: dict[str, np.ndarray]) -> bool:
        wanted = {"hashes": (len(files), HASH_BYTES), "flags": (len(files),)}
        return {n: a.shape for n, a in found.items() if a.dtype == np.uint8} == wanted

    found = kept(cache, "scan", lambda: fingerprint(files), make, fits)
    hashes, flags = found["hashes"], found["flags"]
    # what could not be read is looked at again each time: it may have been a matter of rights or of a lost connection
    problems = {}
    bad = np.flatnonzero(flags & READABLE == 0).tolist()
    for number, result in zip(bad, in_order(lambda number: _look(files, number), bad), strict=True):
        if isinstance(result, str):
            problems[number] = result
        else:
            hashes[number], flags[number] = np.frombuffer(result[0], np.uint8), result[1]
    return Scan(
        hashes=hashes,
        readable=flags & READABLE > 0,
        gray=flags & GRAY > 0,
        black=flags & BLACK > 0,
        problems=problems,
    )


def kept(
    cache: str | Path | None,
    kind: str,
    key: Callable[[], str],
    make: Callable[[], dict[str, np.ndarray]],
    fits: Callable[[dict[str, np.ndarray]], bool],
) -> dict[str, np.ndarray]:
    """Return the arrays that `make` gives, from a file in `cache` where it holds them already.

    Args:
        cache: folder, or None to make them each time.
        kind: first part of the file's name.
        key: returns what the arrays depend on, as the second part.
        make: makes them.
        fits: tells whether a file's arrays are what `make` would give; others are made anew.
    """
    if cache is None:
        return make()
    path = Path(cache) / f"{kind}-{key()}.npz"
    with suppress(OSError, ValueError):  # not there, or damaged: a cache is made again
        if fits(found := read_npz(path)):
            return found
    arrays = make()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
    return arrays


def _look(files: ImageFiles, number: int) -> tuple[bytes, int] | str:
    """Return content hash and flags of a picture, or why it cannot be read."""
    try:
        image = files[number]
        content = files.content_hash(number)
    except Exception as error:  # decoders raise whatever a damaged file makes them trip over; none may stop the scan
        reason = str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}"
        path = files.path(number)
        return reason.replace(str(path), str(path.relative_to(files.root)))
    # a gray picture is read as three equal channels
    gray = image.ndim == 2 or bool((image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all())
    return content, READABLE | (GRAY if gray else 0) | (BLACK if image.min() == image.max() else 0)


def fingerprint(files: ImageFiles) -> str:
    """Return a hash over names, sizes, times of change and boxes of all files, 32 hexadecimal digits."""
    digest = hashlib.blake2b(_VERSION, digest_size=HASH_BYTES)
    root, states = os.fspath(files.root), array("q")
    for number in files.numbers.tolist():
        name = files.names[number]
        digest.update(os.fsencode(f"{name}\0"))
        try:
            state = os.stat(f"{root}/{name}")  # a string: a Path for each of a million files takes seconds
            states.extend((state.st_size, state.st_mtime_ns))
        except (OSError, ValueError):  # not there, or no name that a file can have
            states.extend((-1, -1))
    digest.update(states)
    if files.boxes is not None:
        digest.update(np.ascontiguousarray(files.boxes[files.numbers], dtype="<i8"))
    return digest.hexdigest()
