"""Augmentations that change values and leave pixels in their place: light, contrast, sharpness, noise, colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

VALUES = np.arange(256, dtype=np.float32)
ROUNDS = 2
OWN_DRAWS = 2 * ROUNDS + 1

# A table (m, 256) of what becomes of each value, from strengths (m, 1) in [0, 1) and the images' means (m, 1).
TABLES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "brightness": lambda s, mean: VALUES + 120 * (s - 0.5),  # up to 60 darker or brighter
    "contrast": lambda s, mean: mean + (VALUES - mean) * 4 ** (s - 0.5),  # half to double, about the mean
    "gamma": lambda s, mean: 255 * (VALUES / 255) ** (4 ** (s - 0.5)),  # exponents 1/2 to 2
    "posterize": lambda s, mean: (np.floor(VALUES / _step(s)) + 0.5) * _step(s),  # 64 to 8 levels
}
OPERATIONS = (*TABLES, "equalize", "blur", "sharpen", "noise")
COLOUR_OPERATIONS = (*OPERATIONS, "saturation")


def photometric(images: np.ndarray, size: tuple[int, int], u: np.ndarray) -> np.ndarray:
    """Apply two operations, each chosen by chance and of random strength, to each image.

    The operations are `OPERATIONS`, and `COLOUR_OPERATIONS` for RGB: brightness, contrast, gamma, posterising,
    histogram equalisation, blur, sharpening, Gaussian noise and saturation; as RandAugment does, without its
    operations that move pixels (Cubuk et al., "RandAugment", CVPR Workshops 2020, section 3).

    Args:
        images: (n, height, width[, 3]) uint8.
        size: not used.
        u: (n, 5) in [0, 1): operation and strength twice, and the seed of the noise.

    Returns:
        Of the shape of `images`, uint8.
    """
    operations = OPERATIONS if images.ndim == 3 else COLOUR_OPERATIONS
    out = images.copy()
    for turn in range(ROUNDS):
        chosen = (u[:, 2 * turn] * len(operations)).astype(np.int64)
        strengths = u[:, 2 * turn + 1]
        for number, name in enumerate(operations):
            index = np.flatnonzero(chosen == number)
            if len(index):
                _apply(name, out, index, strengths[index], u[index, -1], turn)
    return out


def gray(images: np.ndarray, size: tuple[int, int], u: np.ndarray) -> np.ndarray:
    """Replace colour by luma on all three channels; gray images stay as they are.

    Args:
        images: (n, height, width[, 3]) uint8.
        size: not used.
        u: (n, 0).

    Returns:
        Of the shape of `images`, uint8.

    Example:
        >>> gray(np.array([[[[255, 0, 0]]]], np.uint8), (1, 1), np.empty((1, 0)))
        array([[[[76, 76, 76]]]], dtype=uint8)
    """
    import cv2

    if images.ndim == 3 or not images.size:
        return images.copy()
    flat = np.ascontiguousarray(images).reshape(-1, images.shape[2], 3)  # (n * height, width, 3)
    return cv2.cvtColor(cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).reshape(images.shape)


def _apply(name: str, out: np.ndarray, index: np.ndarray, strengths: np.ndarray, seeds: np.ndarray, turn: int) -> None:
    """Apply one operation to the images of `out` at `index`, in place."""
    import cv2

    if name in TABLES or name == "equalize":
        column = strengths.astype(np.float32)[:, None]
        if name == "equalize":
            tables = _equalizing(out[index], column)
        else:
            means = out[index].reshape(len(index), -1).mean(axis=1, dtype=np.float32)
            tables = TABLES[name](column, means[:, None])
        tables = np.clip(np.rint(tables), 0, 255).astype(np.uint8)
        for i, table in zip(index.tolist(), tables, strict=True):
            out[i] = cv2.LUT(out[i], table)
        return
    unit = max(out.shape[1:3]) / 48  # widths below are pixels of a 48x48 picture
    for i, s, seed in zip(index.tolist(), strengths.tolist(), seeds.tolist(), strict=True):
        if name == "blur":
            out[i] = cv2.GaussianBlur(out[i], (0, 0), unit * (0.4 + 0.8 * s))
        elif name == "sharpen":
            soft = cv2.GaussianBlur(out[i], (0, 0), unit)
            out[i] = cv2.addWeighted(out[i], 1 + 1.5 * s, soft, -1.5 * s, 0)
        elif name == "noise":
            # a draw has 53 bits: all of them seed the noise
            source = np.random.default_rng([int(seed * 2**53), turn])
            noise = source.standard_normal(out[i].shape, np.float32) * np.float32(2 + 18 * s)
            out[i] = cv2.add(out[i], noise, dtype=cv2.CV_8U)  # rounds, and keeps to 0 to 255
        else:  # saturation, from nearly none to double
            luma = cv2.cvtColor(cv2.cvtColor(out[i], cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            share = 0.1 + 1.9 * s
            out[i] = cv2.addWeighted(out[i], share, luma, 1 - share, 0)


def _step(strengths: np.ndarray) -> np.ndarray:
    """Return the width of a posterising step: 4, 8, 16 or 32 values."""
    return 2.0 ** (2 + np.floor(4 * strengths))


def _equalizing(images: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Return tables (m, 256) that flatten each image's histogram of luma, wholly at strength 1."""
    import cv2

    m, height, width = images.shape[:3]
    if images.ndim == 4:
        images = cv2.cvtColor(images.reshape(-1, width, 3), cv2.COLOR_RGB2GRAY)
    luma = images.reshape(m, height * width)
    numbered = luma + 256 * np.arange(m)[:, None]  # so that one count makes all histograms
    histograms = np.bincount(numbered.ravel(), minlength=256 * m).reshape(m, 256)
    below = np.cumsum(histograms, axis=1) - histograms / 2
    return VALUES + strengths * (255 / (height * width) * below - VALUES)
