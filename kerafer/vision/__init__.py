"""From a photograph to the expressions of the people in it."""

from __future__ import annotations

from kerafer.vision.detect import Face, FaceDetector, MTCNNDetector
from kerafer.vision.recognize import Picture, RecognizedFace, Recognizer

__all__ = ["Face", "FaceDetector", "MTCNNDetector", "Picture", "RecognizedFace", "Recognizer"]
