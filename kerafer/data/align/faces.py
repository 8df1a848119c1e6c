"""From pictures to faces with level eyes: what is done with one part of a folder, in this process or another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.images import read_image
from kerafer.preprocess import Preprocessing, eye_angle
from kerafer.vision.detect import Face, FaceDetector

CHOICES = ("center", "largest", "surest")
NO_FACE = ("skip", "whole")
FORMATS = {"png": {"format": "PNG"}, "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0}}
PARTIAL = ".partial"
"""Folder for pictures being written, so that a killed run leaves no half picture among the others."""

LOADED_PIXELS = 16_000_000
"""Pictures of a part are decoded until they have so many pixels together, then searched: it bounds the memory."""

COLUMNS = (
    *("source", "output", "status", "faces", "confidence"),
    *("box_x", "box_y", "box_width", "box_height"),
    *("left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y"),
    *("angle", "reason"),
)
"""Columns of the manifest. Places are pixels of the upright source picture; the angle is in degrees."""


@dataclass(frozen=True)
class Job:
    """What is to be done with each picture.

    Args:
        src: folder of the pictures.
        dst: folder to write.
        contract: how a face is framed; `resize` is the size that is written.
        choose: which of several faces is taken, one of `CHOICES`.
        no_face: what becomes of a picture without a face, one of `NO_FACE`.
        format: a key of `FORMATS`.
        detector: finds the faces and their eyes.
    """

    src: Path
    dst: Path
    contract: Preprocessing
    choose: str
    no_face: str
    format: str
    detector: FaceDetector

    def run(self, part: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Align some pictures, and return a row of the manifest for each, in order.

        Args:
            part: source and output of each picture, relative to `src` and `dst`.

        Raises:
            OSError: if a picture cannot be written. What cannot be read only gets its row.
        """
        rows = [{"source": source, "output": ""} for source, _ in part]
        loaded: dict[int, np.ndarray] = {}
        for number, (source, _) in enumerate(part):
            image = self._read(source)
            if isinstance(image, str):
                rows[number] |= {"status": "unreadable", "reason": image}
            else:
                loaded[number] = image
            last = number == len(part) - 1
            if loaded and (last or sum(i.shape[0] * i.shape[1] for i in loaded.values()) > LOADED_PIXELS):
                for place, found in zip(loaded, self._detect(list(loaded.values())), strict=True):
                    rows[place] |= self._row(loaded[place], found, part[place][1])
                loaded.clear()
        return rows

    def _read(self, source: str) -> np.ndarray | str:
        """Return a picture, (height, width, 3) uint8, or why it cannot be read."""
        path = self.src / source
        try:
            return read_image(path)
        except Exception as error:  # decoders raise whatever a damaged file makes them trip over
            return _reason(error).replace(str(path), source)

    def _detect(self, images: list[np.ndarray]) -> list[list[Face] | str]:
        """Return the faces of each picture, or why the search failed."""
        try:
            return list(self.detector.detect(images))
        except Exception as error:  # one picture's failure must not be that of those beside it
            if len(images) == 1:
                return [f"the search for faces failed: {_reason(error)}"]
            return [self._detect([image])[0] for image in images]

    def _row(self, image: np.ndarray, found: list[Face] | str, output: str) -> dict[str, Any]:
        if isinstance(found, str):
            return {"status": "error", "reason": found}
        if not found:
            row = {"status": "no_face", "faces": 0}
            if self.no_face == "whole":
                row["output"] = self._write(image, output)
            return row
        face = choose_face(found, image.shape[:2], self.choose)
        row = dict(zip(COLUMNS[5:9], face.box, strict=True))
        row |= {"status": "aligned", "faces": len(found), "confidence": round(face.confidence, 6)}
        try:
            eyes = face.landmarks["left_eye"], face.landmarks["right_eye"]
            crop = self.contract.crop_aligned(image, face.box, *eyes)
        except KeyError as error:
            return row | {"status": "error", "reason": f"the detector gives no {error}, which the alignment needs."}
        except Exception as error:  # such as both eyes in one place
            return row | {"status": "error", "reason": _reason(error)}
        row |= dict(zip(COLUMNS[9:13], (*eyes[0], *eyes[1]), strict=True))
        row["angle"] = round(eye_angle(*eyes), 3)
        row["output"] = self._write(crop, output)
        return row

    def _write(self, image: np.ndarray, output: str) -> str:
        """Write a picture at the contract's `resize`, whole or not at all, and return its path under `dst`."""
        from PIL import Image

        path = self.dst / output
        temporary = self.dst / PARTIAL / f"{os.getpid()}.{self.format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            Image.fromarray(self.contract.pixels(image)).save(file, **FORMATS[self.format])
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        return output


def choose_face(faces: Sequence[Face], shape: tuple[int, int], how: str = "center") -> Face:
    """Return the face that a picture is about.

    Args:
        faces: one or more, the surest first.
        shape: (height, width) of the picture.
        how: `"largest"` box, `"surest"`, or `"center"`: the largest after twice the squared distance between the
            box's centre and the picture's is taken from its area, as FaceNet's alignment weighs them.

    Raises:
        ValueError: if `how` is unknown.

    Example:
        >>> small = Face((45, 45, 10, 10), 0.9, {})
        >>> large = Face((0, 0, 12, 12), 0.95, {})
        >>> choose_face([large, small], (100, 100)).box, choose_face([large, small], (100, 100), "largest").box
        ((45, 45, 10, 10), (0, 0, 12, 12))
    """
    if how not in CHOICES:
        raise ValueError(f"`choose` must be one of {', '.join(CHOICES)}. Received: {how!r}")
    if how == "surest":
        return faces[0]

    def weight(face: Face) -> float:
        x, y, width, height = face.box
        away = (x + width / 2 - shape[1] / 2) ** 2 + (y + height / 2 - shape[0] / 2) ** 2
        return width * height - (2 * away if how == "center" else 0)

    return max(faces, key=weight)  # of equals the first, which is the surest


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}"
