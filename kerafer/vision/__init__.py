"""From a photograph or a video to the expressions of the people in it."""

from __future__ import annotations

from functools import partial

from kerafer.vision.blazeface import BlazeFaceDetector
from kerafer.vision.detect import Face, FaceDetector, MTCNNDetector
from kerafer.vision.recognize import Picture, RecognizedFace, Recognizer
from kerafer.vision.tracking import FaceTracker, Smoothing, TrackedFace
from kerafer.vision.video import VideoPicture, VideoRecognizer, VideoReport

DETECTORS = {
    "mtcnn": MTCNNDetector,
    "mtcnn_litert": partial(MTCNNDetector, runtime="litert"),
    "blazeface": BlazeFaceDetector,
}
"""By the names that `kerafer predict --detector` takes."""

__all__ = [
    "DETECTORS",
    "BlazeFaceDetector",
    "Face",
    "FaceDetector",
    "FaceTracker",
    "MTCNNDetector",
    "Picture",
    "RecognizedFace",
    "Recognizer",
    "Smoothing",
    "TrackedFace",
    "VideoPicture",
    "VideoRecognizer",
    "VideoReport",
]
