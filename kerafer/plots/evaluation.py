"""Pictures of results: confusion, calibration, single images, robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerafer.plots.common import finish

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure


def confusion_matrix(
    confusion: Sequence[Sequence[int]], class_names: Sequence[str], path: str | Path | None, title: str
) -> Figure:
    """Draw a confusion matrix into a PNG: shares of each true class, in percent, with the counts below them.

    Args:
        confusion: (classes, classes) images by true class (rows) and predicted class (columns).
        class_names: name of each class.
        path: where to write, or None.
        title: headline.

    Returns:
        The figure.
    """
    import numpy as np
    from matplotlib.figure import Figure

    counts = np.asarray(confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)  # the row of a class without images is all 0
    side = 2.0 + 0.85 * len(class_names)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    for row in range(len(counts)):
        for column in range(len(counts)):
            text = f"{100 * shares[row, column]:.1f}\n({counts[row, column]:,})" if totals[row] else "no\nimages"
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    places = range(len(class_names))
    axes.set_xticks(places, class_names, rotation=45, ha="right")
    axes.set_yticks(places, class_names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return finish(figure, path)


def reliability(bins: Sequence[dict[str, Any]], path: str | Path | None, title: str) -> Figure:
    """Draw a reliability diagram into a PNG: accuracy over confidence, and how many images have which confidence.

    Args:
        bins: from `kerafer.evaluation.measures.calibration_bins`.
        path: where to write, or None.
        title: headline.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6.5), layout="constrained")
    figure.suptitle(title, fontsize=10)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    width = bins[0]["to"] - bins[0]["above"]
    full = [row for row in bins if row["images"]]
    starts = [row["above"] for row in full]
    upper.bar(starts, [row["accuracy"] for row in full], width, align="edge", edgecolor="white", label="accuracy")
    upper.plot([row["confidence"] for row in full], [row["accuracy"] for row in full], "k.", label="mean confidence")
    upper.plot([0, 1], [0, 1], "--", color="gray", label="as confident as right")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    upper.legend(loc="upper left")
    lower.bar([row["above"] for row in bins], [row["images"] for row in bins], width, align="edge", edgecolor="white")
    lower.set(xlabel="probability of the best class", ylabel="images")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return finish(figure, path)


def picture_table(images: Sequence[np.ndarray], captions: Sequence[str], path: str | Path | None, title: str) -> Figure:
    """Draw pictures with captions into a PNG, eight in a row.

    Args:
        images: each (height, width) gray or (height, width, 3) RGB, uint8; there may be none.
        captions: one for each.
        path: where to write, or None.
        title: headline.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    columns = 8
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.5 * columns, 2.1 * rows + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if number < len(images):
            image = images[number]
            axes.imshow(image, **({"cmap": "gray", "vmin": 0, "vmax": 255} if image.ndim == 2 else {}))
            axes.set_title(captions[number], fontsize=7)
    return finish(figure, path)


def robustness_curves(
    curves: Mapping[str, Mapping[str, Any]], models: Sequence[str], path: str | Path | None, title: str
) -> Figure:
    """Draw accuracy over severity into a PNG, one picture a corruption and one line a model.

    Args:
        curves: of `kerafer.evaluation.Robustness`.
        models: names of the lines.
        path: where to write, or None.
        title: headline.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.2 * columns + 0.6, 3.4 * rows + 0.8), layout="constrained")
    figure.suptitle(title)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axes, (name, curve) in zip(panels, curves.items(), strict=False):
        for model in models:
            axes.plot(curve["severities"], curve["accuracy"][model], marker=".", label=model)
        axes.axvline(curve["neutral"], color="gray", linewidth=0.8, linestyle=":")
        axes.set(title=name, xlabel=curve["unit"], ylabel="accuracy", ylim=(0, 1))
        axes.grid(alpha=0.3)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    panels[0].legend(fontsize=8)
    return finish(figure, path)
