"""From a photograph to the expressions of the people in it."""

from __future__ import annotations

from kerafer.vision.blazeface import BlazeFaceDetector
from kerafer.vision.detect import Face, FaceDetector, MTCNNDetector
from kerafer.vision.recognize import Picture, RecognizedFace, Recognizer

DETECTORS = {"mtcnn": MTCNNDetector, "blazeface": BlazeFaceDetector}
"""By the names that `kerafer predict --detector` takes."""

__all__ = [
    "DETECTORS",
    "BlazeFaceDetector",
    "Face",
    "FaceDetector",
    "MTCNNDetector",
    "Picture",
    "RecognizedFace",
    "Recognizer",
]
