"""The folder that an alignment writes: its settings, its journal, from which a killed run goes on, and its manifest."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from kerafer import __version__
from kerafer.data.align.faces import COLUMNS, PARTIAL
from kerafer.data.pictures import ALIGNED, SUFFIXES
from kerafer.files import read_json, replacing, write_json

SETTINGS, JOURNAL, MANIFEST = ALIGNED, "journal.jsonl", "manifest.csv"


def pictures(src: Path) -> tuple[list[str], str, int]:
    """Return the pictures under a folder by relative path, a hash over their paths and sizes, and the other files.

    Hidden files and folders are left out, and links to folders are not followed.
    """
    names, others = [], 0
    for folder, below, files in os.walk(src):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in files:
            if name.startswith("."):
                continue
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                names.append((Path(folder) / name).relative_to(src).as_posix())
            else:
                others += 1
    names.sort()
    digest = hashlib.sha256()
    for name in names:
        try:
            size = os.stat(src / name).st_size
        except OSError:  # such as a link to nothing; it gets its row as unreadable
            size = -1
        digest.update(os.fsencode(f"{name}\0{size}\0"))
    return names, digest.hexdigest(), others


def outputs(names: Sequence[str], suffix: str) -> list[str]:
    """Return the path to write for each picture: its own with the new suffix, added where two would be the same.

    Example:
        >>> outputs(["happy/a.jpg", "happy/b.bmp", "happy/b.gif"], "png")
        ['happy/a.png', 'happy/b.bmp.png', 'happy/b.gif.png']
    """
    replaced = [f"{os.path.splitext(name)[0]}.{suffix}" for name in names]
    # compared without case, since some file systems do not tell A.png from a.png
    plain, counts = np.unique([name.casefold() for name in replaced], return_counts=True)
    shared = set(plain[counts > 1].tolist())
    return [
        f"{name}.{suffix}" if short.casefold() in shared else short for name, short in zip(names, replaced, strict=True)
    ]


class AlignedFolder:
    """The folder `dst` of an alignment, new or to go on with.

    Args:
        dst: where to write.
        settings: all that decides what is written, as plain JSON values.

    Raises:
        ValueError: if the folder holds other files, or an alignment with other settings.
    """

    def __init__(self, dst: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = dst, json.loads(json.dumps(settings))
        self._versions = versions()
        if (dst / SETTINGS).exists():
            self._check(read_json(dst / SETTINGS))
        else:
            # a run killed while it wrote its settings leaves nothing but a temporary file
            foreign = [p.name for p in dst.glob("*") if not (p.name.startswith(".align.") and p.suffix == ".json")]
            if foreign:
                raise ValueError(
                    f"{dst} must be new, empty, or the folder of an alignment to go on with. Received: a folder with "
                    f"{foreign[0]!r} and {len(foreign) - 1} other entries"
                )
            dst.mkdir(parents=True, exist_ok=True)
            self._write_settings(None)
        for temporary in (*dst.glob(".align.*.json"), *dst.glob(".manifest.*.csv")):
            temporary.unlink()
        shutil.rmtree(dst / PARTIAL, ignore_errors=True)
        (dst / PARTIAL).mkdir()
        self.rows = self._read_journal()

    def _check(self, found: Any) -> None:
        kept = found.get("settings") if isinstance(found, dict) else None
        if not isinstance(kept, dict) or not isinstance(found.get("versions"), dict):
            raise ValueError(f"{self.path / SETTINGS} was not written by an alignment. Choose another folder.")
        for name in sorted({*kept, *self.settings}):
            if kept.get(name) != self.settings.get(name):
                raise ValueError(
                    f"{self.path} holds an alignment with other settings: {name} was {kept.get(name)!r}. "
                    f"Received: {self.settings.get(name)!r}. Give the same, or choose another folder."
                )
        if found["versions"] != self._versions:
            warnings.warn(
                f"{self.path} was begun with {found['versions']} and goes on with {self._versions}: "
                "faces may be found a little differently.",
                stacklevel=4,
            )
            self._versions = found["versions"]

    def _write_settings(self, counts: dict[str, int] | None) -> None:
        write_json(self.path / SETTINGS, {"settings": self.settings, "versions": self._versions, "pictures": counts})

    def _read_journal(self) -> dict[str, dict[str, Any]]:
        """Return the rows of all parts that were finished, by source, and cut off a line that was not."""
        path = self.path / JOURNAL
        if not path.exists():
            return {}
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with open(path, "r+b") as file:
                file.truncate(len(whole))
        rows: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                for row in json.loads(line):
                    place = self.path / row["output"] if row["output"] else None
                    rows[row["source"]] = row if place is None or place.exists() else {}
            except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
                raise ValueError(
                    f"{path}, line {number}: expected the rows of a part as JSON ({error}). "
                    "Remove the file: the pictures are then aligned again."
                ) from error
        return {source: row for source, row in rows.items() if row}

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a finished part, for good."""
        line = json.dumps(rows) + "\n"
        with open(self.path / JOURNAL, "ab") as file:
            file.write(line.encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        self.rows |= {row["source"]: row for row in rows}

    def finish(self, names: Sequence[str], counts: dict[str, int]) -> None:
        """Write the manifest, and the counts into the settings."""
        with (
            replacing(self.path / MANIFEST) as temporary,
            # a file's name may be no text in any encoding; it is written byte for byte
            open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows[name] for name in names)
        self._write_settings(counts)
        with suppress(OSError):
            (self.path / PARTIAL).rmdir()


def versions() -> dict[str, str]:
    """Return the versions of what finds, cuts and writes the faces."""
    found = {"kerafer": __version__}
    for name in ("mtcnn", "tensorflow", "opencv-python-headless", "numpy", "pillow"):
        with suppress(PackageNotFoundError):  # TensorFlow and OpenCV are also published under other names
            found[name] = version(name)
    return found
