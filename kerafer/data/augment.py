"""Augmentations of a batch of faces, chosen by name in a recipe.

Each takes a uint8 batch, the size to cut, and a random generator that depends only on seed, epoch and batch, so a
resumed training sees exactly the pictures it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Augmentation = Callable[[np.ndarray, tuple[int, int], np.random.Generator], np.ndarray]


def five_crop(images: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Cut one of four corners or the centre from each image, as the EAN paper's Figure 8 shows.

    Args:
        images: (n, height, width[, 3]) uint8.
        size: (height, width) to cut.
        rng: source of chance.

    Returns:
        (n, size[0], size[1][, 3]) uint8.
    """
    down, right = images.shape[1] - size[0], images.shape[2] - size[1]
    corners = np.array([(0, 0), (0, right), (down // 2, right // 2), (down, 0), (down, right)])
    return _cut(images, corners[rng.integers(5, size=len(images))], size)


def random_crop(images: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Cut a window at a random place from each image; arguments as `five_crop`."""
    highest = np.array([images.shape[1] - size[0] + 1, images.shape[2] - size[1] + 1])
    return _cut(images, rng.integers(highest, size=(len(images), 2)), size)


def flip(images: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Mirror each image left to right with probability one half; arguments as `five_crop`."""
    chosen = rng.random(len(images)) < 0.5
    out = images.copy()
    out[chosen] = out[chosen, :, ::-1]
    return out


def _cut(images: np.ndarray, offsets: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    n = np.arange(len(images))[:, None, None]
    rows = offsets[:, 0, None, None] + np.arange(size[0])[:, None]  # (n, height, 1)
    columns = offsets[:, 1, None, None] + np.arange(size[1])  # (n, 1, width)
    return images[n, rows, columns]


AUGMENTATIONS: dict[str, Augmentation] = {"five_crop": five_crop, "random_crop": random_crop, "flip": flip}


def augment(images: np.ndarray, names: tuple[str, ...], size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Apply augmentations in order.

    Raises:
        ValueError: if a name is unknown, or the result does not have the model's size.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(f"`augmentation` must be among {', '.join(AUGMENTATIONS)}. Received: {name!r}")
        images = AUGMENTATIONS[name](images, size, rng)
    if images.shape[1:3] != tuple(size):
        raise ValueError(f"`augmentation` must cut to {size}; use five_crop or random_crop. Received: {names}")
    return images
