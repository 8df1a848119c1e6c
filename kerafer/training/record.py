"""What a run leaves in writing: settings that decide its result, versions, and what came out."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerafer import __version__
from kerafer.data.dataset import FaceDataset
from kerafer.files import read_json

RECORD_FILE = "run.json"
LAST_MODEL = "last.keras"
BEST_MODEL = "best.keras"


@dataclass(frozen=True)
class TrainingRun:
    """A finished run.

    Args:
        folder: where its files lie: `last.keras`, `best.keras`, `card.json`, `run.json`, `history.csv`, `curves.png`.
        record: the content of `run.json`.
    """

    folder: Path
    record: dict[str, Any]

    def path(self, which: str = "last") -> Path:
        """Return the file of the run's `"last"` or `"best"` model."""
        return self.folder / {"last": LAST_MODEL, "best": BEST_MODEL}[which]

    def model(self, which: str = "last") -> keras.Model:
        """Return the run's `"last"` or `"best"` model, with softmax."""
        return keras.models.load_model(self.path(which), safe_mode=True)


def weights_checksum(model: keras.Model) -> str:
    """Return a SHA-256 over a model's weights, the same however often the model was saved."""
    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(np.ascontiguousarray(value))
    return digest.hexdigest()


def describe_data(part: FaceDataset) -> dict[str, Any]:
    """Return what a record says of a split."""
    return {"name": part.name, "split": part.split, "images": len(part), "sha256": part.checksum()}


def find_record(out: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record of a run of these settings, or None in a fresh folder.

    Raises:
        ValueError: if the folder holds a run of other settings, or something else.
    """
    path = out / RECORD_FILE
    if path.exists():
        record = read_json(path)
        if not isinstance(record, dict) or "state" not in record or not isinstance(record.get("settings"), dict):
            raise ValueError(f"{path} is no record of a run. Choose another folder for the run.")
        settings = json.loads(json.dumps(settings))  # as they look when they have been written and read: no tuples
        if record["settings"] != settings:
            raise ValueError(
                f"{out} holds a run with other settings: {', '.join(_changed(record['settings'], settings))} differ. "
                f"Choose another folder, or repeat the settings in {path} to go on with it."
            )
        return record
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no run. Choose another folder for the run.")
    return None


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return sorted(k for k in {*old, *new} if old.get(k) != new.get(k))


def result(history: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return a run's last epoch, and the best one by the validation split."""
    best = max(history, key=lambda row: (row["val_accuracy"], row["epoch"]))
    return {"epochs": len(history), "last": history[-1], "best": best}


def versions() -> dict[str, str]:
    """Return the versions that may change a result."""
    found = installed_versions(("keras", "tensorflow", "numpy"))
    return {"kerafer": __version__, "python": platform.python_version(), **found, "backend": keras.backend.backend()}


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed, and of JAX where it computes."""
    found = {}
    for package in (*packages, *(["jax"] if keras.backend.backend() == "jax" else [])):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def now() -> str:
    """Return the time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
