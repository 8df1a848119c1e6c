"""Data sets: one call reads any of them into a `FaceDataset` with canonical labels."""

from __future__ import annotations

from kerafer.data.dataset import FaceDataset, LoadReport, load_data

__all__ = ["FaceDataset", "LoadReport", "load_data"]
