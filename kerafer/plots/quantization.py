"""Pictures of exported files: accuracy against size, error by layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerafer.plots.common import finish

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def accuracy_against_size(
    rows: Sequence[tuple[str, int, float]], path: str | Path | None, title: str, *, reference: float
) -> Figure:
    """Draw the accuracy of a model's files against their size into a PNG.

    Args:
        rows: (recipe, bytes, accuracy in [0, 1]).
        path: where to write, or None.
        title: headline.
        reference: accuracy of the float Keras model, drawn as a line.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(100 * reference, color="gray", linestyle="--", linewidth=1, label="Keras, float32")
    for _, size, accuracy in rows:
        axes.plot(size / 1000, 100 * accuracy, "o")
    axes.set(xlabel="size of the file, KB", ylabel="accuracy, %", title=title, xlim=(0, None))
    axes.margins(x=0.2, y=0.2)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    _name_points(axes, [(recipe, size / 1000, 100 * accuracy) for recipe, size, accuracy in rows])
    return finish(figure, path)


def _name_points(axes: Any, points: Sequence[tuple[str, float, float]]) -> None:
    """Write each point's name beside it, where no other name, no point and no frame is, if there is such a place."""
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()
    spots = [axes.transData.transform(place) for _, *place in points]
    taken = [Bbox([(x - 5, y - 5), (x + 5, y + 5)]) for x, y in spots]
    sides = [("left", 6), ("right", -6), ("center", 0)]
    shifts = [5, -13, 16, -24, 27, -35]
    frame = axes.bbox
    for name, *place in points:
        for down, (side, along) in product(shifts, sides):
            where = {"textcoords": "offset points", "xytext": (along, down), "ha": side, "annotation_clip": False}
            text = axes.annotate(name, place, fontsize=9, **where)
            box = text.get_window_extent()
            inside = frame.x0 < box.x0 < box.x1 < frame.x1 and frame.y0 < box.y0 < box.y1 < frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
        else:
            axes.annotate(name, place, textcoords="offset points", xytext=(6, 5), fontsize=9)


def layer_error_bars(rows: Sequence[dict[str, Any]], path: str | Path | None, title: str, annotated: int = 3) -> Figure:
    """Draw what rounding does to each layer into a PNG: noise of its output, and its effect when rounded alone.

    Args:
        rows: of `kerafer.quantization.layer_error.LayerErrorReport.rows`, in the network's order.
        path: where to write, or None.
        title: headline.
        annotated: how many of the worst layers are named beside their bars.

    Returns:
        The figure.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(7.0, 0.16 * len(rows) + 2), 7.5), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subplots(2, 1, sharex=True)
    places = np.arange(len(rows))
    ratios = np.array([row["sqnr_db"] for row in rows], float)
    upper.bar(places, np.where(np.isfinite(ratios), ratios, 0), color="tab:blue", label="with all layers before it")
    own = np.array([np.nan if row["steps_sqnr_db"] is None else row["steps_sqnr_db"] for row in rows], float)
    upper.plot(places, np.where(np.isfinite(own), own, np.nan), "k_", markersize=6, label="this output rounded alone")
    upper.set(ylabel="signal to quantization noise, dB")
    upper.legend(fontsize=8, loc="lower left")
    effects = np.array([row["mean_difference"] or 0.0 for row in rows])
    worst = set(np.argsort(-effects, kind="stable")[:annotated].tolist())
    lower.bar(places, effects, color=["tab:red" if place in worst else "tab:blue" for place in places])
    for place in sorted(worst):
        share = rows[place]["agreement"]
        text = rows[place]["layer"] + ("" if share is None else f"\nagreement {share:.1%}")
        side = "right" if place > len(rows) / 2 else "left"
        lower.annotate(text, (place, effects[place]), fontsize=7, ha=side, va="bottom", rotation=15)
    lower.set(ylabel="layer rounded alone:\nmean difference of a probability")
    lower.margins(y=0.2)
    lower.set_xticks(places, [row["layer"] for row in rows], rotation=90, fontsize=5)
    for axes in (upper, lower):
        axes.grid(axis="y", alpha=0.3)
    return finish(figure, path)
