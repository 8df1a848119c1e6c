"""Augmentations of a batch of faces, chosen by name in a recipe.

Every random number belongs to one image of the batch: an augmentation says how many it takes for each, and what
becomes of an image depends on its own numbers alone. So a resumed training sees exactly the pictures it would have
seen, and hosts that share a batch make exactly their parts of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kerafer.data.augment import geometric, photometric


@dataclass(frozen=True)
class Augmentation:
    """One way to vary images.

    Args:
        draws: random numbers in [0, 1) that it takes for each image.
        apply: a function of images (n, height, width[, 3]) uint8, the (height, width) to cut, and numbers (n, draws),
            that returns new images, uint8.
    """

    draws: int
    apply: Callable[[np.ndarray, tuple[int, int], np.ndarray], np.ndarray]


AUGMENTATIONS: dict[str, Augmentation] = {
    "five_crop": Augmentation(1, geometric.five_crop),
    "random_crop": Augmentation(2, geometric.random_crop),
    "random_resized_crop": Augmentation(2 * geometric.ATTEMPTS + 2, geometric.random_resized_crop),
    "mild_resized_crop": Augmentation(2 * geometric.ATTEMPTS + 2, geometric.mild_resized_crop),
    "flip": Augmentation(1, geometric.flip),
    "affine": Augmentation(5, geometric.affine),
    "cutout": Augmentation(3, geometric.cutout),
    "photometric": Augmentation(photometric.OWN_DRAWS, photometric.photometric),
    "gray": Augmentation(0, photometric.gray),
}

CUTTING: tuple[str, ...] = ("five_crop", "random_crop", "random_resized_crop", "mild_resized_crop")
"""The names that cut to the model's size."""


def augment(
    images: np.ndarray,
    names: Sequence[str],
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    rows: Sequence[int] | np.ndarray | None = None,
    of: int | None = None,
) -> np.ndarray:
    """Apply augmentations in order, to a batch or to a part of one.

    Args:
        images: (n, height, width) gray or (n, height, width, 3) RGB, uint8; they are not changed.
        names: keys of `AUGMENTATIONS`, one of `CUTTING` among them where the images are larger than `size`.
        size: (height, width) of the model's input.
        rng: source of chance, the same for every part of a batch.
        rows: (n,) numbers of these images in the whole batch; by default they are the first n.
        of: the number of images in the whole batch, n by default.

    Returns:
        (n, size[0], size[1][, 3]) uint8. An image becomes the same whichever other rows are asked for.

    Raises:
        ValueError: if a name is unknown, the images or rows are wrong, or the result does not have the model's size.

    Example:
        >>> images = np.arange(4 * 36, dtype=np.uint8).reshape(4, 6, 6)
        >>> whole = augment(images, ("random_crop", "flip"), (5, 5), np.random.default_rng(7))
        >>> rows = [3, 1]
        >>> part = augment(images[rows], ("random_crop", "flip"), (5, 5), np.random.default_rng(7), rows=rows, of=4)
        >>> bool((part == whole[rows]).all())
        True
    """
    if images.dtype != np.uint8 or images.shape[3:] not in ((), (3,)) or images.ndim not in (3, 4):
        raise ValueError(
            "`images` must be (n, height, width) or (n, height, width, 3) uint8. "
            f"Received: {images.dtype}{images.shape}"
        )
    of = len(images) if of is None else of
    mine = np.arange(len(images)) if rows is None else np.asarray(rows, np.int64)
    if mine.shape != (len(images),) or (len(mine) and not (mine.min() >= 0 and mine.max() < of)):
        raise ValueError(
            "`rows` must be the number of each image in the whole batch, and `of` the number of images there. "
            f"Received: {len(images)} images, rows={mine.tolist()}, of={of}"
        )
    received = images.shape
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(f"`augmentation` must be among {', '.join(AUGMENTATIONS)}. Received: {name!r}")
        one = AUGMENTATIONS[name]
        images = one.apply(images, size, rng.random((of, one.draws))[mine])
    if images.shape[1:3] != tuple(size):
        raise ValueError(
            f"`augmentation` must cut images of {received[1]}x{received[2]} to {size}; use one of "
            f"{', '.join(CUTTING)}. Received: {tuple(names)}"
        )
    return images
