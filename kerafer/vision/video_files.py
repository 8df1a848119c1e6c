"""Videos read picture by picture, upright and with their times; the annotated video and the table that come of them."""

from __future__ import annotations

import csv
import itertools
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.files import replacing

if TYPE_CHECKING:
    from kerafer.vision.video import VideoPicture

LONGEST = 10.0
"""Seconds for which the annotated video repeats a picture at most: a file's times may jump by hours."""


class VideoReader:
    """Pictures of a video, upright, with their times in seconds; what `opened` gives."""

    def __init__(self, capture: Any, *, is_camera: bool) -> None:
        import cv2

        self.capture, self.is_camera = capture, is_camera
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.rate = rate if math.isfinite(rate) and 1 <= rate <= 240 else 25.0
        self.promised = int(count) if 0 < count < 2**31 and not is_camera else None

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        import cv2

        start, number, last = time.monotonic(), 0, -1.0
        while True:
            fine, image = self.capture.read()
            if not fine:
                return
            told = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            seconds = time.monotonic() - start if self.is_camera else told
            if not (self.is_camera or last < seconds < math.inf):  # a file that does not tell its times
                seconds = max(number / self.rate, last + 1 / self.rate)
            yield seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            number, last = number + 1, seconds


@contextmanager
def opened(source: str | Path | int) -> Iterator[VideoReader]:
    """Open a video file, or a camera by its number.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if OpenCV cannot open it.
    """
    import cv2

    is_camera = isinstance(source, int)
    if not is_camera and not Path(source).is_file():
        raise FileNotFoundError(f"There is no video {source}.")
    capture = cv2.VideoCapture(source if is_camera else str(source))
    try:
        if not capture.isOpened():
            what = f"Camera {source} cannot be opened" if is_camera else f"{source} is no video that OpenCV can read"
            raise ValueError(f"{what}. Give a video file, or the number of a camera that nothing else uses.")
        yield VideoReader(capture, is_camera=is_camera)
    finally:
        capture.release()


def pictures_of(reader: VideoReader, source: str | Path | int) -> Iterator[tuple[float, np.ndarray]]:
    """Return a video's pictures, and refuse one without any before anything is written."""
    pictures = iter(reader)
    first = next(pictures, None)
    if first is None:
        raise ValueError(f"{source} holds no picture that can be read. It is empty, damaged, or of an unknown codec.")
    return itertools.chain([first], pictures)


@contextmanager
def video_file(path: str | Path, rate: float) -> Iterator[Callable[[np.ndarray, float], None]]:
    """Yield what writes a picture at its time into a file of one rate: repeated or left out as the times demand.

    Where times jump by more than `LONGEST`, the rest of the jump is left out.

    Raises:
        OSError: if the file does not hold all pictures in the end, as on a full disk.
        ValueError: if OpenCV cannot write such a file.
    """
    import cv2

    with replacing(path) as temporary:
        writer, written, last, skipped = None, 0, 0.0, 0.0

        def write(image: np.ndarray, seconds: float) -> None:
            nonlocal writer, written, last, skipped
            if writer is None:
                size = (image.shape[1], image.shape[0])
                writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
                if not writer.isOpened():
                    raise ValueError(f"This OpenCV cannot write {path} of {size[0]} x {size[1]} pixels.")
            skipped += max(0.0, seconds - last - LONGEST)
            last = seconds
            while written <= (seconds - skipped) * rate + 0.5:
                writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                written += 1

        try:
            yield write
        finally:
            if writer is not None:
                writer.release()
        found = _count(temporary)
        if found < max(1, written):  # the writer itself reports nothing
            free = shutil.disk_usage(temporary.parent).free
            raise OSError(
                f"{path} could not be written whole: it holds {found} of {written} pictures. Is the disk full? "
                f"{free / 1e6:.1f} MB are free."
            )


def _count(path: Path) -> int:
    """Return how many pictures a file says it has; 0 for one that cannot be opened, as when its end is missing."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()


@contextmanager
def table_file(path: str | Path, labels: Sequence[str]) -> Iterator[Callable[[VideoPicture], None]]:
    """Yield what writes a row for each face of a picture."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["picture", "seconds", "track", "x", "y", "width", "height", "label", *labels])

        def tell(picture: VideoPicture) -> None:
            made = []
            for face in picture.faces:
                best = labels[int(face.probabilities.argmax())]
                shares = [f"{p:.4f}" for p in face.probabilities]
                made.append([picture.number, f"{picture.seconds:.3f}", face.track, *face.seen.face.box, best, *shares])
            rows.writerows(made)

        yield tell
