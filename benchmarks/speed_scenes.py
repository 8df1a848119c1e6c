"""Pictures and a video for `speed.py`, of 640x480, made of matplotlib's sample portrait: no data is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from kerafer.data.samples import portrait

WIDTH, HEIGHT, RATE = 640, 480, 30
PLACES = {
    1: ((180, 20, 0.7),),
    4: ((0, 0, 0.5), (250, 10, 0.35), (430, 0, 0.4), (300, 225, 0.42)),
}
"""By number of faces: left, top and scale of each portrait of 512x600."""


def scene(faces: int, shift: int = 0) -> np.ndarray:
    """Return a picture (480, 640, 3), uint8 BGR, with portraits moved to the right by `shift` pixels."""
    pattern = np.random.default_rng(0).integers(60, 160, (24, 32, 3)).astype(np.uint8)
    picture = cv2.resize(pattern, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    person = portrait()[:, :, ::-1]
    for number, (left, top, scale) in enumerate(PLACES[faces]):
        small = cv2.resize(person, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = small[:, ::-1] if number % 2 else small
        x = left + (shift if number % 2 == 0 else -shift)
        part = small[: HEIGHT - top, max(0, -x) : WIDTH - x]
        picture[top : top + part.shape[0], max(0, x) : max(0, x) + part.shape[1]] = part
    return picture


def write_scenes(folder: Path, photos: Sequence[Path] = ()) -> dict[str, Path]:
    """Write the pictures, and given photos at 640x480, and return their paths by name."""
    written = {}
    for faces in PLACES:
        written[f"{faces} face{'s'[: faces > 1]}"] = path = folder / f"{faces}.png"
        cv2.imwrite(str(path), scene(faces))
    for photo in photos:
        picture = cv2.imread(str(photo))
        if picture is None:
            raise ValueError(f"`--photo` must be a picture. Received: {photo}")
        scale = min(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        below, right = HEIGHT - small.shape[0], WIDTH - small.shape[1]
        written[photo.name] = path = folder / f"{photo.stem}.640.png"
        cv2.imwrite(str(path), cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_REPLICATE))
    return written


def write_video(path: Path, faces: int, seconds: float) -> int:
    """Write a video of moving portraits, and return its number of pictures."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
    pictures = list(_moving(faces, round(seconds * RATE)))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return len(pictures)


def _moving(faces: int, count: int) -> Iterator[np.ndarray]:
    for number in range(count):
        yield scene(faces, shift=number // 2)
