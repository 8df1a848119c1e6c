"""MTCNN's three networks on LiteRT, with the same faces as the `mtcnn` package in less time.

The networks are converted from the weights in the installed package when they are first needed, and kept in the user's
cache folder; after that neither the package nor TensorFlow is loaded. Thresholds and the boxes' arithmetic are the
package's, with what makes it slow left out: the first network gives one number for face or not instead of two
probabilities for each place, which are worked out where there may be a face; a picture is reduced to small sizes
from its running sums, not pixel by pixel.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.cache import kept
from kerafer.runtime import LiteRTGraph
from kerafer.vision.sampling import patches, reduced

SIDES = {"pnet": None, "rnet": 24, "onet": 48}
"""The networks and the sides of their inputs; the first takes pictures of any size."""

BATCHES = {"pnet": 1, "rnet": 16, "onet": 4}
"""What a network takes together. Few patches reach the last."""

# The package's own settings.
CELL, STRIDE = 12, 2
SCALE_FACTOR = 0.709
THRESHOLDS = {"pnet": 0.6, "rnet": 0.7, "onet": 0.8}
OVERLAPS = {"scale": 0.5, "pnet": 0.7, "rnet": 0.7, "onet": 0.7}
LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

SHAPES = 32
"""Prepared interpreters of the first network, one for each size; a picture has about ten."""

LAYOUT = 2
"""Of the converted files; another one is converted anew."""

FROM_SUMS = 0.2
"""Sizes below this share of the picture are reduced from its running sums, which is faster there."""

PAIRS = 4_000_000
"""Boxes are held against each other so many pairs at a time: all pairs of a picture full of texture take gigabytes."""

LEVELS = ((np.arange(256) - 127.5) / 128).astype(np.float32)
"""The networks' value for each of a pixel's."""


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
        self._first: OrderedDict[tuple[int, ...], LiteRTGraph] = OrderedDict()
        self._others = {
            name: _Network(self._files[name], (BATCHES[name], side, side, 3), threads)
            for name, side in SIDES.items()
            if side
        }

    def detect_faces(self, image: np.ndarray, min_face_size: int = 20) -> list[dict[str, Any]]:
        """Return box, confidence and keypoints of each face, as the package does.

        Args:
            image: (height, width, 3) uint8 RGB.
            min_face_size: smallest side of a face in pixels.
        """
        import cv2

        normalized = cv2.LUT(image, LEVELS)
        # boxes (n, 5): left, top, right, bottom, confidence
        boxes = self._proposals(image, normalized, min_face_size)
        boxes, _ = self._refined(normalized, boxes, "rnet")
        boxes = squares(boxes[surest(boxes, OVERLAPS["rnet"])])
        boxes, landmarks = self._refined(normalized, boxes, "onet")
        kept = surest(boxes, OVERLAPS["onet"], of_smaller=True)
        height, width = image.shape[:2]
        return [_told(box, points, width, height) for box, points in zip(boxes[kept], landmarks[kept], strict=True)]

    def _proposals(self, image: np.ndarray, normalized: np.ndarray, min_face: int) -> np.ndarray:
        """Return the first network's boxes on all levels of the pyramid, made square."""
        found = [np.empty((0, 5))]
        for scale, level in _pyramid(image, normalized, min_face):
            [cells] = self._prepared(level.shape)(level[None])  # (1, rows, columns, 4 offsets and the face's margin)
            boxes = cell_boxes(cells[0], THRESHOLDS["pnet"])
            boxes[:, :4] /= scale
            found.append(boxes[surest(boxes, OVERLAPS["scale"])])
        boxes = np.concatenate(found)
        return squares(boxes[surest(boxes, OVERLAPS["pnet"])])

    def _refined(self, image: np.ndarray, boxes: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the boxes that a network still takes for faces, corrected, and their landmarks (n, 5, 2), if any."""
        if not len(boxes):
            return boxes, np.empty((0, 5, 2))
        by_width = self._others[name](image, boxes)
        confidence = by_width[2][:, 1]
        kept = np.flatnonzero(confidence > THRESHOLDS[name])
        boxes, sides = boxes[kept], boxes[kept, 2:4] - boxes[kept, :2] + 1
        places = by_width.get(10, np.empty((len(confidence), 10)))[kept]
        # the network gives first all x, then all y
        landmarks = places.reshape(-1, 2, 5).swapaxes(1, 2) * sides[:, None] + boxes[:, None, :2] - 1
        corners = boxes[:, :4] + by_width[4][kept] * np.tile(sides, 2)
        return np.column_stack([corners, confidence[kept]]), landmarks

    def _prepared(self, shape: tuple[int, ...]) -> LiteRTGraph:
        """Return the first network for pictures of a shape."""
        if shape not in self._first:
            self._first[shape] = LiteRTGraph(self._files["pnet"], self.threads, (1, *shape))
            while len(self._first) > SHAPES:
                self._first.popitem(last=False)
        self._first.move_to_end(shape)
        return self._first[shape]


class _Network:
    """A network for patches, prepared for so many at once."""

    def __init__(self, path: Path, shape: tuple[int, ...], threads: int) -> None:
        self.graph = LiteRTGraph(path, threads, shape)

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> dict[int, np.ndarray]:
        """Return the outputs for what any number of boxes hold, by their width: 4 offsets, 2 scores, 10 places."""
        batch = np.zeros(self.graph.shape, np.float32)
        found = []
        # cut when they are needed: small arrays stay in the processor's cache
        for first in range(0, len(boxes), len(batch)):
            part = boxes[first : first + len(batch)]
            batch[: len(part)] = patches(image, part, batch.shape[1])
            found.append({output.shape[-1]: output for output in self.graph(batch)})
        return {width: np.concatenate([one[width] for one in found])[: len(boxes)] for width in found[0]}


def _pyramid(image: np.ndarray, normalized: np.ndarray, min_face: int) -> Iterator[tuple[float, np.ndarray]]:
    """Yield scale and picture of each level, the largest first; on each, faces of another size fill a cell."""
    import cv2

    height, width = image.shape[:2]
    sums = None
    for step in range(round(-(np.log(min(width, height) / CELL) / np.log(SCALE_FACTOR) + 1))):
        scale = CELL / min_face * SCALE_FACTOR**step
        size = int(width * scale), int(height * scale)
        if scale >= FROM_SUMS:
            yield scale, cv2.resize(normalized, size, interpolation=cv2.INTER_AREA)
        else:
            sums = cv2.integral(image, sdepth=cv2.CV_64F) if sums is None else sums
            yield scale, (reduced(sums, size) - np.float32(127.5)) / np.float32(128)


def cell_boxes(cells: np.ndarray, threshold: float) -> np.ndarray:
    """Return the boxes of those places of the first network's output that are likely faces.

    Args:
        cells: (rows, columns, 5) float32; four offsets of the corners, and how much a face's logit exceeds the other.
        threshold: least probability.

    Returns:
        (n, 5): left, top, right, bottom on this level, and probability.
    """
    likely = np.flatnonzero(cells[..., 4] > np.log(threshold / (1 - threshold)))
    chosen = cells.reshape(-1, 5)[likely].astype(np.float64)
    corner = np.stack(np.divmod(likely, cells.shape[1])[::-1], axis=1) * STRIDE + 1.0
    corners = np.concatenate([corner, corner + CELL - 1], axis=1) + chosen[:, :4] * (CELL - 1)
    return np.column_stack([corners, 1 / (1 + np.exp(-chosen[:, 4]))])


def surest(boxes: np.ndarray, overlap: float, *, of_smaller: bool = False) -> np.ndarray:
    """Return which boxes overlap with no surer one by more than a share, the surest first.

    Args:
        boxes: (n, 5): left, top, right, bottom, confidence.
        overlap: the common area's share of the area of both together.
        of_smaller: its share of the smaller box's area instead.

    Example:
        >>> surest(np.array([[0, 0, 10, 10, 0.7], [1, 0, 11, 10, 0.9], [30, 0, 40, 10, 0.8]]), 0.5).tolist()
        [1, 2]
    """
    order = boxes[:, 4].argsort()[::-1]
    left, top, right, bottom = boxes[order, :4].T.astype(np.float32)
    areas = (right - left) * (bottom - top)
    stays = np.ones(len(order), bool)
    step = max(1, PAIRS // max(1, len(order)))
    for first in range(0, len(order), step):
        # (those that may give way, all that stand before them)
        own, before = slice(first, first + step), slice(0, first + step)
        common = np.minimum.outer(right[own], right[before]) - np.maximum.outer(left[own], left[before])
        np.maximum(common, 0, out=common)
        height = np.minimum.outer(bottom[own], bottom[before]) - np.maximum.outer(top[own], top[before])
        common *= np.maximum(height, 0, out=height)
        if of_smaller:
            whole = np.minimum.outer(areas[own], areas[before])
        else:
            whole = np.add.outer(areas[own], areas[before]) - common
        # a box gives way to any that stands before it, even to one that gives way itself
        stays[own] = ~np.tril(common > overlap * whole, first - 1).any(axis=1)
    return order[stays]


def squares(boxes: np.ndarray) -> np.ndarray:
    """Return the boxes (n, 5) made square about their middles, by their longer sides."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + (sides - longer) / 2
    return np.concatenate([corner, corner + longer, boxes[:, 4:]], axis=1)


def _told(box: np.ndarray, landmarks: np.ndarray, width: int, height: int) -> dict[str, Any]:
    """Return a face as the package tells it, within the picture and in whole pixels."""
    x1, y1, x2, y2 = (float(v) for v in np.clip(box[:4], 0, [width - 1, height - 1, width - 1, height - 1]))
    return {
        "box": [round(x1), round(y1), round(x2 - x1), round(y2 - y1)],
        "keypoints": {
            name: [round(float(x)), round(float(y))] for name, (x, y) in zip(LANDMARKS, landmarks, strict=True)
        },
        "confidence": float(box[4]),
    }


def converted() -> dict[str, Path]:
    """Return the networks' files, converted from the installed package's weights where they are not kept yet.

    A folder belongs to one version of the package and of the converter.
    """
    names = {name: f"{name}-{BATCHES[name]}-{LAYOUT}.tflite" for name in SIDES}
    files = kept(
        f"mtcnn-{version('mtcnn')}-tensorflow-{version('tensorflow')}",
        list(names.values()),
        lambda: {names[name]: content for name, content in _convert().items()},
    )
    return {name: files[file] for name, file in names.items()}


def _convert() -> dict[str, bytes]:
    """Return the contents of the three files."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from kerafer.exporting.tflite import quiet
    from kerafer.vision.detect import package_mtcnn

    found = {}
    for stage, (name, side) in zip(package_mtcnn().stages, SIDES.items(), strict=True):
        picture = keras.Input((side, side, 3))
        outputs = stage.model.call(picture) if side else _proposing(stage.model, picture)
        model = keras.Model(picture, outputs)
        signature = [tf.TensorSpec((BATCHES[name], side, side, 3), tf.float32)]
        traced = tf.function(lambda x, model=model: model(x), input_signature=signature).get_concrete_function()
        with quiet():
            converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(traced)])
            found[name] = converter.convert()
    return found


def _proposing(network: Any, picture: Any) -> Any:
    """Return the first network's output (batch, rows, columns, 5): both heads in one convolution, without softmax."""
    import keras

    x = picture
    for name in ("conv1", "prelu1", "maxpool1", "conv2", "prelu2", "conv3", "prelu3"):
        x = getattr(network, name)(x)
    offsets, scores = (network.conv4_1.get_weights(), network.conv4_2.get_weights())
    head = keras.layers.Conv2D(5, 1)
    x = head(x)
    # softmax of two is the sigmoid of their difference
    head.set_weights(
        [np.concatenate([o, s[..., 1:] - s[..., :1]], axis=-1) for o, s in zip(offsets, scores, strict=True)]
    )
    return x
