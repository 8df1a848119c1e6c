"""Augmentations that move pixels: crops, mirroring, small affine changes, and a square left out.

Each is a function of a batch, the size to cut, and for each image a row of random numbers in [0, 1).
"""

from __future__ import annotations

import numpy as np

ATTEMPTS = 10  # as often as torchvision's RandomResizedCrop tries
ANGLE, SHEAR, SHIFT, SCALE = 12.0, 8.0, 0.06, 1.1  # degrees, degrees, share of the side, largest factor


def five_crop(images: np.ndarray, size: tuple[int, int], u: np.ndarray) -> np.ndarray:
    """Cut one of four corners or the centre from each image, as the EAN paper's Figure 8 shows.

    Args:
        images: (n, height, width[, 3]) uint8.
        size: (height, width) to cut.
        u: (n, 1) in [0, 1).

    Returns:
        (n, size[0], size[1][, 3]) uint8.

    Raises:
        ValueError: if the images are smaller than `size`.

    Example:
        >>> image = np.arange(36, dtype=np.uint8).reshape(1, 6, 6)
        >>> five_crop(image, (2, 2), np.array([[0.99]]))[0]
        array([[28, 29],
               [34, 35]], dtype=uint8)
    """
    down, right = _room(images, size)
    corners = np.array([(0, 0), (0, right), (down // 2, right // 2), (down, 0), (down, right)])
    return _cut(images, corners[(u[:, 0] * 5).astype(np.int64)], size)


def random_crop(images: np.ndarray, size: tuple[int, int], u: np.ndarray) -> np.ndarray:
    """Cut a window at a random place from each image; arguments as `five_crop`, with `u` (n, 2)."""
    places = np.array(_room(images, size)) + 1
    return _cut(images, (u * places).astype(np.int64), size)


def flip(images: np.ndarray, size: tuple[int, int], u: np.ndarray) -> np.ndarray:
    """Mirror each image left to right with probability one half; arguments as `five_crop`."""
    out = images.copy()
    for i in np.flatnonzero(u[:, 0] < 0.5):
        out[i] = images[i, :, ::-1]
    return out


def random_resized_crop(
    images: np.ndarray, size: tuple[int, int], u: np.ndarray, area: tuple[float, float] = (0.08, 1.0)
) -> np.ndarray:
    """Cut a window of random area, shape and place from each image, and resize it.

    The window's share of the image's area is uniform in `area`, its width over its height log-uniform in 3/4 to 4/3.
    A window that does not fit is drawn again up to `ATTEMPTS` times; then the largest centred window of an allowed
    shape is cut. So does torchvision's `RandomResizedCrop`, which EfficientFace was trained with
    (Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6).

    Args:
        images: (n, height, width[, 3]) uint8.
        size: (height, width) to resize to.
        u: (n, 2 * ATTEMPTS + 2) in [0, 1): areas, shapes, and the place.
        area: least and largest share of the image.

    Returns:
        (n, size[0], size[1][, 3]) uint8.
    """
    import cv2

    height, width = images.shape[1:3]
    areas = height * width * (area[0] + (area[1] - area[0]) * u[:, :ATTEMPTS])  # (n, attempts)
    shapes = np.exp(np.log(4 / 3) * (2 * u[:, ATTEMPTS : 2 * ATTEMPTS] - 1))
    widths = np.rint(np.sqrt(areas * shapes)).astype(np.int64)
    heights = np.rint(np.sqrt(areas / shapes)).astype(np.int64)
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    first = fits.argmax(axis=1)[:, None]
    h = np.take_along_axis(heights, first, axis=1)[:, 0]  # (n,)
    w = np.take_along_axis(widths, first, axis=1)[:, 0]
    top = (u[:, -2] * (height - h + 1)).astype(np.int64)
    left = (u[:, -1] * (width - w + 1)).astype(np.int64)
    centred = ~fits.any(axis=1)
    h[centred] = min(height, round(width * 4 / 3))
    w[centred] = min(width, round(height * 4 / 3))
    top[centred], left[centred] = (height - h[centred]) // 2, (width - w[centred]) // 2
    out = np.empty((len(images), *size, *images.shape[3:]), np.uint8)
    for i, image in enumerate(images):
        window = image[top[i] : top[i] + h[i], left[i] : left[i] + w[i]]
        shrinks = h[i] >= size[0] and w[i] >= size[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        out[i] = cv2.resize(window, (size[1], size[0]), interpolation=how)
    return out


def mild_resized_crop(images: np.ndarray, size: tuple[int, int], u: np.ndarray) -> np.ndarray:
    """Cut as `random_resized_crop` does, but at least 0.6 of the area, so that an expression stays whole."""
    return random_resized_crop(images, size, u, (0.6, 1.0))


def affine(images: np.ndarray, size: tuple[int, int], u: np.ndarray) -> np.ndarray:
    """Turn, shear, scale and shift each image a little; the edge's pixels are repeated beyond it.

    Up to `ANGLE` degrees either way, `SHEAR` degrees sideways, a factor of 1 / `SCALE` to `SCALE` (log-uniform), and
    `SHIFT` of the side on each axis. The size stays.

    Args:
        images: (n, height, width[, 3]) uint8.
        size: not used.
        u: (n, 5) in [0, 1): angle, shear, scale, shift right, shift down.

    Returns:
        Of the shape of `images`, uint8.
    """
    import cv2

    height, width = images.shape[1:3]
    v = 2 * u - 1
    angle, shear = np.deg2rad(ANGLE * v[:, 0]), np.tan(np.deg2rad(SHEAR * v[:, 1]))
    scale = SCALE ** v[:, 2]
    sine, cosine = scale * np.sin(angle), scale * np.cos(angle)
    # rotation times [[1, shear], [0, 1]], about the centre, for each image: (n, 2, 2)
    turn = np.stack([cosine, cosine * shear - sine, sine, sine * shear + cosine], axis=1).reshape(-1, 2, 2)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = SHIFT * np.array([width, height]) * v[:, 3:5]
    matrices = np.concatenate([turn, (centre + shift - turn @ centre)[:, :, None]], axis=2)  # (n, 2, 3)
    out = np.empty_like(images)
    for i, image in enumerate(images):
        out[i] = cv2.warpAffine(
            image, matrices[i], (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return out


def cutout(images: np.ndarray, size: tuple[int, int], u: np.ndarray) -> np.ndarray:
    """Fill one square of each image, its side up to half of the image's, with the image's mean.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017; there the
    square's size is fixed.

    Args:
        images: (n, height, width[, 3]) uint8.
        size: not used.
        u: (n, 3) in [0, 1): side, place down and place right.

    Returns:
        Of the shape of `images`, uint8.
    """
    height, width = images.shape[1:3]
    sides = 1 + (u[:, 0] * (min(height, width) // 2)).astype(np.int64)
    tops = (u[:, 1] * (height - sides + 1)).astype(np.int64)
    lefts = (u[:, 2] * (width - sides + 1)).astype(np.int64)
    columns = images.reshape(*images.shape[:2], -1).sum(axis=1, dtype=np.uint32)  # (n, width[ * 3]), exact
    sums = columns.reshape(len(images), *images.shape[2:]).sum(axis=1)  # (n[, 3])
    means = np.rint(sums / (height * width)).astype(np.uint8)
    out = images.copy()
    for i, (top, left, side) in enumerate(zip(tops, lefts, sides, strict=True)):
        out[i, top : top + side, left : left + side] = means[i]
    return out


def _room(images: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """Return how far a window of `size` can move down and right."""
    down, right = images.shape[1] - size[0], images.shape[2] - size[1]
    if min(down, right) < 0:
        raise ValueError(
            f"`images` must be at least {size[0]}x{size[1]}, the size to cut. "
            f"Received: {images.shape[1]}x{images.shape[2]}"
        )
    return down, right


def _cut(images: np.ndarray, offsets: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = np.empty((len(images), *size, *images.shape[3:]), images.dtype)
    for i, (top, left) in enumerate(offsets.tolist()):
        out[i] = images[i, top : top + size[0], left : left + size[1]]
    return out
