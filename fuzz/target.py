"""What a target of fuzzing is, and what several of them need."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Target:
    """A reader and what to feed it.

    Args:
        name: of the input's file, without folder; its suffix is how readers tell a kind.
        seeds: yields the content of whole files.
        read: is given the file's path; what it writes lies beside it.
        share: of all inputs; readers that take long get fewer.
        form: `"bytes"`, `"zip"` (members are changed and the archive closed again) or `"json"` (values are changed).
    """

    name: str
    seeds: Callable[[], Iterator[bytes]]
    read: Callable[[Path], Any]
    share: float
    form: str = "bytes"


def half_written(folder: Path) -> list[Path]:
    """Return what `kerafer.files.replacing` writes into until it is whole, and should have removed."""
    return sorted(path for path in folder.rglob("*") if path.name.startswith("."))


def fresh(path: Path, name: str) -> Path:
    """Return an empty folder beside the input."""
    folder = path.parent / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def npz(**arrays: np.ndarray) -> bytes:
    """Return the content of a `.npz` file."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def picture() -> bytes:
    """Return the content of a small PNG file."""
    from PIL import Image

    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(content, format="PNG")
    return content.getvalue()
