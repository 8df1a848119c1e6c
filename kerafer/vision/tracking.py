"""Following faces through the pictures of a video: detected now and then, moved by optical flow in between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from kerafer.vision.detect import Face, FaceDetector

FLOW_SIDE = 640
"""Pictures are compared at this longest side at most."""
GRID = 7
"""A face's box is followed by so many points on each axis."""
SURE_PIXELS, SURE_SHARE = 1.0, 0.5
"""A point counts if it comes back to where it was within so many pixels; a face is lost when fewer points count."""

SOONER = 0.25
"""Share of the time between detections after which a lost face is looked for: one lost in each picture would have each
picture searched."""


@dataclass(frozen=True)
class TrackedFace:
    """A face of one picture of a video.

    Args:
        track: the same number for the same face in all pictures, counted from 1.
        face: box, confidence and landmarks; those of the last detection, moved along, where it was not detected.
        detected: whether the detector saw it in this very picture.
    """

    track: int
    face: Face
    detected: bool


class FaceTracker:
    """Follows faces through a video.

    The detector, which takes most of the time, looks at a picture every `every` seconds, and sooner when a face is
    lost, though not before a quarter of that. In between, points on each face are followed by optical flow (Lucas and
    Kanade, IJCAI 1981; OpenCV's pyramid). A detected face is the known one in whose box its middle lies, or the other
    way round. A face that the detector misses stays as long as it can be followed, up to `patience` seconds.

    Args:
        detector: finds the faces.
        every: seconds from one detection to the next; 0 detects in every picture.
        patience: seconds for which a face that is not detected is followed on, and for which one that is hidden keeps
            its number.

    Raises:
        ValueError: if a number is negative or not finite.

    Example:
        >>> from kerafer.data.samples import portrait
        >>> from kerafer.vision import BlazeFaceDetector
        >>> tracker = FaceTracker(BlazeFaceDetector())
        >>> [(face.track, face.detected) for t in (0.0, 0.04) for face in tracker.follow(portrait(), t)]
        [(1, True), (1, False)]
    """

    def __init__(self, detector: FaceDetector, every: float = 0.33, patience: float = 1.0) -> None:
        if not (0 <= every < math.inf and 0 <= patience < math.inf):
            raise ValueError(
                f"`every` and `patience` must be 0 or more seconds. Received: every={every}, patience={patience}"
            )
        self.detector, self.every, self.patience = detector, every, patience
        self._faces: dict[int, Face] = {}
        # by number: when the detector first missed a face that is followed; a face that is hidden, and since when
        self._missed: dict[int, float] = {}
        self._hidden: dict[int, tuple[Face, float]] = {}
        self._next, self._due, self._last = 1, -math.inf, -math.inf
        self._before: np.ndarray | None = None

    def follow(self, image: np.ndarray, seconds: float) -> list[TrackedFace]:
        """Return the faces of the video's next picture, in the order of their numbers.

        Args:
            image: (height, width, 3) uint8 RGB, always of one size.
            seconds: when it was taken, on a clock that does not go back.
        """
        gray, scale = _small_gray(image)
        given_up = {track for track, since in self._missed.items() if seconds - since > self.patience}
        before = {track: face for track, face in self._faces.items() if track not in given_up}
        moved = {}
        if self._before is not None and self._before.shape == gray.shape:
            moved = {track: _moved(self._before, gray, face, scale) for track, face in before.items()}
        self._before = gray
        lost = {track: (face, seconds) for track, face in before.items() if moved.get(track) is None}
        self._hidden = {
            track: (face, since)
            for track, (face, since) in {**self._hidden, **lost}.items()
            if seconds - since <= self.patience
        }
        self._faces = {track: face for track, face in moved.items() if face is not None}
        if lost:
            self._due = min(self._due, self._last + SOONER * self.every)
        seen: set[int] = set()
        if seconds >= self._due:
            seen = self._detect(image, seconds)
            self._last, self._due = seconds, seconds + self.every
        self._missed = {track: since for track, since in self._missed.items() if track in self._faces}
        return [TrackedFace(track, face, track in seen) for track, face in sorted(self._faces.items())]

    def _detect(self, image: np.ndarray, seconds: float) -> set[int]:
        """Look for faces, give each the number of the known face that it is or a new one, and return their numbers."""
        known = {**{track: face for track, (face, _) in self._hidden.items()}, **self._faces}
        [detected] = self.detector.detect([image])
        found: dict[int, Face] = {}
        for face in detected:
            near = {track: _distance(face, other) for track, other in known.items() if _same(face, other)}
            track = min(near, key=near.get) if near else self._next
            self._next += track == self._next
            known.pop(track, None)
            found[track] = face
        missed = {track: face for track, face in self._faces.items() if track in known}
        covered = {track for track, face in missed.items() if any(_same(face, other) for other in found.values())}
        self._hidden = {track: entry for track, entry in self._hidden.items() if track in known}
        self._hidden.update({track: (missed[track], seconds) for track in covered})
        self._faces = {**{track: face for track, face in missed.items() if track not in covered}, **found}
        self._missed = {track: self._missed.get(track, seconds) for track in self._faces if track not in found}
        return set(found)


class Smoothing:
    """Probabilities of one face over time, smoothed exponentially, so that they do not flicker.

    p = s p_before + (1 - s) p_seen, with s = exp(-passed / seconds); as `Smoothing` of the Android library.

    Args:
        seconds: time constant: after so long, what was seen before counts 1/e; 0 smooths nothing.
        forget: after so many seconds without the face, it starts anew.

    Raises:
        ValueError: if `seconds` is negative, `forget` is not positive, or either is not finite.

    Example:
        >>> smoothing = Smoothing(seconds=1.0)
        >>> [round(float(smoothing.update(np.array([p, 1 - p]), t)[0]), 3) for p, t in ((1.0, 0.0), (0.0, 1.0))]
        [1.0, 0.368]
    """

    def __init__(self, seconds: float = 0.3, forget: float = 1.0) -> None:
        if not (0 <= seconds < math.inf and 0 < forget < math.inf):
            raise ValueError(
                f"`seconds` must be 0 or more, `forget` above 0. Received: seconds={seconds}, forget={forget}"
            )
        self.seconds, self.forget = seconds, forget
        self._kept: np.ndarray | None = None
        self._last = 0.0

    def update(self, seen: np.ndarray, seconds: float) -> np.ndarray:
        """Take in what was seen at a time, and return the smoothed probabilities, (classes,)."""
        passed, self._last = seconds - self._last, seconds
        if self._kept is None or not 0 <= passed <= self.forget or self.seconds == 0:
            self._kept = np.array(seen, np.float32)
        else:
            share = math.exp(-passed / self.seconds)
            self._kept = share * self._kept + (1 - share) * np.asarray(seen, np.float32)
        return self._kept


def _small_gray(image: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a picture's brightness at the size that is compared, and that size in units of the picture's."""
    import cv2

    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, FLOW_SIDE / max(gray.shape))
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return gray, scale


def _moved(before: np.ndarray, now: np.ndarray, face: Face, scale: float) -> Face | None:
    """Return where a face has moved to, or None where too few of its points can be followed."""
    import cv2

    x, y, w, h = (v * scale for v in face.box)
    inner = (np.arange(GRID) + 1) / (GRID + 1)
    grid = np.stack(np.meshgrid(x + w * inner, y + h * inner), axis=-1).reshape(-1, 1, 2).astype(np.float32)
    there, seen, _ = cv2.calcOpticalFlowPyrLK(before, now, grid, None)
    back, seen_back, _ = cv2.calcOpticalFlowPyrLK(now, before, there, None)
    # (points,): those that were followed there and back again
    sure = (np.abs(back - grid).max(axis=(1, 2)) < SURE_PIXELS) & (seen[:, 0] == 1) & (seen_back[:, 0] == 1)
    if sure.mean() < SURE_SHARE:
        return None
    start, end = grid[sure, 0], there[sure, 0]
    growth = _spread(end) / max(_spread(start), 1e-6)
    middle = np.array([x + w / 2, y + h / 2])
    shift = np.median(end - (start - middle) * growth - middle, axis=0)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        px, py = ((np.array(point) * scale - middle) * growth + middle + shift) / scale
        return float(px), float(py)

    (left, top), (right, bottom) = place(face.box[:2]), place((face.box[0] + face.box[2], face.box[1] + face.box[3]))
    height, width = (round(v / scale) for v in now.shape)
    box = (max(0, round(left)), max(0, round(top)), min(width, round(right)), min(height, round(bottom)))
    if box[2] - box[0] < face.box[2] / 2 or box[3] - box[1] < face.box[3] / 2:  # it has left the picture
        return None
    landmarks: Mapping[str, tuple[int, int]] = {
        name: tuple(round(v) for v in place(point)) for name, point in face.landmarks.items()
    }
    return replace(face, box=(box[0], box[1], box[2] - box[0], box[3] - box[1]), landmarks=landmarks)


def _spread(points: np.ndarray) -> float:
    """Return how far points lie from their median, in the median."""
    return float(np.median(np.abs(points - np.median(points, axis=0))))


def _middle(face: Face) -> tuple[float, float]:
    x, y, w, h = face.box
    return x + w / 2, y + h / 2


def _same(face: Face, other: Face) -> bool:
    """Whether the middle of one of two faces lies in the other's box."""
    (x, y), (u, v) = _middle(face), _middle(other)
    return any(abs(x - u) < one.box[2] / 2 and abs(y - v) < one.box[3] / 2 for one in (face, other))


def _distance(face: Face, other: Face) -> float:
    (x, y), (u, v) = _middle(face), _middle(other)
    return abs(x - u) + abs(y - v)
