"""Finding faces. Anything with a `detect` method serves; MTCNN is what ships.

MTCNN: Zhang et al., "Joint face detection and alignment using multi-task cascaded convolutional networks", IEEE Signal
Processing Letters 2016. The network and its weights come in the `mtcnn` package (MIT).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Face:
    """One face in a picture.

    Args:
        box: (x, y, width, height) in the picture's pixels, x to the right and y down.
        confidence: the detector's, 0 to 1.
        landmarks: (x, y) of `left_eye`, `right_eye`, `nose`, `mouth_left`, `mouth_right`; left as the viewer sees it.
    """

    box: tuple[int, int, int, int]
    confidence: float
    landmarks: Mapping[str, tuple[int, int]]


class FaceDetector(Protocol):
    """Finds all faces of several pictures."""

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each picture, (height, width, 3) uint8 RGB, the surest first."""


class MTCNNDetector:
    """MTCNN on TensorFlow, on pictures no larger than it needs.

    Args:
        min_confidence: faces less sure than this are left out.
        min_face: smallest side of a face in pixels of the picture that is searched.
        max_side: larger pictures are searched at this size; boxes come back in full resolution.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> from kerafer.data.samples import portrait
        >>> [[face]] = MTCNNDetector().detect([portrait()])
        >>> sorted(face.landmarks)
        ['left_eye', 'mouth_left', 'mouth_right', 'nose', 'right_eye']
    """

    def __init__(self, min_confidence: float = 0.9, min_face: int = 20, max_side: int = 1280) -> None:
        if not 0 <= min_confidence <= 1 or min_face < 12 or max_side < 2 * min_face:
            raise ValueError(
                "`min_confidence` must be 0 to 1, `min_face` at least 12, and `max_side` at least twice `min_face`. "
                f"Received: min_confidence={min_confidence}, min_face={min_face}, max_side={max_side}"
            )
        self.min_confidence, self.min_face, self.max_side = min_confidence, min_face, max_side
        self._network: Any = None

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each picture; see `FaceDetector`."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: np.ndarray) -> list[Face]:
        import cv2

        height, width = image.shape[:2]
        if min(height, width) < self.min_face:
            return []
        scale = min(1.0, self.max_side / max(height, width))
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if min(image.shape[:2]) < 12:  # a very long strip, made too thin by the scaling
            return []
        found = self._load().detect_faces(image, min_face_size=self.min_face)
        faces = [self._face(f, scale, (width, height)) for f in found or [] if f["confidence"] >= self.min_confidence]
        faces = [face for face in faces if min(face.box[2:]) > 0]
        return sorted(faces, key=lambda face: -face.confidence)

    def _load(self) -> Any:
        if self._network is None:
            from mtcnn import MTCNN

            self._network = MTCNN()
        return self._network

    @staticmethod
    def _face(found: dict[str, Any], scale: float, limits: tuple[int, int]) -> Face:
        x, y, w, h = (float(v) / scale for v in found["box"])
        left, top = max(0, round(x)), max(0, round(y))
        right, bottom = min(limits[0], round(x + w)), min(limits[1], round(y + h))
        points = {name: (round(px / scale), round(py / scale)) for name, (px, py) in found["keypoints"].items()}
        return Face((left, top, right - left, bottom - top), float(found["confidence"]), points)
