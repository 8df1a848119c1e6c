"""What the tests of the web page share: what Python finds in a picture, and a spy in LiteRT.js's place."""

import numpy as np
import pytest
from conftest import ROOT

from kerafer.vision import BlazeFaceDetector, Recognizer

FLOAT, HALF, INTEGER = 2e-5, 5e-3, 2 / 256
"""Probabilities in float32 on both sides; on a GPU asked for float16; of an integer file, which has steps of 1/256."""
LITERT = "/litert/core/dist/index.js"
SPY = {LITERT: str(ROOT / "tests" / "web_spy.js")}


def expected(site, path, recipe):
    """Return what Python finds in a picture, by the same file."""
    [file] = (site / "bundle").glob(f"*_{recipe}.tflite")
    [picture] = Recognizer(file, detector=BlazeFaceDetector()).recognize([path])
    return picture.faces


def assert_same(reading, faces, tolerance):
    assert len(reading["faces"]) == len(faces)
    for found, face in zip(reading["faces"], faces, strict=True):
        assert tuple(found["box"]) == face.face.box
        assert {name: tuple(place) for name, place in found["landmarks"].items()} == face.face.landmarks
        assert found["confidence"] == pytest.approx(face.face.confidence, abs=1e-4)
        np.testing.assert_allclose(found["probabilities"], list(face.probabilities.values()), atol=tolerance)
