"""BlazeFace: the detector of phones and browsers.

Bazarevsky et al., "BlazeFace: Sub-millisecond neural face detection on mobile GPUs", arXiv:1907.05047, 2019. Both
networks are MediaPipe's (Apache-2.0), for faces within 2 and within 5 metres; they lie in `blazeface_models`, beside
the `detector.json` that this module, the Android library and the web page read. Its boxes frame a face otherwise than
MTCNN's, by which the models' framing is defined: `box_scale` and `box_shift` turn one into the other
(results/face_framing.json).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.files import read_json, sha256
from kerafer.preprocess import Preprocessing, resized
from kerafer.runtime import LiteRTGraph
from kerafer.vision.detect import Face, face_within

FOLDER = Path(__file__).with_name("blazeface_models")
CARD_FILE = "detector.json"
FORMAT = 1
POINTS = 6
"""Eyes, nose, mouth and ears; the ears are not given on."""


@dataclass(frozen=True)
class Candidates:
    """What a network finds in a picture, in its pixels: boxes (n, 4) by middle and sides, points (n, 6, 2)."""

    boxes: np.ndarray
    points: np.ndarray
    scores: np.ndarray


class BlazeFaceDetector:
    """MediaPipe's two BlazeFace networks on LiteRT: the one for faces far and near, then the one for near faces.

    Args:
        min_confidence: faces less sure than this are left out; None is what `detector.json` says, 0.5.
        threads: CPU threads.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> from kerafer.data.samples import portrait
        >>> [[face]] = BlazeFaceDetector().detect([portrait()])
        >>> sorted(face.landmarks)
        ['left_eye', 'mouth', 'nose', 'right_eye']
    """

    def __init__(self, min_confidence: float | None = None, threads: int = 1) -> None:
        min_confidence = read_card()["min_confidence"] if min_confidence is None else min_confidence
        if not 0 < min_confidence <= 1 or threads < 1:
            raise ValueError(
                "`min_confidence` must be above 0 and at most 1, and `threads` at least 1. Received: "
                f"min_confidence={min_confidence}, threads={threads}"
            )
        self.min_confidence, self.threads = min_confidence, threads
        self._networks: list[Network] = []

    def __getstate__(self) -> dict[str, Any]:
        """Leave the networks out, so that a detector can be sent to another process, which loads its own."""
        return {**self.__dict__, "_networks": []}

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each picture; see `FaceDetector`."""
        if not self._networks:
            self._networks = [Network(entry, self.threads) for entry in read_card()["networks"]]
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> list[Face]:
        """Return what the networks find; of a face that several find, what the first says."""
        card = read_card()
        kept = Candidates(np.zeros((0, 4)), np.zeros((0, POINTS, 2)), np.zeros(0))
        for network in self._networks:
            found = merged(network.candidates(image, self.min_confidence), card["overlap"])
            new = [i for i, box in enumerate(found.boxes) if not _same_face(box, kept.boxes).any()]
            kept = Candidates(
                np.concatenate([kept.boxes, found.boxes[new]]),
                np.concatenate([kept.points, found.points[new]]),
                np.concatenate([kept.scores, found.scores[new]]),
            )
        limits = image.shape[1], image.shape[0]
        faces = []
        for (x, y, w, h), points, score in zip(kept.boxes, kept.points, kept.scores, strict=True):
            landmarks = {name: tuple(points[i]) for i, name in enumerate(card["points"])}
            faces.append(face_within(limits, (x - w / 2, y - h / 2, w, h), float(score), landmarks))
        return sorted((face for face in faces if min(face.box[2:]) > 0), key=lambda face: -face.confidence)


class Network:
    """One network.

    Args:
        entry: its part of `detector.json`.
        threads: CPU threads.
    """

    def __init__(self, entry: dict[str, Any], threads: int) -> None:
        path = FOLDER / entry["file"]
        if sha256(path) != entry["sha256"]:
            raise ValueError(f"{path} is not the file that {CARD_FILE} describes. Install kerafer again.")
        self.entry, self.side = entry, entry["side"]
        self.contract = Preprocessing((self.side,) * 2, (self.side,) * 2, tuple(entry["mean"]), tuple(entry["std"]))
        self.anchors = np.concatenate([_grid(cells, count) for cells, count in entry["grids"]])
        self.graph = LiteRTGraph(path, threads)

    def candidates(self, image: np.ndarray, min_confidence: float) -> Candidates:
        """Return all candidates that are sure enough, boxes as MTCNN would frame them."""
        height, width = image.shape[:2]
        # the picture as large as it fits, in the middle of a black square
        fit = self.side / max(height, width)
        rows, columns = max(1, round(height * fit)), max(1, round(width * fit))
        top, left = (self.side - rows) // 2, (self.side - columns) // 2
        square = np.zeros((self.side, self.side, 3), np.uint8)
        square[top : top + rows, left : left + columns] = resized(image, (rows, columns))
        # the files' outputs are boxes, then scores
        values, logits = (output[0].astype(float) for output in self.graph(self.contract.scale(square)[None]))
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))
        sure = np.flatnonzero(scores >= min_confidence)
        # (n, 16): middle, sides, six points; middle and points are relative to the anchor
        places = values[sure].reshape(-1, 2 + POINTS, 2) / self.side
        places[:, [0, *range(2, 2 + POINTS)]] += self.anchors[sure, None]
        unit = np.array([width / columns, height / rows]) * self.side
        corner = np.array([left, top]) / self.side
        middles, sides = (places[:, 0] - corner) * unit, places[:, 1] * unit
        middles[:, 1] += self.entry["box_shift"] * np.sqrt(np.maximum(sides[:, 0] * sides[:, 1], 0))
        boxes = np.concatenate([middles, sides * self.entry["box_scale"]], axis=1)
        return Candidates(boxes, (places[:, 2:] - corner) * unit, scores[sure])


def read_card() -> dict[str, Any]:
    """Return what `detector.json` says of both networks."""
    return read_json(FOLDER / CARD_FILE)


def _grid(cells: int, count: int) -> np.ndarray:
    """Return the middles of a grid's cells, row after row, each `count` times, (cells * cells * count, 2)."""
    middles = (np.arange(cells) + 0.5) / cells
    return np.repeat(np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2), count, axis=0)


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the intersection over the union of a box with others, all by middle and sides, (n,)."""
    low = np.maximum(box[:2] - box[2:] / 2, boxes[:, :2] - boxes[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2)
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    return shared / (np.prod(box[2:]) + np.prod(boxes[:, 2:], axis=1) - shared)


def _same_face(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return where the middle of one box lies in the other, (n,) bool; the sizes of two networks' boxes may differ."""
    apart = np.abs(box[:2] - boxes[:, :2])
    return (apart < box[2:] / 2).all(axis=1) | (apart < boxes[:, 2:] / 2).all(axis=1)


def merged(found: Candidates, overlap: float) -> Candidates:
    """Return one candidate for each face: the mean of those that overlap with the surest, weighted by their scores."""
    order = np.argsort(-found.scores, kind="stable")
    boxes, points, scores = [], [], []
    while len(order):
        same = overlaps(found.boxes[order[0]], found.boxes[order]) > overlap
        same[0] = True
        group, weights = order[same], found.scores[order[same]]
        boxes.append(np.average(found.boxes[group], axis=0, weights=weights))
        points.append(np.average(found.points[group], axis=0, weights=weights))
        scores.append(found.scores[order[0]])
        order = order[~same]
    return Candidates(np.reshape(boxes, (-1, 4)), np.reshape(points, (-1, POINTS, 2)), np.array(scores))
