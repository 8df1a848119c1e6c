"""What is in a `.tflite` file besides its graph: bytes that nobody needs, and the metadata that an app does."""

from __future__ import annotations

from kerafer.litert.metadata import FileMetadata, MissingMetadataError, add_metadata, read_metadata
from kerafer.litert.slim import slim

__all__ = ["FileMetadata", "MissingMetadataError", "add_metadata", "read_metadata", "slim"]
