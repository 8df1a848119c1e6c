"""MTCNN's three networks on LiteRT, with the same faces as the `mtcnn` package in less time.

The networks are converted from the weights in the installed package when they are first needed, and kept in the user's
cache folder. Thresholds, suppression of overlaps and the boxes' arithmetic are the package's own functions; the
pyramid, the patches and the networks run without TensorFlow.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from kerafer.files import replacing
from kerafer.runtime import LiteRTGraph

SIDES = {"pnet": None, "rnet": 24, "onet": 48}
"""The networks and the sides of their inputs; the first takes pictures of any size."""

# The package's own settings.
SCALE_FACTOR = 0.709
THRESHOLDS = {"pnet": 0.6, "rnet": 0.7, "onet": 0.8}
OVERLAPS = {"scale": 0.5, "pnet": 0.7, "rnet": 0.7, "onet": 0.7}

SHAPES = 32
"""Prepared interpreters of the first network, one for each size; a picture has about ten."""

BATCH = 16
"""Patches that the other networks take together."""


class LiteRTMTCNN:
    """What `mtcnn.MTCNN().detect_faces` finds in one picture, computed by LiteRT.

    Args:
        threads: CPU threads.

    Example:
        >>> from kerafer.data.samples import portrait
        >>> [face] = LiteRTMTCNN().detect_faces(portrait())
        >>> len(face["box"])
        4
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._files = converted()
        self._first: OrderedDict[tuple[int, ...], _Network] = OrderedDict()
        self._others = {
            name: _Network(self._files[name], (BATCH, side, side, 3), threads) for name, side in SIDES.items() if side
        }

    def detect_faces(self, image: np.ndarray, min_face_size: int = 20) -> list[dict[str, Any]]:
        """Return box, confidence and keypoints of each face, as the package does.

        Args:
            image: (height, width, 3) uint8 RGB.
            min_face_size: smallest side of a face in pixels.
        """
        from mtcnn.utils import bboxes

        normalized = (image.astype(np.float32) - 127.5) / 128
        # (n, 6): picture, left, top, right, bottom, confidence
        boxes = self._proposals(normalized, min_face_size)
        boxes, _ = self._refined(normalized, boxes, "rnet")
        boxes = bboxes.resize_to_square(_suppressed(boxes, OVERLAPS["rnet"]))
        boxes, landmarks = self._refined(normalized, boxes, "onet")
        boxes = _suppressed(np.concatenate([boxes, landmarks], axis=-1), OVERLAPS["onet"], method="min")
        boxes = bboxes.limit_bboxes(boxes, images_shapes=np.array([image.shape]), limit_landmarks=False)
        return bboxes.to_json(boxes, images_count=1, output_as_width_height=True, input_as_width_height=False)[0]

    def _proposals(self, image: np.ndarray, min_face: int) -> np.ndarray:
        """Return the first network's boxes on all levels of the pyramid."""
        import cv2
        from mtcnn.utils import bboxes
        from mtcnn.utils.images import build_scale_pyramid

        found = [np.empty((0, 6))]
        height, width = image.shape[:2]
        for scale in build_scale_pyramid(width, height, min_face_size=min_face, scale_factor=SCALE_FACTOR):
            size = (int(width * scale), int(height * scale))
            level = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            by_width = self._prepared(level.shape)(level[None])
            # the package's function takes tensors
            offsets, scores = (SimpleNamespace(numpy=lambda v=by_width[n]: v) for n in (4, 2))
            boxes = bboxes.generate_bounding_box(offsets, scores, THRESHOLDS["pnet"])
            boxes = bboxes.upscale_bboxes(boxes, np.array([scale]))
            found.append(_suppressed(boxes, OVERLAPS["scale"], initial_sort=False))
        return bboxes.resize_to_square(_suppressed(np.concatenate(found), OVERLAPS["pnet"]))

    def _refined(self, image: np.ndarray, boxes: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the boxes that a network still takes for faces, corrected, and their landmarks (n, 10), if any."""
        from mtcnn.utils import bboxes

        if not len(boxes):
            return boxes, np.empty((0, 10))
        by_width = self._others[name].batched(patches(image, boxes, SIDES[name]))
        landmarks = by_width.get(10, np.empty((len(boxes), 10)))
        # (n, 1, 2): sides and corner of each box, for the places within it: first all x, then all y
        sides, corner = boxes[:, None, 3:5] - boxes[:, None, 1:3] + 1, boxes[:, None, 1:3]
        landmarks = (landmarks.reshape(-1, 2, 5).swapaxes(1, 2) * sides + corner - 1).swapaxes(1, 2).reshape(-1, 10)
        boxes = bboxes.adjust_bboxes(bboxes.replace_confidence(boxes, by_width[2]), by_width[4])
        kept = boxes[:, 5] > THRESHOLDS[name]
        return boxes[kept], landmarks[kept]

    def _prepared(self, shape: tuple[int, ...]) -> _Network:
        """Return the first network for pictures of a shape."""
        if shape not in self._first:
            self._first[shape] = _Network(self._files["pnet"], (1, *shape), self.threads)
            while len(self._first) > SHAPES:
                self._first.popitem(last=False)
        self._first.move_to_end(shape)
        return self._first[shape]


class _Network:
    """One network, prepared for inputs of one shape."""

    def __init__(self, path: Path, shape: tuple[int, ...], threads: int) -> None:
        self.graph = LiteRTGraph(path, threads, shape)

    def __call__(self, x: np.ndarray) -> dict[int, np.ndarray]:
        """Return the outputs by the length of their last axis: 4 offsets, 2 scores, 10 places."""
        return {output.shape[-1]: output for output in self.graph(x)}

    def batched(self, x: np.ndarray) -> dict[int, np.ndarray]:
        """Return the outputs for any number of inputs, the last batch filled up with zeros."""
        batch = np.zeros(self.graph.shape, np.float32)
        found = []
        for first in range(0, len(x), len(batch)):
            part = x[first : first + len(batch)]
            batch[: len(part)] = part
            found.append(self(batch))
        return {width: np.concatenate([one[width] for one in found])[: len(x)] for width in found[0]}


def patches(image: np.ndarray, boxes: np.ndarray, side: int) -> np.ndarray:
    """Cut boxes out of a picture and resize them, as TensorFlow's `crop_and_resize` does: zero beyond the picture.

    Args:
        image: (height, width, 3) float32.
        boxes: (n, 5 or more); columns 1 to 4 are left, top, right, bottom.
        side: of the patches.

    Returns:
        (n, side, side, 3) float32.
    """
    height, width = image.shape[:2]
    (upper, lower, down, inside_y), (left, right, across, inside_x) = (
        _samples(boxes[:, low] / length, boxes[:, high] / length, length, side)
        for low, high, length in ((2, 4, height), (1, 3, width))
    )
    flat = image.reshape(-1, 3)

    def taken(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return flat.take(rows[:, :, None] * width + columns[:, None, :], axis=0)  # (n, side, side, 3)

    across, down = across[:, None, :, None], down[:, :, None, None]
    top, bottom = taken(upper, left), taken(lower, left)
    top += (taken(upper, right) - top) * across
    bottom += (taken(lower, right) - bottom) * across
    top += (bottom - top) * down
    if not (inside_y.all() and inside_x.all()):
        top *= inside_y[:, :, None, None] & inside_x[:, None, :, None]
    return top


def _samples(start: np.ndarray, end: np.ndarray, length: int, side: int) -> tuple[np.ndarray, ...]:
    """Return, on one axis, each sample's pixels before and after it (n, side), the latter's share, and if it is in."""
    start, end, last = np.float32(start)[:, None], np.float32(end)[:, None], np.float32(length - 1)
    places = start * last + np.arange(side, dtype=np.float32) * ((end - start) * last / np.float32(side - 1))
    within = np.clip(places, 0, last)
    before = np.floor(within)
    return before.astype(np.int32), np.ceil(within).astype(np.int32), within - before, places == within


def _suppressed(boxes: np.ndarray, overlap: float, **options: Any) -> np.ndarray:
    """Return the surest of overlapping boxes, the surest first, by the package's function."""
    from mtcnn.utils.bboxes import smart_nms_from_bboxes

    if not len(boxes):
        return boxes
    return smart_nms_from_bboxes(boxes, threshold=overlap, **{"method": "union", "initial_sort": True, **options})


def cache_folder() -> Path:
    """Return where converted networks are kept: `kerafer` in the user's cache folder (`XDG_CACHE_HOME`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kerafer"


def converted() -> dict[str, Path]:
    """Return the networks' files, converted from the installed package's weights where they are not yet.

    A folder belongs to one version of the package and of the converter; a file that was changed is made anew.
    """
    folder = cache_folder() / f"mtcnn-{version('mtcnn')}-tensorflow-{version('tensorflow')}"
    files = {name: folder / (f"{name}-{BATCH}.tflite" if side else f"{name}.tflite") for name, side in SIDES.items()}
    if not all(_is_whole(path) for path in files.values()):
        for name, content in _convert().items():
            with replacing(files[name]) as temporary:
                temporary.write_bytes(content)
            with replacing(_checksum(files[name])) as temporary:
                temporary.write_text(hashlib.sha256(content).hexdigest(), encoding="ascii")
    return files


def _checksum(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_whole(path: Path) -> bool:
    if not (path.is_file() and _checksum(path).is_file()):
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == _checksum(path).read_text(encoding="ascii")


def _convert() -> dict[str, bytes]:
    """Return the contents of the three files."""
    import keras
    import tensorflow as tf
    from mtcnn import MTCNN
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    found = {}
    for stage, (name, side) in zip(MTCNN().stages, SIDES.items(), strict=True):
        picture = keras.Input((side, side, 3))
        model = keras.Model(picture, stage.model.call(picture))
        signature = [tf.TensorSpec((BATCH if side else 1, side, side, 3), tf.float32)]
        traced = tf.function(lambda x, model=model: model(x), input_signature=signature).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(traced)])
        found[name] = converter.convert()
    return found
