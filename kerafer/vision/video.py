"""Expressions in a video: faces followed from picture to picture, their probabilities smoothed over time."""

from __future__ import annotations

import csv
import itertools
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.files import replacing
from kerafer.vision.draw import annotate
from kerafer.vision.recognize import RecognizedFace, Recognizer
from kerafer.vision.tracking import FaceTracker, Smoothing

EARLY = 0.9
"""A file that ends before this share of the pictures that it promises is reported."""


@dataclass(frozen=True)
class VideoFace:
    """A face in one picture of a video.

    Args:
        track: the same number for the same face in all pictures.
        seen: the face with what the model says of this picture alone.
        probabilities: smoothed over time, (classes,).
    """

    track: int
    seen: RecognizedFace
    probabilities: np.ndarray


@dataclass(frozen=True, eq=False)
class VideoPicture:
    """One picture of a video with its faces.

    Args:
        number: counted from 0.
        seconds: when it is shown.
        image: (height, width, 3) uint8 RGB, upright.
        faces: in the order of their tracks.
    """

    number: int
    seconds: float
    image: np.ndarray
    faces: tuple[VideoFace, ...]

    def annotated(self, labels: Sequence[str]) -> np.ndarray:
        """Return the picture with boxes and smoothed expressions drawn in, (height, width, 3) uint8."""
        drawn = [(f.seen.face, dict(zip(labels, map(float, f.probabilities), strict=True))) for f in self.faces]
        return annotate(self.image, drawn) if drawn else self.image


@dataclass
class VideoReport:
    """What was found in a video.

    Args:
        source: file name or camera.
        labels: the model's classes.
        pictures: how many were read.
        seconds: when the last one is shown.
        promised: how many the file says it has, or None where it does not say.
        tracks: by number, (pictures, 1 + classes): when, and the smoothed probabilities.
    """

    source: str
    labels: tuple[str, ...]
    pictures: int = 0
    seconds: float = 0.0
    promised: int | None = None
    tracks: dict[int, list[tuple[float, np.ndarray]]] = field(default_factory=lambda: defaultdict(list))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: each track's time and its mean probabilities."""
        tracks = []
        for number, rows in sorted(self.tracks.items()):
            mean = np.mean([probabilities for _, probabilities in rows], axis=0)
            named = {label: round(float(p), 4) for label, p in zip(self.labels, mean, strict=True)}
            best = self.labels[int(mean.argmax())]
            times = {"from": round(rows[0][0], 3), "to": round(rows[-1][0], 3), "pictures": len(rows)}
            tracks.append({"track": number, **times, "label": best, "mean_probabilities": named})
        whole = {"pictures": self.pictures, "promised": self.promised, "seconds": round(self.seconds, 3)}
        return {"source": self.source, **whole, "tracks": tracks}


class VideoRecognizer:
    """Tells the expressions in videos.

    Args:
        recognizer: its detector finds the faces, its model classifies them in every picture.
        every: seconds from one detection to the next; see `FaceTracker`.
        smoothing: time constant of the probabilities in seconds; see `Smoothing`.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import portrait
        >>> from kerafer.vision import VideoRecognizer
        >>> video = VideoRecognizer(kerafer.Recognizer("ean", weights="fer2013"))
        >>> [len(picture.faces) for picture in video.follow([(0.0, portrait()), (0.04, portrait())])]
        [1, 1]
    """

    def __init__(self, recognizer: Recognizer, every: float = 0.33, smoothing: float = 0.3) -> None:
        FaceTracker(recognizer.detector, every), Smoothing(smoothing)  # refuse bad numbers before a video is opened
        self.recognizer, self.every, self.smoothing = recognizer, every, smoothing

    def follow(self, pictures: Any) -> Iterator[VideoPicture]:
        """Yield each picture of a stream with its faces.

        Args:
            pictures: yields (seconds, (height, width, 3) uint8 RGB).
        """
        tracker, labels = FaceTracker(self.recognizer.detector, self.every), self.recognizer.loaded.card.labels
        smoothings: dict[int, Smoothing] = defaultdict(lambda: Smoothing(self.smoothing))
        for number, (seconds, image) in enumerate(pictures):
            tracked = tracker.follow(image, seconds)
            rows = self.recognizer.classify([(image, one.face) for one in tracked])
            faces = []
            for one, row in zip(tracked, rows, strict=True):
                named = {label: float(p) for label, p in zip(labels, row, strict=True)}
                seen = RecognizedFace(one.face, labels[int(row.argmax())], named)
                faces.append(VideoFace(one.track, seen, smoothings[one.track].update(row, seconds)))
            yield VideoPicture(number, seconds, image, tuple(faces))

    def recognize(
        self,
        source: str | Path | int,
        *,
        out: str | Path | None = None,
        table: str | Path | None = None,
        limit: float | None = None,
        progress: bool = False,
    ) -> VideoReport:
        """Go through a video file or a camera's pictures.

        Args:
            source: a file, or a camera's number.
            out: an .mp4 file for the annotated video (codec MPEG-4, without sound); nothing half-written is left.
            table: a .csv file with a row for each face of each picture.
            limit: stop after so many seconds of video; a camera never ends by itself.
            progress: whether to show a progress bar.

        Returns:
            What was found, by track.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it holds no picture that can be read, or `out` or `table` has another suffix.
        """
        from tqdm import tqdm

        for name, path, suffix in (("out", out, ".mp4"), ("table", table, ".csv")):
            if path is not None and Path(path).suffix.lower() != suffix:
                raise ValueError(f"`{name}` must end in {suffix}. Received: {name}={str(path)!r}")
        labels = self.recognizer.loaded.card.labels
        with ExitStack() as stack:
            reader = stack.enter_context(_opened(source))
            report = VideoReport(str(source), labels, promised=reader.promised)
            pictures = _pictures(reader, source)
            write = stack.enter_context(_video_file(out, reader.rate)) if out else None
            tell = stack.enter_context(_table_file(table, labels)) if table else None
            bar = stack.enter_context(tqdm(total=reader.promised, unit="picture", disable=not progress))
            for picture in self.follow(pictures):
                if limit is not None and picture.seconds > limit:
                    report.promised = None
                    break
                report.pictures, report.seconds = picture.number + 1, picture.seconds
                for face in picture.faces:
                    report.tracks[face.track].append((picture.seconds, face.probabilities))
                if write:
                    write(picture.annotated(labels), picture.seconds)
                if tell:
                    tell(picture)
                bar.update()
        if report.promised and report.pictures < EARLY * report.promised:
            warnings.warn(
                f"{source} ended after {report.pictures} of {report.promised} pictures: it is damaged or cut off.",
                stacklevel=2,
            )
        return report


class _Reader:
    """Pictures of a video, upright, with their times."""

    def __init__(self, capture: Any, *, is_camera: bool) -> None:
        import cv2

        self.capture, self.is_camera = capture, is_camera
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.rate = rate if math.isfinite(rate) and 1 <= rate <= 240 else 25.0
        self.promised = int(count) if count > 0 and not is_camera else None

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        import cv2

        start, number, last = time.monotonic(), 0, -1.0
        while True:
            fine, image = self.capture.read()
            if not fine:
                return
            told = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            seconds = time.monotonic() - start if self.is_camera else told
            if not self.is_camera and not seconds > last:  # a file that does not tell its times
                seconds = max(number / self.rate, last + 1 / self.rate)
            yield seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            number, last = number + 1, seconds


@contextmanager
def _opened(source: str | Path | int) -> Iterator[_Reader]:
    import cv2

    is_camera = isinstance(source, int)
    if not is_camera and not Path(source).is_file():
        raise FileNotFoundError(f"There is no video {source}.")
    capture = cv2.VideoCapture(source if is_camera else str(source))
    try:
        if not capture.isOpened():
            what = f"Camera {source} cannot be opened" if is_camera else f"{source} is no video that OpenCV can read"
            raise ValueError(f"{what}. Give a video file, or the number of a camera that nothing else uses.")
        yield _Reader(capture, is_camera=is_camera)
    finally:
        capture.release()


def _pictures(reader: _Reader, source: str | Path | int) -> Iterator[tuple[float, np.ndarray]]:
    """Return a video's pictures, and refuse one without any before anything is written."""
    pictures = iter(reader)
    first = next(pictures, None)
    if first is None:
        raise ValueError(f"{source} holds no picture that can be read. It is empty, damaged, or of an unknown codec.")
    return itertools.chain([first], pictures)


@contextmanager
def _video_file(path: str | Path, rate: float) -> Iterator[Any]:
    """Yield what writes a picture at its time into a file of one rate: repeated or left out as the times demand."""
    import cv2

    with replacing(path) as temporary:
        writer, written = None, 0

        def write(image: np.ndarray, seconds: float) -> None:
            nonlocal writer, written
            if writer is None:
                size = (image.shape[1], image.shape[0])
                writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
                if not writer.isOpened():
                    raise ValueError(f"This OpenCV cannot write {path} of {size[0]} x {size[1]} pixels.")
            while written <= seconds * rate + 0.5:
                writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                written += 1

        try:
            yield write
        finally:
            if writer is not None:
                writer.release()


@contextmanager
def _table_file(path: str | Path, labels: Sequence[str]) -> Iterator[Any]:
    """Yield what writes a row for each face of a picture."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["picture", "seconds", "track", "x", "y", "width", "height", "label", *labels])

        def tell(picture: VideoPicture) -> None:
            for face in picture.faces:
                best = labels[int(face.probabilities.argmax())]
                shares = [f"{p:.4f}" for p in face.probabilities]
                row = [picture.number, f"{picture.seconds:.3f}", face.track, *face.seen.face.box, best, *shares]
                rows.writerow(row)

        yield tell
