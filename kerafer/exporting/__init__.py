"""From a Keras model to `.tflite` files, and to a bundle that an app can trust."""

from __future__ import annotations

from kerafer.exporting.android import android_folder, install_in_android
from kerafer.exporting.bundle import Bundle, check_target, export
from kerafer.exporting.cached import load_exported
from kerafer.exporting.tflite import convert

__all__ = ["Bundle", "android_folder", "check_target", "convert", "export", "install_in_android", "load_exported"]
