"""`kerafer info`: what a model of the zoo, an exported file, a bundle or a run is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerafer.cli.common import add_verb, print_json

if TYPE_CHECKING:
    from kerafer.card import ModelCard


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "info",
        "tell what a model of the zoo costs, or what is in a .tflite file, a bundle or a run",
        "kerafer info ean --layers\n  kerafer info ean-bundle/ean_float16.tflite",
        _info,
    )
    verb.add_argument(
        "model", help="a model of `kerafer list`, a .tflite or .keras file, or the folder of a bundle or run"
    )
    zoo = verb.add_argument_group("for a model of the zoo")
    zoo.add_argument("--size", type=int, help="height and width of the input (default: the paper's)")
    zoo.add_argument("--classes", type=int, help="number of classes (default: the spec's)")
    zoo.add_argument("--layers", action="store_true", help="show every layer")
    zoo.add_argument("--picture", metavar="FILE.png", help="draw the blocks, and how they are joined")
    zoo.add_argument("--block", help="draw the layers of one block, such as block3, instead")


def _info(arguments: argparse.Namespace) -> int:
    from kerafer.zoo import list_models

    path = Path(arguments.model)
    if arguments.model in list_models() or (not path.exists() and path.suffix not in (".tflite", ".keras")):
        from kerafer.cli.models import tell_model

        return tell_model(arguments)
    given = [name for name in ("size", "classes", "layers", "picture", "block") if getattr(arguments, name)]
    if given:
        raise ValueError(f"`--{given[0]}` goes with a model of the zoo. Received: {arguments.model}")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    facts = _folder(path) if path.is_dir() else _file(path)
    if arguments.json:
        print_json(facts)
    else:
        _tell(facts)
    return 0


def _folder(path: Path) -> dict[str, Any]:
    """Return the facts of a bundle or run."""
    from kerafer.card import ModelCard
    from kerafer.files import inside

    card = ModelCard.read(path)
    found = [inside(path, name) for name in card.files] if card.files else sorted(path.glob("*.keras"))
    missing = [file.name for file in found if not file.is_file()]
    if missing:
        raise FileNotFoundError(f"{path} lacks {missing[0]}, which its card lists. Export the bundle again.")
    return {
        "kind": "bundle" if card.files else "run",
        "path": str(path),
        **_of_card(card),
        "files": [_file(file) for file in found],
    }


def _file(path: Path) -> dict[str, Any]:
    """Return the facts of one file."""
    from kerafer.card import FILE_NAME, ModelCard
    from kerafer.files import sha256

    card = ModelCard.read(path.parent) if (path.parent / FILE_NAME).is_file() else None
    checksum = sha256(path)
    listed = card.files.get(path.name) if card else None
    facts: dict[str, Any] = {
        "kind": path.suffix.lstrip("."),
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": checksum,
        "as_listed": None if listed is None else listed["sha256"] == checksum,
    }
    if path.suffix == ".keras":
        return facts | _keras(path, card)
    return facts | _tflite(path)


def _keras(path: Path, card: ModelCard | None) -> dict[str, Any]:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            archive.getinfo("config.json")
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path} is not a .keras file: {error}") from error
    return {"metadata": None, **(_of_card(card) if card else {})}


def _tflite(path: Path) -> dict[str, Any]:
    from dataclasses import asdict

    from kerafer.litert.metadata import MissingMetadataError, read_metadata
    from kerafer.litert.slim import read_graph
    from kerafer.verification.oplint import inspect_operators

    try:
        model = read_graph(path.read_bytes())
        operators = inspect_operators(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:  # generated readers let any error through, of struct, of numpy, of Python
        raise ValueError(f"{path} is a damaged .tflite file: {error}") from error
    graph = model.subgraphs[0]
    try:
        metadata = read_metadata(path)
    except MissingMetadataError:
        metadata = None
    told = {"metadata": None}
    if metadata is not None:
        told = {"metadata": asdict(metadata) | {"card": metadata.card and metadata.card.to_dict()}}
        told |= {"labels": list(metadata.labels), "recipe": metadata.recipe}
    return {
        **told,
        "inputs": [] if graph.inputs is None else [_tensor(graph.tensors[i]) for i in graph.inputs],
        "outputs": [] if graph.outputs is None else [_tensor(graph.tensors[i]) for i in graph.outputs],
        "operators": operators.operators,
        "float_tensors": operators.float_tensors,
        "refused_by_gpu": list(operators.refused),
    }


def _tensor(tensor: Any) -> dict[str, Any]:
    from ai_edge_litert import schema_py_generated as schema

    kinds = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    quantization = tensor.quantization
    facts = {
        "name": (tensor.name or b"").decode("utf-8", "replace"),
        "shape": [] if tensor.shape is None else [int(v) for v in tensor.shape],
        "type": kinds.get(tensor.type, f"type {tensor.type}"),
    }
    if quantization is None or quantization.scale is None or len(quantization.scale) == 0:
        return facts
    return facts | {"scale": float(quantization.scale[0]), "zero_point": int(quantization.zeroPoint[0])}


def _of_card(card: ModelCard) -> dict[str, Any]:
    """Return what a card says, without its files."""
    return {key: value for key, value in card.to_dict().items() if key not in ("format", "files")}


def _tell(facts: dict[str, Any]) -> None:
    if facts["kind"] in ("bundle", "run"):
        _tell_card(facts, f"{facts['path']}: {facts['kind']}")
        for file in facts["files"]:
            print()
            _tell_file(file, whole=False)
    else:
        _tell_file(facts, whole=True)


def _tell_card(card: dict[str, Any], title: str) -> None:
    contract = card["preprocessing"]
    print(f"{title} of {card['title']} ({card['model']})\n{card['paper']}")
    _line("labels", ", ".join(card["labels"]))
    _line("input", f"{contract['size'][0]} x {contract['size'][1]} RGB, cut from {contract['resize']}")
    _line("normalisation", f"(x / 255 - {contract['mean']}) / {contract['std']}")
    for part, terms in card["licences"].items():
        _line(f"licence, {part}", terms)
    for note in card["notes"]:
        _line("note", note)


def _tell_file(facts: dict[str, Any], *, whole: bool) -> None:
    told = {None: "", True: ", as its card says", False: ", NOT the one on its card: the file was changed"}
    print(f"{Path(facts['path']).name}: {facts['bytes']:,} bytes")
    _line("sha256", facts["sha256"] + told[facts["as_listed"]])
    if facts["kind"] == "keras":
        if whole and "title" in facts:
            _tell_card(facts, "Keras model")
        return
    metadata = facts["metadata"]
    if metadata is None:
        _line("metadata", "none: labels and normalisation are not in the file; `kerafer export` writes files with both")
    elif whole:
        for name in ("name", "description", "version", "author", "licence"):
            _line(name, (metadata[name] or "-").replace("\n", "\n" + " " * 19))
        _line("labels", ", ".join(metadata["labels"]) or "-")
    if metadata is not None:
        _line("recipe", metadata["recipe"] or "-")
        mean, std = (", ".join(f"{v:g}" for v in metadata[part]) for part in ("mean", "std"))
        _line("normalisation", f"(x - {mean}) / {std} for x of 0 to 255" if mean and std else "-")
    for part in ("inputs", "outputs"):
        for tensor in facts[part]:
            _line(part[:-1], _tensor_words(tensor))
    _line("operators", ", ".join(f"{count} {name}" for name, count in facts["operators"].items()))
    left = facts["float_tensors"]
    _line("arithmetic", f"{left} tensors computed in floating point" if left else "wholly integer")
    refused = facts["refused_by_gpu"]
    count = len({reason.partition(":")[0] for reason in refused})
    _line("GPU runtime", "takes every operator" if not refused else f"refuses {count}, first {refused[0]}")


def _tensor_words(tensor: dict[str, Any]) -> str:
    words = f"{tensor['name'] or '(no name)'} {'x'.join(map(str, tensor['shape']))} {tensor['type']}"
    if "scale" in tensor:
        words += f", value = {tensor['scale']:.6g} * (x - {tensor['zero_point']})"
    return words


def _line(name: str, value: str) -> None:
    print(f"  {name:<16} {value}")
