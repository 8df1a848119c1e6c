"""Where a model looks, what it says of a face, and how it lays out its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerafer.plots.common import COLOURS, finish

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
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
        _bars(grid[row, -1], probabilities[row], labels, chosen)
    grid[0, 0].set_title("input", fontsize=8)
    for axes, (name, (height, width)) in zip(grid[0, 1:], layers, strict=False):
        axes.set_title(f"{name}\n{height}x{width}", fontsize=7)
    grid[0, -1].set_title("probability, explained class in red", fontsize=7)
    return finish(figure, path)


def label_distributions(
    images: Sequence[np.ndarray],
    distributions: np.ndarray,
    labels: Sequence[str],
    path: str | Path | None,
    title: str,
    *,
    captions: Sequence[str] = (),
) -> Figure:
    """Draw faces, each with the distribution over the classes beside it, three in a row (as EAN's Figure 12).

    Args:
        images: each (height, width) gray or (height, width, 3) RGB, uint8; one or more.
        distributions: (pictures, classes): a model's probabilities, or what a training learns from.
        labels: class names.
        path: where to write, or None.
        title: headline.
        captions: what stands above each picture; nothing by default.

    Returns:
        The figure; the most probable class of each face is red.

    Raises:
        ValueError: if there is no image, or the numbers of images, distributions, labels or captions differ.

    Example:
        >>> import numpy as np
        >>> faces, shares = [np.zeros((44, 44), np.uint8)] * 2, np.array([[0.25, 0.75], [0.5, 0.5]])
        >>> len(label_distributions(faces, shares, ("left", "right"), None, "Two faces").axes)
        4
    """
    import numpy as np
    from matplotlib.figure import Figure

    values = np.asarray(distributions)
    if not len(images) or values.shape != (len(images), len(labels)) or len(captions) not in (0, len(images)):
        raise ValueError(
            "`images` must hold one or more pictures, `distributions` be (pictures, classes) for the classes `labels`, "
            f"and `captions` hold a text for each picture or none. Received: {len(images)} images, distributions "
            f"{values.shape}, {len(labels)} labels, {len(captions)} captions"
        )
    columns = min(3, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(4.4 * columns, 1.2 + rows * max(1.9, 0.24 * len(labels))), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 1] * columns)
    cells = grid.reshape(-1, 2)
    for number, (left, right) in enumerate(cells):
        left.set_axis_off()
        if number >= len(images):
            right.set_axis_off()
            continue
        image = images[number]
        left.imshow(image, **({"cmap": "gray", "vmin": 0, "vmax": 255} if image.ndim == 2 else {}))
        left.set_title(captions[number] if captions else "", fontsize=8)
        _bars(right, values[number], labels, int(values[number].argmax()))
    return finish(figure, path)


def _bars(axes: Axes, values: np.ndarray, labels: Sequence[str], chosen: int) -> None:
    """Draw a distribution, with one class in red."""
    axes.barh(range(len(labels)), values, color=["#D55E00" if n == chosen else "#56B4E9" for n in range(len(labels))])
    axes.set(xlim=(0, 1), yticks=range(len(labels)), xticks=(0, 0.5, 1))
    axes.set_yticklabels(labels, fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.invert_yaxis()


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
