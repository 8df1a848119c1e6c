"""Expressions in a video: faces followed from picture to picture, their probabilities smoothed over time."""

from __future__ import annotations

import math
import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.vision.draw import annotate
from kerafer.vision.recognize import RecognizedFace, Recognizer
from kerafer.vision.tracking import FaceTracker, Smoothing
from kerafer.vision.video_files import opened, pictures_of, table_file, video_file

EARLY = 0.9
"""A file that ends before this share of the pictures that it promises is reported."""


@dataclass(frozen=True)
class VideoFace:
    """A face in one picture of a video.

    Args:
        track: the same number for the same face in all pictures, counted from 1.
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
        """Return the picture with boxes, numbers and smoothed expressions drawn in, (height, width, 3) uint8."""
        drawn = [(f.seen.face, dict(zip(labels, map(float, f.probabilities), strict=True))) for f in self.faces]
        return annotate(self.image, drawn, [str(f.track) for f in self.faces]) if drawn else self.image


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

    def add(self, picture: VideoPicture) -> None:
        """Take in the next picture."""
        self.pictures, self.seconds = picture.number + 1, picture.seconds
        for face in picture.faces:
            self.tracks[face.track].append((picture.seconds, face.probabilities))

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

        A camera never ends by itself: an interruption (`KeyboardInterrupt`, Ctrl-C) ends it, and what was seen until
        then is kept. Of a video file that is interrupted nothing is kept.

        Args:
            source: a file, or a camera's number.
            out: an .mp4 file for the annotated video (codec MPEG-4, without sound); nothing half-written is left.
            table: a .csv file with a row for each face of each picture.
            limit: stop after so many seconds of video.
            progress: whether to show a progress bar.

        Returns:
            What was found, by track.

        Raises:
            FileNotFoundError: if there is no such file.
            OSError: if a file cannot be written whole.
            ValueError: if it holds no picture that can be read, `out` or `table` has another suffix, `out` is the
                source, or `limit` is not above 0.
        """
        from tqdm import tqdm

        _check_target("out", out, ".mp4", source)
        _check_target("table", table, ".csv", source)
        if limit is not None and not 0 < limit < math.inf:
            raise ValueError(f"`limit` must be a number of seconds above 0. Received: limit={limit}")
        labels = self.recognizer.loaded.card.labels
        with ExitStack() as stack:
            reader = stack.enter_context(opened(source))
            report = VideoReport(str(source), labels, promised=reader.promised)
            pictures = pictures_of(reader, source)
            write = stack.enter_context(video_file(out, reader.rate)) if out else None
            tell = stack.enter_context(table_file(table, labels)) if table else None
            bar = stack.enter_context(tqdm(total=reader.promised, unit="picture", disable=not progress))
            try:
                for picture in self.follow(pictures):
                    if limit is not None and picture.seconds > limit:
                        report.promised = None
                        break
                    report.add(picture)
                    if write:
                        write(picture.annotated(labels), picture.seconds)
                    if tell:
                        tell(picture)
                    bar.update()
            except KeyboardInterrupt:
                if not (reader.is_camera and report.pictures):
                    raise
            if not report.pictures:
                raise ValueError(f"`limit` must reach the first picture of {source}. Received: limit={limit}")
        if report.promised and report.pictures < EARLY * report.promised:
            warnings.warn(
                f"{source} ended after {report.pictures} of {report.promised} pictures: it is damaged or cut off.",
                stacklevel=2,
            )
        return report


def _check_target(name: str, path: str | Path | None, suffix: str, source: str | Path | int) -> None:
    """Refuse a file to write that has another suffix, or that is the source."""
    if path is None:
        return
    if Path(path).suffix.lower() != suffix:
        raise ValueError(f"`{name}` must end in {suffix}. Received: {name}={str(path)!r}")
    if not isinstance(source, int) and Path(path).exists() and os.path.samefile(path, source):
        raise ValueError(f"`{name}` must be another file than the source. Received: {str(path)!r} for both")
