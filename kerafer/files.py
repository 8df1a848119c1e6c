"""Files written whole or not at all, checksums, and paths that stay inside their folder."""

from __future__ import annotations

import csv
import hashlib
import inspect
import json
import os
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

DAMAGE = (
    *(ValueError, TypeError, AttributeError, LookupError, OverflowError, MemoryError, EOFError, OSError, SyntaxError),
    *(RuntimeError, SystemError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What the standard library and numpy raise on damaged bytes."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends without an error.

    The temporary file keeps the suffix of `path`, because Keras chooses a format by it. An interruption at any
    moment leaves the old file, or none, but never half of one.

    Example:
        >>> with replacing("/tmp/kerafer-doc.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> Path("/tmp/kerafer-doc.txt").read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix="".join(path.suffixes[-2:]))
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)  # mkstemp makes it private; the file in its place should be readable like any other
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def exclusively(folder: str | Path) -> Iterator[None]:
    """Hold a folder for this process alone while the block runs.

    The system lets go of it however the process ends, and nothing lies in the folder for it. Not on Windows, nor on
    network drives without locks: there nobody is kept out.

    Raises:
        BlockingIOError: if another process holds it.

    Example:
        >>> with exclusively("/tmp/kerafer-doc"):
        ...     _ = Path("/tmp/kerafer-doc/result.txt").write_text("mine")
    """
    folder = Path(folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise BlockingIOError(
            f"Another process is writing {folder}. Wait until it has ended, or choose another folder."
        ) from error
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(handle)
        if is_new:
            with suppress(OSError):  # an error before anything was written leaves no folder
                folder.rmdir()


def one_at_a_time(
    parameter: str, when: Callable[[], bool] = lambda: True
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that holds the folder which a function takes as `parameter` while the function runs.

    Args:
        parameter: its name.
        when: whether this process holds it; not where several write one folder together.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def held(*args: P.args, **kwargs: P.kwargs) -> R:
            folder = signature.bind(*args, **kwargs).arguments[parameter]
            with exclusively(folder) if when() else nullcontext():
                return function(*args, **kwargs)

        return held

    return decorate


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Return the value of a JSON file; the error of a broken one names the file and the place."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not readable JSON: {error}. Write it again or restore it.") from error


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a `.npz` file, never unpickling anything.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            # numpy gives entries that are no arrays as bytes
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
        for array in arrays.values():
            if array.dtype.kind in "UV":
                array.tolist()  # what is no Unicode would come out where a text is first looked at
        return arrays
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise ValueError(f"{path} is not a readable .npz file: {error}. Is it truncated?") from error


def csv_rows(path: str | Path, reader: Any) -> Iterator[list[str]]:
    """Yield the rows of a `csv.reader`; its errors, which are no ValueErrors, become some that name file and line.

    Raises:
        ValueError: if the file is no csv, or in another encoding than it was opened with.
    """
    try:
        yield from reader
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}, after line {reader.line_num}: not a csv: {error}.") from error


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inside(folder: str | Path, name: str) -> Path:
    """Return `folder / name`, refusing names that leave the folder.

    Raises:
        ValueError: if the path would lie outside `folder`.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"A file name must be a text that is not empty. Received: {name!r}")
    root = Path(folder).resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"A file name must stay inside its folder {root.name!r}. Received: {name!r}")
    return path
