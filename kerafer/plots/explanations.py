"""Where a model looks, what it says of a face, and how it lays out its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerafer.plots.common import COLOURS, finish

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

MARKERS = "osD^vP*X"


def grad_cam_grid(
    images: Sequence[np.ndarray],
    maps: np.ndarray,
    layers: Sequence[tuple[str, tuple[int, int]]],
    path: str | Path | None,
    title: str,
    *,
    probabilities: np.ndarray,
    labels: Sequence[str],
    classes: Sequence[int],
) -> Figure:
    """Draw pictures, what Grad-CAM finds at each block's end, and the distribution of the classes beside them.

    Args:
        images: each (height, width, 3) uint8, as the model sees it.
        maps: (layers, pictures, height, width), 0 to 1.
        layers: name and (height, width) of each explained layer.
        path: where to write, or None.
        title: headline.
        probabilities: (pictures, classes).
        labels: class names.
        classes: what is explained in each picture.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    columns = len(layers) + 2
    figure = Figure(figsize=(1.7 * (columns + 1), 1.9 * len(images) + 0.8), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(images), columns, squeeze=False, width_ratios=[1] * (columns - 1) + [1.5])
    for row, (image, chosen) in enumerate(zip(images, classes, strict=True)):
        for axes in grid[row, :-1]:
            axes.imshow(image)
            axes.set_axis_off()
        for column, warm in enumerate(maps[:, row], start=1):
            # warm places are shown, cold ones left as they are
            grid[row, column].imshow(warm, cmap="inferno", vmin=0, vmax=1, alpha=0.65 * warm)
        bars = grid[row, -1]
        colours = ["#D55E00" if number == chosen else "#56B4E9" for number in range(len(labels))]
        bars.barh(range(len(labels)), probabilities[row], color=colours)
        bars.set(xlim=(0, 1), yticks=range(len(labels)), xticks=(0, 0.5, 1))
        bars.set_yticklabels(labels, fontsize=7)
        bars.tick_params(axis="x", labelsize=7)
        bars.invert_yaxis()
    grid[0, 0].set_title("input", fontsize=8)
    for axes, (name, (height, width)) in zip(grid[0, 1:], layers, strict=False):
        axes.set_title(f"{name}\n{height}x{width}", fontsize=7)
    grid[0, -1].set_title("probability, explained class in red", fontsize=7)
    return finish(figure, path)


def embedding_scatter(
    places: np.ndarray, classes: np.ndarray, labels: Sequence[str], path: str | Path | None, title: str
) -> Figure:
    """Draw pictures as points of a plane, by class.

    Args:
        places: (pictures, 2).
        classes: (pictures,) int.
        labels: class names.
        path: where to write, or None.
        title: headline.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.5), layout="constrained")
    axes = figure.subplots()
    for number, label in enumerate(labels):
        own = places[classes == number]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        text = f"{label}, {len(own):,}"
        axes.scatter(*own.T, s=14, color=colour, marker=marker, alpha=0.6, linewidths=0, label=text)
    axes.set(xticks=(), yticks=(), title=title)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", markerscale=2)
    return finish(figure, path)
