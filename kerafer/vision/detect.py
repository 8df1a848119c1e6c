"""Finding faces. Anything with a `detect` method serves; MTCNN is the reference, BlazeFace the fast one.

MTCNN: Zhang et al., "Joint face detection and alignment using multi-task cascaded convolutional networks", IEEE Signal
Processing Letters 2016. The network and its weights come in the `mtcnn` package (MIT).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

BATCH_PIXELS = 2_000_000
"""Pictures searched together have at most so many pixels in all: a larger batch takes gigabytes of memory.

Measured with mtcnn 1.0.0 on two CPU cores, one by one and 12 together: 80 and 19 ms a picture at 224x224, 89 and 29 ms
at 400x300, 136 and 93 ms at 512x600. Of 665 faces in 440 pictures, found one by one and 16 together, none was lost or
added and 635 were equal to the pixel; 9 moved by 1 pixel and 21 by 2 to 6, where several candidates are equally sure
and a difference in the last bit decides between them.
"""


SEARCHED_FACE = 20
"""Side of the smallest face that MTCNN is asked for; larger ones are searched for in a smaller picture.

Its pyramid ends two levels early, where the picture's smaller side is 241 to 340 pixels over that side: asked for faces
of 30 pixels or more, the last level would be smaller than the 12 pixels that the first network takes.
"""


@dataclass(frozen=True)
class Face:
    """One face in a picture.

    Args:
        box: (x, y, width, height) in the picture's pixels, x to the right and y down.
        confidence: the detector's, 0 to 1.
        landmarks: (x, y) by name, left as the viewer sees it: `left_eye`, `right_eye`, `nose`, and `mouth_left` and
            `mouth_right` (MTCNN) or `mouth` (BlazeFace).
    """

    box: tuple[int, int, int, int]
    confidence: float
    landmarks: Mapping[str, tuple[int, int]]


class FaceDetector(Protocol):
    """Finds all faces of several pictures."""

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each picture, (height, width, 3) uint8 RGB, the surest first."""


class MTCNNDetector:
    """MTCNN, on pictures no larger than it needs.

    Args:
        min_confidence: faces less sure than this are left out.
        min_face: smallest side of a face that is searched for, in pixels; of a picture above `max_side`, in those of
            the reduced one. With twice the side, a quarter of the pixels are searched.
        max_side: larger pictures are searched at this size; boxes come back in full resolution.
        batch: search up to so many pictures of one size together. Then a face's box can depend a little on the
            pictures beside it, as said at `BATCH_PIXELS`; with 1 it never does. Only TensorFlow takes several.
        runtime: `"tensorflow"`, the `mtcnn` package as it is, or `"litert"`, the same networks in less time.
        threads: CPU threads of LiteRT.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> from kerafer.data.samples import portrait
        >>> [[face]] = MTCNNDetector().detect([portrait()])
        >>> sorted(face.landmarks)
        ['left_eye', 'mouth_left', 'mouth_right', 'nose', 'right_eye']
    """

    def __init__(
        self,
        min_confidence: float = 0.9,
        min_face: int = 20,
        max_side: int = 1280,
        batch: int = 1,
        *,
        runtime: str = "tensorflow",
        threads: int = 1,
    ) -> None:
        if runtime not in ("tensorflow", "litert") or threads < 1:
            raise ValueError(
                "`runtime` must be 'tensorflow' or 'litert', and `threads` at least 1. Received: "
                f"runtime={runtime!r}, threads={threads}"
            )
        if not 0 <= min_confidence <= 1 or min_face < 12 or max_side < 2 * min_face or batch < 1:
            raise ValueError(
                "`min_confidence` must be 0 to 1, `min_face` at least 12, `max_side` at least twice `min_face`, and "
                f"`batch` at least 1. Received: min_confidence={min_confidence}, min_face={min_face}, "
                f"max_side={max_side}, batch={batch}"
            )
        self.min_confidence, self.min_face, self.max_side, self.batch = min_confidence, min_face, max_side, batch
        self.runtime, self.threads = runtime, threads
        self._network: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network out, so that a detector can be sent to another process, which loads its own."""
        return {**self.__dict__, "_network": None}

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each picture; see `FaceDetector`."""
        found: list[list[Face]] = [[] for _ in images]
        searched: dict[tuple[int, ...], list[tuple[int, float, np.ndarray]]] = {}
        for number, image in enumerate(images):
            small, scale = self._scaled(image)
            if small is not None:
                searched.setdefault(small.shape, []).append((number, scale, small))
        for (height, width, *_), pictures in searched.items():
            together = max(1, min(self.batch, BATCH_PIXELS // (height * width)))
            for first in range(0, len(pictures), together):
                part = pictures[first : first + together]
                raw = self._search([small for _, _, small in part])
                for (number, scale, _), faces in zip(part, raw, strict=True):
                    found[number] = self._faces(faces, scale, images[number].shape[:2])
        return found

    def _scaled(self, image: np.ndarray) -> tuple[np.ndarray | None, float]:
        """Return the picture at the size that is searched, None where it can hold no face, and its scale."""
        import cv2

        height, width = image.shape[:2]
        if min(height, width) < self.min_face:
            return None, 1.0
        scale = min(1.0, self.max_side / max(height, width)) * min(1.0, SEARCHED_FACE / self.min_face)
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        # a very long strip is made too thin by the scaling
        return (image if min(image.shape[:2]) >= 12 else None), scale

    def _search(self, images: list[np.ndarray]) -> list[list[dict[str, Any]]]:
        """Return what MTCNN finds in pictures of one size."""
        network, side = self._load(), min(self.min_face, SEARCHED_FACE)
        if len(images) == 1 or self.runtime == "litert":
            return [network.detect_faces(image, min_face_size=side) or [] for image in images]
        return network.detect_faces(images, min_face_size=side)

    def _faces(self, raw: list[dict[str, Any]], scale: float, shape: tuple[int, int]) -> list[Face]:
        height, width = shape
        faces = [
            face_within(
                (width, height),
                [v / scale for v in f["box"]],
                float(f["confidence"]),
                {name: (px / scale, py / scale) for name, (px, py) in f["keypoints"].items()},
            )
            for f in raw
            if f["confidence"] >= self.min_confidence
        ]
        faces = [face for face in faces if min(face.box[2:]) > 0]
        return sorted(faces, key=lambda face: -face.confidence)

    def _load(self) -> Any:
        if self._network is None and self.runtime == "litert":
            from kerafer.vision.mtcnn_litert import LiteRTMTCNN

            self._network = LiteRTMTCNN(self.threads)
        elif self._network is None:
            self._network = package_mtcnn()
        return self._network


def package_mtcnn() -> Any:
    """Return the `mtcnn` package's detector, without what Python 3.13 says about how its weights are read.

    The lz4 file that joblib reads is closed after the file under it, of which nothing can come: it was only read.
    """
    from mtcnn import MTCNN

    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if not (isinstance(unraisable.exc_value, ValueError) and "closed file" in str(unraisable.exc_value)):
            before(unraisable)

    sys.unraisablehook = hook
    try:
        return MTCNN()
    finally:
        sys.unraisablehook = before


def face_within(
    limits: tuple[int, int], box: Sequence[float], confidence: float, landmarks: Mapping[str, Sequence[float]]
) -> Face:
    """Return a face in whole pixels, its box cut at the picture's edges.

    Args:
        limits: (width, height) of the picture.
        box: (x, y, width, height), not whole yet.
        confidence: the detector's, 0 to 1.
        landmarks: (x, y) by name.
    """
    x, y, w, h = (float(v) for v in box)
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(limits[0], round(x + w)), min(limits[1], round(y + h))
    points = {name: (round(float(px)), round(float(py))) for name, (px, py) in landmarks.items()}
    return Face((left, top, right - left, bottom - top), confidence, points)
