"""A picture of what augmentations make of a data set's images, to look at before a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kerafer.data.augment import augment
from kerafer.data.dataset import FaceDataset
from kerafer.plots.common import finish
from kerafer.preprocess import Preprocessing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 4
SHOWN_SIDE = 72  # pixels of the drawing that a view takes at least


def choose_images(data: FaceDataset, count: int, seed: int = 0) -> np.ndarray:
    """Return the numbers of images to show: by chance, one of each class before the second of any.

    Args:
        data: the split.
        count: how many; fewer where the split has fewer.
        seed: decides the choice.

    Returns:
        (count,) int64.

    Raises:
        ValueError: if `count` is not positive.

    Example:
        >>> from kerafer.data.samples import synthetic
        >>> data = synthetic(28)
        >>> sorted(data.labels[choose_images(data, 7)].tolist())
        [0, 1, 2, 3, 4, 5, 6]
    """
    if count < 1:
        raise ValueError(f"`count` must be at least 1. Received: count={count!r}")
    order = np.random.default_rng(seed).permutation(len(data))
    labels = data.labels[order]
    turn = np.empty(len(data), np.int64)  # how many of its class come before each
    for label in np.unique(labels):
        mine = labels == label
        turn[mine] = np.arange(mine.sum())
    return order[np.lexsort((labels, turn))][:count]


def augmented_views(
    data: FaceDataset, index: np.ndarray, contract: Preprocessing, names: Sequence[str], views: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return images at the contract's `resize` size, and what a training would see of each.

    Args:
        data: the split.
        index: numbers of the images.
        contract: the model's preprocessing.
        names: of `kerafer.data.augment.AUGMENTATIONS`, in order; empty for the centre crop.
        views: augmented versions of each image.
        seed: decides them.

    Returns:
        (n, resize[0], resize[1][, 3]) and (n, views, size[0], size[1][, 3]), uint8.

    Raises:
        ValueError: if `views` is not positive, a name is unknown, or the augmentations do not cut to `size`.
    """
    if views < 1:
        raise ValueError(f"`views` must be at least 1. Received: views={views!r}")
    images = data.pixels(index, contract)
    repeated = np.repeat(images, views, axis=0)  # (n * views, ...)
    if names:
        seen = augment(repeated, names, contract.size, np.random.default_rng(seed))
    else:
        (top, left), (height, width) = contract.crop_offset(), contract.size
        seen = repeated[:, top : top + height, left : left + width]
    return images, seen.reshape(len(images), views, *seen.shape[1:])


def draw_augmentations(
    data: FaceDataset,
    contract: Preprocessing,
    names: Sequence[str],
    path: str | Path | None,
    *,
    count: int = 8,
    views: int = 8,
    seed: int = 0,
    title: str = "",
) -> Figure:
    """Draw some images and their augmented versions, a row an image; mean and std are not applied.

    The images are those that `choose_images` names for the same count and seed.

    Args:
        data: the split.
        contract: the model's preprocessing, which says `resize` and `size`.
        names: of `kerafer.data.augment.AUGMENTATIONS`, in order; empty for the centre crop.
        path: where to write, or None.
        count: images to show.
        views: augmented versions of each.
        seed: decides images and versions.
        title: first words of the headline, before the names.

    Returns:
        The figure.

    Raises:
        ValueError: if an argument is wrong.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> contract = kerafer.model_spec("ean").preprocessing
        >>> figure = draw_augmentations(synthetic(14), contract, ("five_crop", "flip"), None, count=3)
        >>> len(figure.axes[0].get_yticks())
        3
    """
    from matplotlib.figure import Figure

    index = choose_images(data, count, seed)
    images, seen = augmented_views(data, index, contract, names, views, seed)
    (height, width), (low, narrow) = contract.resize, contract.size
    step_down, step_right = height + GAP, narrow + GAP
    begin = width + 3 * GAP  # a wider gap after the originals
    canvas = np.full((len(index) * step_down - GAP, begin + views * step_right - GAP, 3), 255, np.uint8)
    for row, (image, versions) in enumerate(zip(images, seen, strict=True)):
        top = row * step_down
        canvas[top : top + height, :width] = _rgb(image)
        top += (height - low) // 2
        for column, version in enumerate(versions):
            left = begin + column * step_right
            canvas[top : top + low, left : left + narrow] = _rgb(version)
    zoom = max(1, -(-SHOWN_SIDE // min(height, narrow)))
    figure = Figure(figsize=(canvas.shape[1] * zoom / 100 + 1.6, canvas.shape[0] * zoom / 100 + 1.2), layout="tight")
    axes = figure.subplots()
    axes.imshow(canvas, interpolation="nearest")
    axes.set_yticks(
        [row * step_down + height / 2 for row in range(len(index))],
        [data.class_names[label] for label in data.labels[index]],
    )
    middles = [begin + column * step_right + narrow / 2 for column in range(views)]
    axes.set_xticks([width / 2, *middles], ["original", *map(str, range(1, views + 1))])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    what = ", ".join(names) or "centre crop"
    axes.set_title(f"{title + ': ' if title else ''}{what} ({height}x{width} to {low}x{narrow})", pad=10, wrap=True)
    return finish(figure, path)


def _rgb(image: np.ndarray) -> np.ndarray:
    """Return an image that is drawn onto an RGB canvas: gray gets an axis of one channel."""
    return image[..., None] if image.ndim == 2 else image
