"""Recognising expressions: detector, crop by the contract, classifier, for one picture or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.images import read_image
from kerafer.loading import LoadedModel, load_model
from kerafer.preprocess import Preprocessing, as_rgb
from kerafer.vision.detect import Face, FaceDetector, MTCNNDetector
from kerafer.vision.draw import annotate


@dataclass(frozen=True)
class RecognizedFace:
    """A face with its expression.

    Args:
        face: box, confidence and landmarks.
        label: the most probable class.
        probabilities: of every class, in the model's order; they add up to 1.
    """

    face: Face
    label: str
    probabilities: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "box": list(self.face.box),
            "confidence": self.face.confidence,
            "landmarks": {name: list(point) for name, point in self.face.landmarks.items()},
            "label": self.label,
            "probabilities": dict(self.probabilities),
        }


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with the expressions found in it; `faces` is empty where there is no face.

    Args:
        source: file name or `"image 3"`.
        image: (height, width, 3) uint8 RGB, upright.
        faces: the surest first.
    """

    source: str
    image: np.ndarray
    faces: tuple[RecognizedFace, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without the pixels."""
        height, width = self.image.shape[:2]
        faces = [face.to_dict() for face in self.faces]
        found = f"{len(faces)} face" + "s" * (len(faces) != 1) if faces else "no face found"
        return {"source": self.source, "width": width, "height": height, "message": found, "faces": faces}

    def annotated(self) -> np.ndarray:
        """Return the picture with boxes, landmarks and expressions drawn in, (height, width, 3) uint8."""
        return annotate(self.image, [(found.face, found.probabilities) for found in self.faces])


class Recognizer:
    """Finds the faces of pictures and tells their expressions.

    The detector and the model are loaded once and serve any number of pictures.

    Args:
        source: what `kerafer.load_model` takes (a registry name, `.keras`, `.tflite`, run or bundle), or its result.
        weights: shipped weights, for a registry name.
        detector: finds the faces; MTCNN by default.

    Raises:
        ValueError: if the model or its weights are unknown.
        FileNotFoundError: if a file is missing.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import portrait
        >>> recognizer = kerafer.Recognizer("ean", weights="fer2013")
        >>> [picture] = recognizer.recognize([portrait()])
        >>> len(picture.faces)
        1
    """

    def __init__(
        self,
        source: str | Path | LoadedModel = "ean",
        *,
        weights: str | None = None,
        detector: FaceDetector | None = None,
    ) -> None:
        self.loaded = source if isinstance(source, LoadedModel) else load_model(source, weights=weights)
        self.detector = MTCNNDetector() if detector is None else detector

    def recognize(self, images: Sequence[np.ndarray | str | Path]) -> list[Picture]:
        """Recognise the expressions in several pictures; all their faces are classified together.

        Args:
            images: paths, or arrays (height, width, 3) RGB or (height, width) gray, uint8.

        Returns:
            One `Picture` per input, in order.

        Raises:
            ValueError: if a picture cannot be read, or an array is no uint8 picture.
        """
        if isinstance(images, (str, Path, np.ndarray)):
            raise ValueError(
                f"`images` must be a sequence of pictures, even for one. Received: {type(images).__name__}"
            )
        names = [str(i) if isinstance(i, (str, Path)) else f"image {n}" for n, i in enumerate(images)]
        pixels = [read_image(i) if isinstance(i, (str, Path)) else _checked(i) for i in images]
        found = self.detector.detect(pixels)
        crops = [(image, face) for image, faces in zip(pixels, found, strict=True) for face in faces]
        probabilities = iter(self.classify(crops))
        return [
            Picture(name, image, tuple(self._recognized(face, next(probabilities)) for face in faces))
            for name, image, faces in zip(names, pixels, found, strict=True)
        ]

    def classify(self, crops: Sequence[tuple[np.ndarray, Face]]) -> np.ndarray:
        """Return the probabilities (n, classes) of faces whose boxes are known already."""
        contract = self.loaded.card.preprocessing
        if not crops:
            return np.zeros((0, len(self.loaded.card.labels)), np.float32)
        return self.loaded.runner.predict(np.stack([contract(cut(contract, image, face)) for image, face in crops]))

    def _recognized(self, face: Face, probabilities: np.ndarray) -> RecognizedFace:
        labels = self.loaded.card.labels
        named = {label: float(p) for label, p in zip(labels, probabilities, strict=True)}
        return RecognizedFace(face, labels[int(probabilities.argmax())], named)


def _checked(image: np.ndarray) -> np.ndarray:
    if np.asarray(image).dtype != np.uint8:
        raise ValueError(f"`images` must be uint8 arrays, 0 to 255. Received: {np.asarray(image).dtype}")
    return as_rgb(image)


def cut(contract: Preprocessing, image: np.ndarray, face: Face) -> np.ndarray:
    """Cut a face as the model's training faces were cut; a detector without landmarks leaves it upright."""
    eyes = [face.landmarks.get(name) for name in ("left_eye", "right_eye")]
    if contract.aligned and None not in eyes and eyes[0] != eyes[1]:
        return contract.crop_aligned(image, face.box, *eyes)
    return contract.crop_face(image, face.box)
