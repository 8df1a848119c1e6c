"""LiteRT metadata inside a `.tflite` file: what an app and MediaPipe's tasks need to use the file alone.

A table in the file (`TFLITE_METADATA`) tells name, author, licence, normalisation and labels; two small files are
appended as a zip archive that any unzip program reads: `labels.txt`, one class a line in output order, and
`kerafer.json`, with which `kerafer.load_model` runs the lone file as it runs a bundle.

`metadata_tables.py` writes and reads the tables, since no package with the schema's Python code installs beside
numpy 2.

Reference:
    https://ai.google.dev/edge/litert/models/metadata
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.card import FORMAT, ModelCard
from kerafer.litert.metadata_tables import (
    AXIS_LABELS,
    CARD_FILE,
    LABELS_FILE,
    NORMALIZATION,
    Table,
    root,
    write_tables,
)
from kerafer.litert.slim import METADATA_NAME, lies_outside, read_graph, write_graph

AUTHORS = "the kerafer authors"
"""Author of files with shipped weights."""

MAX_APPENDED = 1 << 20
"""Bytes that a file appended to a model may have to be read: ours have under a thousand."""

_UINT8 = 3  # TensorType.UINT8 of the .tflite schema
_STORED_IN_CARD = ("model", "paper", "parameters", "flops", "ruler", "weights")


class MissingMetadataError(ValueError):
    """A `.tflite` file that holds no metadata."""


@dataclass(frozen=True)
class TensorNote:
    """What the metadata says about an input or output.

    Args:
        name: for people.
        description: in a sentence.
        minimum: smallest value of each channel, or one for all; in the tensor's own type.
        maximum: largest value.
    """

    name: str
    description: str
    minimum: tuple[float, ...] = ()
    maximum: tuple[float, ...] = ()


@dataclass(frozen=True)
class FileMetadata:
    """The metadata of a `.tflite` file. What it does not say is empty.

    Args:
        name: of the model, for people.
        description: what it does, with notes.
        version: of the program that wrote the file: kerafer's.
        author: who made the weights.
        licence: of code, weights and data, one a line.
        labels: classes in output order.
        mean: subtracted from RGB values of 0 to 255, for each channel or all.
        std: by which the difference is divided.
        inputs: a note for each input.
        outputs: a note for each output.
        files: names of the appended files.
        min_parser_version: version of the schema that a reader must know.
        recipe: the export recipe, where kerafer wrote the file.
        card: labels, preprocessing and origin, where kerafer wrote the file.
    """

    name: str
    description: str
    version: str
    author: str
    licence: str
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    inputs: tuple[TensorNote, ...]
    outputs: tuple[TensorNote, ...]
    files: tuple[str, ...]
    min_parser_version: str
    recipe: str | None = None
    card: ModelCard | None = None


def add_metadata(data: bytes, card: ModelCard, recipe: str, *, author: str | None = None) -> bytes:
    """Return a `.tflite` file with metadata, labels and card inside.

    Args:
        data: content of an exported file, which `kerafer.litert.slim` has made small.
        card: of the model.
        recipe: name of the export recipe that made the file.
        author: who made the weights; None for kerafer's authors where they are shipped, and nobody elsewhere.

    Returns:
        The content with metadata; the same arguments give the same bytes.

    Raises:
        ValueError: if the file is damaged, has metadata already, or does not fit the card.

    Example:
        >>> import kerafer
        >>> from kerafer.exporting import convert
        >>> ean = kerafer.load_model("ean", weights="fer2013")
        >>> data = add_metadata(convert(ean.model, "float16"), ean.card, "float16")
        >>> metadata_of(data).labels[3]
        'happy'
    """
    model = read_graph(data)
    if any(note.name == METADATA_NAME for note in model.metadata or []):
        raise ValueError("`data` must be a .tflite file without metadata. This one has some already.")
    if lies_outside(model):
        raise ValueError("`data` must keep its weights inside its tables; files beyond 2 GB do not.")
    graph = model.subgraphs[0]
    size, classes = card.preprocessing.size, len(card.labels)
    ends = [[] if part is None else [graph.tensors[i] for i in part] for part in (graph.inputs, graph.outputs)]
    shapes = [[[] if tensor.shape is None else tensor.shape.tolist() for tensor in tensors] for tensors in ends]
    if shapes != [[[1, *size, 3]], [[1, classes]]]:
        raise ValueError(
            f"`data` must fit the card: one picture (1, {size[0]}, {size[1]}, 3) to (1, {classes}). "
            f"Received: inputs {shapes[0]}, outputs {shapes[1]}"
        )
    [image], [scores] = ends
    if author is None:
        author = AUTHORS if card.weights else ""
    tables = write_tables(card, author, image.type == _UINT8, scores.type == _UINT8)
    buffer = type(model.buffers[0])(data=np.frombuffer(tables, np.uint8))
    note = _new_note(METADATA_NAME, len(model.buffers))
    model.buffers = [*model.buffers, buffer]
    model.metadata = [*(model.metadata or []), note]
    appended = {
        LABELS_FILE: "\n".join(card.labels) + "\n",
        CARD_FILE: json.dumps(_card_values(card, recipe), ensure_ascii=False, separators=(",", ":")),
    }
    return _append(write_graph(model, len(data) + len(tables)), appended)


def read_metadata(path: str | Path) -> FileMetadata:
    """Return the metadata of a `.tflite` file.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: if there is no such file.
        MissingMetadataError: if it is a `.tflite` file without metadata.
        ValueError: if it is no `.tflite` file, or a damaged one.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        return metadata_of(Path(path).read_bytes())
    except MissingMetadataError as error:
        raise MissingMetadataError(f"{path}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def metadata_of(data: bytes) -> FileMetadata:
    """Return the metadata in a `.tflite` file's content; raises what `read_metadata` raises."""
    model = read_graph(data)
    places = [note.buffer for note in model.metadata or [] if note.name == METADATA_NAME]
    if not places:
        raise MissingMetadataError("the file holds no metadata; `kerafer export` writes files that do.")
    if not 0 <= places[0] < len(model.buffers) or model.buffers[places[0]].data is None:
        raise ValueError("the metadata is damaged: it points at nothing. Export the file again.")
    table = root(model.buffers[places[0]].data.tobytes())
    graphs = table.tables(3)
    inputs, outputs = (graphs[0].tables(2), graphs[0].tables(3)) if graphs else ([], [])
    appended = _appended(data)
    named = [name for tensor in outputs for name in _label_files(tensor)]
    missing = [name for name in named if name not in appended]
    if missing:
        raise ValueError(f"the file is damaged: {missing[0]} should be appended to it. Export the file again.")
    labels = tuple(_text(appended[named[0]], named[0]).splitlines()) if named else ()
    mean, std = _normalization(inputs)
    values = _json(appended[CARD_FILE]) if CARD_FILE in appended else None
    words = {
        "name": table.text(0),
        "description": table.text(1),
        "version": table.text(2),
        "author": table.text(4),
        "licence": table.text(5),
    }
    return FileMetadata(
        **words,
        labels=labels,
        mean=mean,
        std=std,
        inputs=tuple(_note(tensor) for tensor in inputs),
        outputs=tuple(_note(tensor) for tensor in outputs),
        files=tuple(appended),
        min_parser_version=table.text(7),
        recipe=None if values is None else values.get("recipe"),
        card=None if values is None else _card(values, words, labels),
    )


def _new_note(name: bytes, buffer: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.MetadataT(name=name, buffer=buffer)


def _card_values(card: ModelCard, recipe: str) -> dict[str, Any]:
    """Return what the card says and the metadata's tables and labels do not."""
    values = {name: getattr(card, name) for name in _STORED_IN_CARD}
    return {"format": FORMAT, "recipe": recipe, **values, "preprocessing": card.preprocessing.to_dict()}


def _card(values: Mapping[str, Any], words: Mapping[str, str], labels: tuple[str, ...]) -> ModelCard:
    notes = words["description"].split("\n")[1:]
    licences = dict(line.partition(": ")[::2] for line in words["licence"].split("\n") if line)
    try:
        return ModelCard.from_dict(
            {**values, "title": words["name"], "labels": labels, "notes": notes, "licences": licences}
        )
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{CARD_FILE}, appended to the file, is no card: {error}. Export the file again.") from error


def _append(data: bytes, files: Mapping[str, str]) -> bytes:
    """Return `data` and a zip archive behind it, uncompressed, as MediaPipe insists, and with a fixed date."""
    file = io.BytesIO()
    file.write(data)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # places count from the start of the model
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, text.encode("utf-8"))
    return file.getvalue()


def _appended(data: bytes) -> dict[str, bytes]:
    """Return the files appended to a model, by name."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            large = [e.filename for e in entries if e.file_size > MAX_APPENDED or e.compress_type != zipfile.ZIP_STORED]
            if large:
                raise ValueError(
                    f"files appended to a model must be uncompressed and at most {MAX_APPENDED} bytes long. "
                    f"Received: {large[0]}"
                )
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f"the files appended to the model are damaged: {error}. Export the file again.") from error


def _label_files(tensor: Table) -> list[str]:
    return [file.text(0) for file in tensor.tables(6) if file.byte(2) == AXIS_LABELS]


def _normalization(inputs: list[Table]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for tensor in inputs:
        for unit in tensor.tables(4):
            options = unit.table(1)
            if unit.byte(0) == NORMALIZATION and options is not None:
                return options.floats(0), options.floats(1)
    return (), ()


def _note(tensor: Table) -> TensorNote:
    stats = tensor.table(5)
    smallest, largest = ((), ()) if stats is None else (stats.floats(1), stats.floats(0))
    return TensorNote(tensor.text(0), tensor.text(1), smallest, largest)


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}, appended to the file, is no text: {error}. Export the file again.") from error


def _json(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(_text(content, CARD_FILE))
    except json.JSONDecodeError as error:
        raise ValueError(f"{CARD_FILE}, appended to the file, is no JSON: {error}. Export the file again.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{CARD_FILE}, appended to the file, must be an object. Received: {type(values).__name__}")
    return values
