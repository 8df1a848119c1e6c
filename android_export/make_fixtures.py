"""Write what the Kotlin tests compare with: bundles, and what Python makes of one photograph.

    python android_export/make_fixtures.py FOLDER

The bundles are also put into an Android project of its own, FOLDER/project, as `kerafer export --android` does.

The photograph is matplotlib's sample portrait, a public-domain picture that comes with that package.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import kerafer
from kerafer.data.samples import portrait
from kerafer.exporting import install_in_android
from kerafer.preprocess import Preprocessing
from kerafer.quantization import UNTRAINED_RECIPES
from kerafer.verification.stand_ins import stand_in
from kerafer.vision import BlazeFaceDetector
from kerafer.vision.blazeface import FOLDER as FACES
from kerafer.vision.detect import Face
from kerafer.vision.tracking import FaceTracker

# x, y, width, height in pixels of the portrait, which has 512 x 600: within it and beyond each of its edges
BOXES = [
    (173.4, 63.2, 140.0, 168.5),
    (200.5, 90.5, 61.0, 61.0),
    (-20.0, 30.0, 90.0, 110.0),
    (430.0, 520.0, 120.0, 130.0),
]
DETECTED = {
    "whole": (slice(None), slice(None)),
    "wide": (slice(0, 250), slice(None)),
    "none": (slice(400, 600), slice(300, 512)),
}
"""Parts of the portrait, rows and columns, in which faces are looked for."""
SIZES = {"grows": (224, 224), "shrinks": (44, 44), "odd": (37, 53)}
TRACKED = [
    (0.0, [(0, 0, 100, 100), (300, 0, 100, 100)]),
    (0.1, [(280, 10, 100, 100), (30, 5, 100, 100)]),
    (0.2, [(50, 5, 100, 100)]),
    (0.9, [(60, 5, 100, 100)]),
    (1.1, [(290, 0, 90, 90), (60, 5, 100, 100)]),
    (1.2, []),
    (1.3, []),
    (2.1, [(70, 10, 100, 100)]),
    (2.4, [(70, 10, 100, 100), (290, 0, 90, 90)]),
    (2.5, [(75, 10, 100, 100), (85, 10, 100, 100)]),
    (2.6, [(330, 0, 90, 90)]),
    (9.0, [(330, 0, 90, 90)]),
    (9.1, [(200, 0, 300, 300)]),
]
"""Seconds, and boxes of faces that a detector might find then: missed for a while, for too long, close together, and
grown so much that only the old one's middle lies in the new one."""
EYES = [((210.0, 128.0), (272.0, 121.0)), ((212.0, 120.0), (268.0, 139.0))]


def main() -> None:
    """Write bundles, cuts and classified faces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    project = folder / "project"
    (project / "app/src/main").mkdir(parents=True, exist_ok=True)
    picture = portrait()
    every = (*UNTRAINED_RECIPES, "qat_int8")
    sources = {"ean": {"source": "ean", "weights": "fer2013", "recipes": every}, "lcnn": {"source": stand_in("lcnn")}}
    described = {"picture": _image(folder, "picture", picture), "cuts": _cuts(folder, picture), "faces": {}}
    for name, source in sources.items():
        place = folder / "bundles" / name
        bundle = kerafer.export(**source, out=place, overwrite=place.exists())
        install_in_android(bundle, project, name, overwrite=True)
        described["faces"][name] = _faces(place, picture)
    described["detected"] = _detected(folder, picture)
    described["tracked"] = _tracked()
    described["six_axes"] = _six_axes(folder)
    (folder / "cuts.json").write_text(json.dumps(described), encoding="utf-8")


def _cuts(folder: Path, picture: np.ndarray) -> list[dict[str, Any]]:
    """Return contracts and boxes with the crops and pixels that Python makes of them."""
    found = []

    def add(contract: Preprocessing, box: tuple[float, ...], crop: np.ndarray, **eyes: Any) -> None:
        number = len(found)
        found.append(
            {
                "preprocessing": contract.to_dict(),
                "box": box,
                **eyes,
                "crop": _image(folder, f"crop-{number}", crop),
                "pixels": _image(folder, f"pixels-{number}", contract.pixels(crop)),
            }
        )

    for size in SIZES.values():
        contract = Preprocessing(size=size, resize=tuple(side + 4 for side in size), face_scale=1.09, face_shift=-0.01)
        for box in BOXES:
            add(contract, box, contract.crop_face(picture, box))
    whole = Preprocessing(size=(20, 20), resize=(20, 20))  # a square of 60 pixels becomes one of 20: blocks of 3
    add(whole, (100.0, 100.0, 60.0, 60.0), whole.crop_face(picture, (100.0, 100.0, 60.0, 60.0)))
    aligned = replace(whole, size=(48, 48), resize=(48, 48), aligned=True)
    for left, right in EYES:
        crop = aligned.crop_aligned(picture, BOXES[0], left, right)
        add(aligned, BOXES[0], crop, left_eye=left, right_eye=right)
    return found


def _faces(bundle: Path, picture: np.ndarray) -> list[dict[str, Any]]:
    """Return the probabilities that Python gives for each box, by a float and an integer file."""
    found = []
    for file in sorted(bundle.glob("*_float16.tflite")) + sorted(bundle.glob("*_static_int8.tflite")):
        loaded = kerafer.load_model(file)
        contract = loaded.card.preprocessing
        for box in BOXES:
            inputs = contract(contract.crop_face(picture, box))[None]
            found.append({"file": file.name, "box": box, "probabilities": loaded.runner.predict(inputs)[0].tolist()})
    return found


def _detected(folder: Path, picture: np.ndarray) -> list[dict[str, Any]]:
    """Return pictures with the faces that BlazeFace finds in them, and its files."""
    shutil.copytree(FACES, folder / "faces", dirs_exist_ok=True)
    detector, found = BlazeFaceDetector(), []
    pictures = {name: picture[part] for name, part in DETECTED.items()}
    pictures["two"] = np.hstack([picture, picture[:, ::-1]])
    for name, image in pictures.items():
        [faces] = detector.detect([image])
        found.append(
            {
                "picture": _image(folder, f"detected-{name}", image),
                "faces": [{"box": f.box, "confidence": f.confidence, "landmarks": f.landmarks} for f in faces],
            }
        )
    return found


def _tracked() -> list[dict[str, Any]]:
    """Return the numbers that Python's tracker gives to `TRACKED`, where it detects in every picture."""

    class Detector:
        boxes: list[tuple[int, int, int, int]]

        def detect(self, images: Any) -> list[list[Face]]:
            return [[Face(box, 1.0, {}) for box in self.boxes] for _ in images]

    detector = Detector()
    tracker, found = FaceTracker(detector, every=0), []
    # nothing in an empty picture can be followed, so that every face counts as lost, and the detector alone decides
    empty = np.zeros((240, 480, 3), np.uint8)
    for seconds, boxes in TRACKED:
        detector.boxes = boxes
        tracks = {one.face.box: one.track for one in tracker.follow(empty, seconds)}
        found.append({"seconds": seconds, "faces": [{"box": box, "track": tracks[box]} for box in boxes]})
    return found


def _six_axes(folder: Path) -> dict[str, Any]:
    """Return a model that CPUs take, and of which LiteRT's GPU leaves a sum over six axes."""
    import tensorflow as tf

    shape = (1, 2, 8, 7)

    def halves(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.reshape(x, (1, 2, 2, 1, 4, 7)), (1, 2, 3, 4)) / 2

    signature = [tf.TensorSpec(shape, tf.float32)]
    function = tf.function(halves, input_signature=signature).get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
    (folder / "six_axes.tflite").write_bytes(content)
    return {"file": "six_axes.tflite", "input": shape, "output": (1, 7), "of_ones": 8.0}


def _image(folder: Path, name: str, image: np.ndarray) -> dict[str, Any]:
    np.ascontiguousarray(image).tofile(folder / f"{name}.bin")
    return {"file": f"{name}.bin", "width": image.shape[1], "height": image.shape[0]}


if __name__ == "__main__":
    main()
