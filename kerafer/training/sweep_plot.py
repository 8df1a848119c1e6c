"""The picture of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerafer.files import replacing


def sweep_curve(
    rows: Sequence[dict[str, Any]], constants: Sequence[str], path: str | Path, *, title: str, split: str
) -> None:
    """Draw the validation accuracy over one constant, a line for each value of a second one, into a PNG.

    Args:
        rows: of a `Sweep`.
        constants: names of the one or two constants; with two, the last makes the axis.
        path: where to write.
        title: headline.
        split: what was measured.
    """
    from matplotlib.figure import Figure

    axis = constants[-1]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    lines = sorted({tuple(row[c] for c in constants[:-1]) for row in rows})
    for line in lines:
        chosen = [row for row in rows if tuple(row[c] for c in constants[:-1]) == line]
        for key, style in (("val_accuracy", "-o"), ("last_val_accuracy", ":.")):
            name = "best epoch" if key == "val_accuracy" else "last epoch"
            label = ", ".join([*(f"{c} {v:g}" for c, v in zip(constants, line, strict=False)), name])
            axes.plot([row[axis] for row in chosen], [100 * row[key] for row in chosen], style, label=label)
    axes.set(xlabel=axis.replace("_", " "), ylabel=f"accuracy on {split}, %", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
