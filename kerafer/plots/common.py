"""What all plots share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kerafer.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#000000", "#777777")
"""Of classes: told apart by people with any colour vision (Okabe and Ito)."""


def finish(figure: Figure, path: str | Path | None) -> Figure:
    """Write a figure into a file, if one is named, and return it."""
    if path is not None:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=110)
    return figure
