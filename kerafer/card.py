"""The card of a trained or exported model: everything an app or a reader needs, as one JSON file.

A training run writes it beside its models, shipped weights carry it, a bundle holds it beside its `.tflite` files,
and the runtime, the verifier and the Android code read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from kerafer.files import read_json, write_json
from kerafer.labels import check_labels
from kerafer.preprocess import Preprocessing

FILE_NAME = "card.json"
FORMAT = 1


@dataclass(frozen=True)
class ModelCard:
    """What is known about one trained model.

    Args:
        model: registry name.
        title: name for people.
        paper: where the architecture was published.
        labels: class names in output order.
        preprocessing: contract from a picture to the input.
        parameters: trainable parameters.
        flops: operations, under `ruler`.
        ruler: how `flops` was counted.
        weights: name of the weights, such as `"fer2013"`, or None for a run of one's own.
        training: what the weights were trained on and how (data, checksum, recipe, seed, versions), or None.
        results: measured figures, each naming split, metric and value.
        licences: of code, weights and data.
        files: exported files by name: recipe, bytes, SHA-256, input and output types.
        notes: what a user should know, in sentences.
    """

    model: str
    title: str
    paper: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    parameters: int
    flops: int
    ruler: str
    weights: str | None = None
    training: Mapping[str, Any] | None = None
    results: tuple[Mapping[str, Any], ...] = ()
    licences: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_labels(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"format": FORMAT, **asdict(self), "preprocessing": self.preprocessing.to_dict()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ModelCard:
        """Return the card that `to_dict` wrote; further keys, such as a shipped file's checksum, are ignored.

        Raises:
            ValueError: if the format is another one, or a field is missing.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"A card must be a JSON object. Received: {type(value).__name__}. Export or train again.")
        if value.get("format") != FORMAT:
            raise ValueError(
                f"A card must have format {FORMAT}. Received: {value.get('format')!r}. "
                "Was it written by another version of kerafer?"
            )
        known = {f.name: value[f.name] for f in fields(cls) if f.name in value}
        try:
            known["preprocessing"] = Preprocessing.from_dict(known["preprocessing"])
            for name in ("labels", "results", "notes"):
                known[name] = tuple(known.get(name, ()))
            return cls(**known)
        except (KeyError, TypeError) as error:
            raise ValueError(f"The card lacks a field: {error}. Export or train again.") from error

    def write(self, folder: str | Path) -> Path:
        """Write `card.json` into a folder, whole or not at all, and return its path."""
        path = Path(folder) / FILE_NAME
        write_json(path, self.to_dict())
        return path

    @classmethod
    def read(cls, folder: str | Path) -> ModelCard:
        """Read `card.json` of a folder.

        Raises:
            FileNotFoundError: if the folder holds no card.
            ValueError: if the card is broken.
        """
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {FILE_NAME} in {folder}; it names labels and preprocessing, and lies beside every model "
                "that kerafer trains or exports. Keep the files of a run or bundle together."
            )
        return cls.from_dict(read_json(path))
