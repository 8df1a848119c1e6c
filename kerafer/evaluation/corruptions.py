"""Pictures made worse by a measured amount: what a face recognizer meets outside of a data set.

A corruption works on pictures at the contract's `resize` size, before the centre crop, so that every model sees the
same one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Apply = Callable[[np.ndarray, float, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """One way to make pictures worse, at several severities.

    Args:
        name: a key of `CORRUPTIONS`.
        unit: what a severity means, for people.
        severities: ascending, the neutral one among them.
        neutral: the severity that changes nothing.
        lowest: smallest severity allowed.
        highest: largest severity allowed.
        apply: from (n, height, width[, 3]) uint8, a severity and (n, 2) float64 places in [0, 1) to pictures of the
            same shape and type.
    """

    name: str
    unit: str
    severities: tuple[float, ...]
    neutral: float
    lowest: float
    highest: float
    apply: Apply

    def __call__(self, images: np.ndarray, severity: float, places: np.ndarray) -> np.ndarray:
        """Return corrupted pictures; at the neutral severity the very same ones.

        Args:
            images: (n, height, width) gray or (n, height, width, 3) RGB, uint8.
            severity: in `unit`.
            places: (n, 2) in [0, 1): where in each picture, down and to the right.

        Returns:
            The same shape, uint8.

        Example:
            >>> gray = np.full((1, 4, 4), 100, np.uint8)
            >>> CORRUPTIONS["light"](gray, 1.5, np.zeros((1, 2)))[0, 0, 0]
            np.uint8(150)
        """
        return images if severity == self.neutral else self.apply(images, severity, places)

    def check(self, severities: Sequence[float]) -> tuple[float, ...]:
        """Return severities in ascending order, the neutral one added.

        Raises:
            ValueError: if there is none, or one is out of range.
        """
        values = sorted({float(v) for v in severities} | {float(self.neutral)})
        if not len(severities) or not all(self.lowest <= v <= self.highest for v in values):
            raise ValueError(
                f"`severities` of {self.name} must be numbers from {self.lowest:g} to {self.highest:g} ({self.unit}). "
                f"Received: {list(severities)}"
            )
        return tuple(values)


def occlude(images: np.ndarray, severity: float, places: np.ndarray) -> np.ndarray:
    """Cover a patch whose sides are `severity` of the picture's with the picture's mean gray."""
    height, width = images.shape[1:3]
    h, w = round(severity * height), round(severity * width)
    tops = (places[:, 0] * (height - h + 1)).astype(int)
    lefts = (places[:, 1] * (width - w + 1)).astype(int)
    out = images.copy()
    means = np.rint(images.reshape(len(images), -1).mean(axis=1)).astype(np.uint8)
    for picture, top, left, mean in zip(out, tops, lefts, means, strict=True):
        picture[top : top + h, left : left + w] = mean
    return out


def rotate(images: np.ndarray, severity: float, places: np.ndarray) -> np.ndarray:
    """Turn pictures about their centre, anticlockwise, in degrees; what comes in from outside repeats the edge."""
    import cv2

    height, width = images.shape[1:3]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), severity, 1.0)
    settings = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    return np.stack([cv2.warpAffine(image, matrix, (width, height), **settings) for image in images])


def blur(images: np.ndarray, severity: float, places: np.ndarray) -> np.ndarray:
    """Blur with a Gaussian whose sigma is `severity` of the picture's sides."""
    import cv2

    sigmas = {"sigmaX": severity * images.shape[2], "sigmaY": severity * images.shape[1]}
    return np.stack([cv2.GaussianBlur(image, (0, 0), **sigmas, borderType=cv2.BORDER_REPLICATE) for image in images])


def lighten(images: np.ndarray, severity: float, places: np.ndarray) -> np.ndarray:
    """Multiply values by `severity`, and cut off what exceeds 255."""
    return _table(np.arange(256) * severity)[images]


def bend(images: np.ndarray, severity: float, places: np.ndarray) -> np.ndarray:
    """Raise values in [0, 1] to the power `severity`: below 1 the dark parts become lighter, above 1 darker."""
    return _table(255 * (np.arange(256) / 255) ** severity)[images]


def _table(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption(
            "occlusion",
            "side of the covered square / side of the picture",
            (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
            0.0,
            0.0,
            1.0,
            occlude,
        ),
        Corruption(
            "rotation",
            "degrees, anticlockwise",
            (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0),
            0.0,
            -180.0,
            180.0,
            rotate,
        ),
        Corruption("blur", "sigma / side of the picture", (0.0, 0.01, 0.02, 0.03, 0.04, 0.06), 0.0, 0.0, 1.0, blur),
        Corruption("light", "brightness gain", (0.25, 0.5, 0.75, 1.0, 1.5, 2.0), 1.0, 0.0, 16.0, lighten),
        Corruption("gamma", "gamma", (0.4, 0.6, 0.8, 1.0, 1.5, 2.5), 1.0, 0.05, 20.0, bend),
    )
}
"""The corruptions by name. Light comes in two forms: `light` multiplies, `gamma` bends."""


def check_corruptions(names: Sequence[str]) -> None:
    """Refuse unknown names, and none."""
    if isinstance(names, str) or not names or any(name not in CORRUPTIONS for name in names):
        raise ValueError(f"`corruptions` must be among {', '.join(CORRUPTIONS)}. Received: corruptions={names!r}")
