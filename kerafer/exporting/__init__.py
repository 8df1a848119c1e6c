"""From a Keras model to `.tflite` files, and to a bundle that an app can trust."""

from __future__ import annotations

from kerafer.exporting.bundle import Bundle, export
from kerafer.exporting.tflite import convert

__all__ = ["Bundle", "convert", "export"]
