"""What all plots share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kerafer.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#000000", "#777777")
"""Of classes: told apart by people with any colour vision (Okabe and Ito)."""


SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf")
"""Of the files that a figure is written into; they choose the format."""


def check_picture(path: str | Path | None, name: str = "path") -> None:
    """Refuse a file whose suffix is no format that a figure is written in, before anything else is done.

    Args:
        path: the file, or None.
        name: of the argument that it came in.

    Raises:
        ValueError: if it has another suffix.
    """
    if path is not None and Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"`{name}` must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}. Received: {str(path)!r}")


def finish(figure: Figure, path: str | Path | None) -> Figure:
    """Write a figure into a file, if one is named, and return it."""
    check_picture(path)
    if path is not None:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=110)
    return figure
