"""Small data made on the spot, for tests, examples and the demo: no data set ships with kerafer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerafer.data.dataset import FaceDataset, LoadReport
from kerafer.data.fer2013 import SIDE
from kerafer.files import replacing
from kerafer.labels import LABELS_7
from kerafer.preprocess import Preprocessing


def synthetic_faces(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn "faces" whose mouth and brows depend on the class: (n, 48, 48) uint8 and (n,) labels.

    They train a network to far above chance in seconds, and mean nothing about people.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(LABELS_7)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for i, label in enumerate(labels):
        dx, dy = rng.uniform(-2, 2, 2)
        picture = 150.0 - 1.5 * np.hypot(x - 24 - dx, y - 24 - dy)
        mouth = 35 + dy + (label - 3) * 0.03 * ((x - 24 - dx) ** 2 - 30)
        picture -= 90 * np.exp(-((y - mouth) ** 2) / 4) * (abs(x - 24 - dx) < 10)
        brow = 14 + dy - label
        picture -= 70 * np.exp(-((y - brow) ** 2) / 3) * (abs(abs(x - 24 - dx) - 9) < 5)
        images[i] = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255)
    return images, labels.astype(np.int64)


def synthetic(count: int, seed: int = 0, split: str = "train") -> FaceDataset:
    """Return `synthetic_faces` as a data set.

    Example:
        >>> synthetic(14).counts()["happy"]
        2
    """
    images, labels = synthetic_faces(count, seed)
    return FaceDataset(
        name="synthetic",
        split=split,
        images=images,
        labels=labels,
        class_names=LABELS_7,
        rows=np.arange(count),
        leaked=np.zeros(count, bool),
        report=LoadReport(rows=count),
    )


def write_synthetic_csv(path: str | Path, train: int = 70, public: int = 35, private: int = 0) -> Path:
    """Write `synthetic_faces` in the layout of the official fer2013.csv, and return the path."""
    parts = (("Training", train, 0), ("PublicTest", public, 1), ("PrivateTest", private, 2))
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.write("emotion,pixels,Usage\n")
        for usage, count, seed in parts:
            for image, label in zip(*synthetic_faces(count, seed), strict=True):
                file.write(f"{label},{' '.join(map(str, image.ravel()))},{usage}\n")
    return Path(path)


def portrait() -> np.ndarray:
    """Return matplotlib's sample portrait of Grace Hopper (public domain, US Navy): (600, 512, 3) uint8 RGB."""
    from matplotlib import cbook

    from kerafer.images import read_image

    return read_image(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


# The face that MTCNN finds in the portrait; tests/test_samples.py holds it against the detector.
PORTRAIT_FACE = (178, 110, 173, 220)


def portrait_faces(preprocessing: Preprocessing, count: int, seed: int = 0) -> np.ndarray:
    """Return varied crops of the face in `portrait`: moved, scaled, mirrored, brighter and darker.

    Args:
        preprocessing: the model's contract, which cuts and resizes.
        count: how many.
        seed: decides the variations; the first crop is always the plain one.

    Returns:
        (count, height, width, 3) uint8 at the model's size.
    """
    image = portrait()
    rng = np.random.default_rng(seed)
    x, y, w, h = PORTRAIT_FACE
    crops = []
    for i in range(count):
        vary = float(i > 0)
        scale = 1 + vary * rng.uniform(-0.15, 0.2)
        dx, dy = vary * rng.uniform(-0.08, 0.08, 2)
        box = (x + w * (dx + (1 - scale) / 2), y + h * (dy + (1 - scale) / 2), w * scale, h * scale)
        pixels = preprocessing.pixels(preprocessing.crop_face(image, box))
        gain, offset, gamma = (
            1 + vary * rng.uniform(-0.5, 0.3),
            vary * rng.uniform(-30, 40),
            1 + vary * rng.uniform(-0.4, 0.6),
        )
        pixels = 255 * (np.clip(pixels * gain + offset, 0, 255) / 255) ** gamma
        if vary and rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        crops.append(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))
    return np.stack(crops)
