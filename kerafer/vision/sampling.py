"""Cutting pieces out of pictures and reducing pictures, exactly as MTCNN's package does, on arrays alone."""

from __future__ import annotations

import numpy as np

ROWS = 24
"""Rows that are reduced together."""


def reduced(sums: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture at a smaller size, each pixel the mean of what it covers, from the picture's running sums.

    Args:
        sums: (height + 1, width + 1, channels) float64, as `cv2.integral` gives them.
        size: (width, height) to reduce to.

    Returns:
        (height, width, channels) float32.
    """
    across, down = (_edges(length - 1, count) for length, count in zip(sums.shape[1::-1], size, strict=True))
    area = (sums.shape[0] - 1) * (sums.shape[1] - 1) / (size[0] * size[1])
    result = np.empty((size[1], size[0], sums.shape[2]), np.float32)
    for first in range(0, size[1], ROWS):  # a few rows at a time stay in the processor's cache
        last = min(first + ROWS, size[1])
        # (rows + 1, width + 1, channels), and its differences: sums of each row of the result
        bands = np.diff(_between(sums, *(part[first : last + 1] for part in down), axis=0), axis=0)
        result[first:last] = np.diff(_between(bands, *across, axis=1), axis=1) / area
    return result


def _between(sums: np.ndarray, whole: np.ndarray, share: np.ndarray, axis: int) -> np.ndarray:
    """Return what the sums are between two of an axis's pixels."""
    before, after = sums.take(whole, axis=axis), sums.take(whole + 1, axis=axis)
    return _mixed(before, after, share[:, None] if axis else share[:, None, None])


def _edges(length: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where an axis is cut into equal parts: the whole pixels before each edge, and the share beyond them."""
    places = np.linspace(0, length, count + 1)
    whole = np.minimum(places.astype(np.int64), length - 1)
    return whole, places - whole


def patches(image: np.ndarray, boxes: np.ndarray, side: int) -> np.ndarray:
    """Cut boxes out of a picture and resize them, as TensorFlow's `crop_and_resize` does: zero beyond the picture.

    Args:
        image: (height, width, 3) float32.
        boxes: (n, 5 or more), which begin with left, top, right, bottom.
        side: of the patches.

    Returns:
        (n, side, side, 3) float32.
    """
    height, width = image.shape[:2]
    (upper, lower, down, inside_y), (left, right, across, inside_x) = (
        _samples(boxes[:, low] / length, boxes[:, high] / length, length, side)
        for low, high, length in ((1, 3, height), (0, 2, width))
    )
    flat = image.reshape(-1, 3)
    upper, lower = (rows.astype(np.intp)[:, :, None] * width for rows in (upper, lower))
    left, right = (columns.astype(np.intp)[:, None, :] for columns in (left, right))

    def taken(corners: np.ndarray) -> np.ndarray:
        return flat.take(corners, axis=0).reshape(len(boxes), side, 3 * side)

    # shares repeated for the channels: numpy is slow where the last axis is short
    across, down = np.repeat(across, 3, axis=1)[:, None, :], down[:, :, None]
    top, bottom = (_mixed(taken(rows + left), taken(rows + right), across) for rows in (upper, lower))
    top = _mixed(top, bottom, down)
    if not (inside_y.all() and inside_x.all()):
        top *= inside_y[:, :, None] & np.repeat(inside_x, 3, axis=1)[:, None, :]
    return top.reshape(len(boxes), side, side, 3)


def _mixed(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return what lies between two arrays; the second is overwritten."""
    other -= one
    other *= share
    other += one
    return other


def _samples(start: np.ndarray, end: np.ndarray, length: int, side: int) -> tuple[np.ndarray, ...]:
    """Return, on one axis, each sample's pixels before and after it (n, side), the latter's share, and if it is in."""
    start, end, last = np.float32(start)[:, None], np.float32(end)[:, None], np.float32(length - 1)
    places = start * last + np.arange(side, dtype=np.float32) * ((end - start) * last / np.float32(side - 1))
    within = np.clip(places, 0, last)
    before = np.floor(within)
    return before.astype(np.int32), np.ceil(within).astype(np.int32), within - before, places == within
