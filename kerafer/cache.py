"""Files that are made once and kept in the user's cache folder, such as converted networks."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kerafer.files import replacing

_TEMPORARY: list[tempfile.TemporaryDirectory] = []
"""What this process keeps where the cache folder cannot be written; it goes with the process."""


def cache_folder() -> Path:
    """Return `kerafer` in the user's cache folder, which `XDG_CACHE_HOME` names.

    Raises:
        OSError: if the user has none.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kerafer"
    except RuntimeError as error:
        raise OSError(f"{error} Set XDG_CACHE_HOME to a folder that can be written.") from error


def kept(folder: str, names: Sequence[str], make: Callable[[], Mapping[str, bytes]]) -> dict[str, Path]:
    """Return files that are kept in the cache folder, made anew where one is not there or was changed.

    Where the cache folder cannot be written, they are kept for this process, and a warning says so.

    Args:
        folder: name of their folder in the cache; it says all that their contents depend on.
        names: of the files.
        make: returns the contents of all of them, by name.
    """
    problem: OSError | None = None
    places = [Path(temporary.name) for temporary in _TEMPORARY]
    try:
        places.insert(0, cache_folder())
    except OSError as error:
        problem = error
    for place in places:
        if all(_is_whole(place / folder / name) for name in names):
            return {name: place / folder / name for name in names}
    contents = make()
    for place in places:
        try:
            # another process may have made them meanwhile; contents may differ from one conversion to the next
            if all(_is_whole(place / folder / name) for name in names):
                return {name: place / folder / name for name in names}
            return _written(place / folder, contents)
        except OSError as error:
            problem = error
    warnings.warn(
        f"What was converted cannot be kept for the next start: {problem}. Set XDG_CACHE_HOME to a folder that can be "
        "written.",
        stacklevel=2,
    )
    _TEMPORARY.append(tempfile.TemporaryDirectory(prefix="kerafer."))
    return _written(Path(_TEMPORARY[-1].name) / folder, contents)


def _written(folder: Path, contents: Mapping[str, bytes]) -> dict[str, Path]:
    """Write files, each beside its checksum, and return their paths by name."""
    for name, content in contents.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)
        with replacing(_checksum(folder / name)) as temporary:
            temporary.write_text(hashlib.sha256(content).hexdigest(), encoding="ascii")
    return {name: folder / name for name in contents}


def _checksum(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_whole(path: Path) -> bool:
    """Whether a file is there, may be read, and is what was written."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == _checksum(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return False
