"""Weights as `.npz` files keyed by layer, and the ones shipped inside the package.

A `.npz` of float arrays is read without running any code from it (`allow_pickle=False`), survives Keras releases,
and is compared name by name with the model it goes into. Shipped files lie in `kerafer/pretrained`, each beside its
card, which holds the checksum; nothing is ever downloaded.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.files import read_json, read_npz, replacing, sha256

if TYPE_CHECKING:
    import keras

FOLDER = Path(str(files("kerafer"))) / "pretrained"


def variable_names(model: keras.Model) -> list[str]:
    """Return the name of each weight, `layer/variable`, in the model's order, the same on every run."""
    return [f"{layer.name}/{w.name}" for layer in model.layers for w in layer.weights]


def save_weights(model: keras.Model, path: str | Path, *, dtype: str = "float32") -> Path:
    """Write a functional model's weights to a `.npz` file.

    Args:
        model: the model.
        path: where to write; replaced only once the new file is whole.
        dtype: `"float32"`, or `"float16"` for a file of half the size; the model stays float32.

    Returns:
        The path written.

    Raises:
        ValueError: if the path does not end in `.npz`, or a weight does not fit into `dtype`.

    Example:
        >>> import kerafer
        >>> model = kerafer.build_model("ean")
        >>> kerafer.save_weights(model, "/tmp/ean.npz").name
        'ean.npz'
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"`path` must end in .npz. Received: path={str(path)!r}")
    if dtype not in ("float32", "float16"):
        raise ValueError(f"`dtype` must be float32 or float16. Received: dtype={dtype!r}")
    with np.errstate(over="ignore"):
        arrays = {n: np.asarray(w).astype(dtype) for n, w in zip(variable_names(model), model.weights, strict=True)}
    unfit = [name for name, value in arrays.items() if not np.isfinite(value).all()]
    if unfit:
        raise ValueError(f"`dtype` {dtype} cannot hold the weights {unfit[:3]} of {model.name}. Save them as float32.")
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
    return path


def load_weights(model: keras.Model, path: str | Path) -> keras.Model:
    """Put the weights of a `.npz` file into a model, after checking every name and shape.

    Args:
        model: the model; unchanged if anything does not fit.
        path: a file that `save_weights` wrote.

    Returns:
        The same model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is broken, or its arrays are not exactly those of the model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}. Write one with kerafer.save_weights.")
    arrays = read_npz(path)
    names = variable_names(model)
    if set(names) != set(arrays):
        missing, unknown = sorted(set(names) - set(arrays)), sorted(set(arrays) - set(names))
        raise ValueError(
            f"{path} does not hold the weights of model {model.name!r}: "
            f"{len(missing)} missing {missing[:3]}, {len(unknown)} unknown {unknown[:3]}."
        )
    for name, weight in zip(names, model.weights, strict=True):
        if arrays[name].shape != tuple(weight.shape) or arrays[name].dtype.kind != "f":
            raise ValueError(
                f"{path}: {name} must be floats of shape {tuple(weight.shape)}. Received: {arrays[name].dtype} of "
                f"shape {arrays[name].shape}. Build the model with the class count and input channels of the file."
            )
    model.set_weights([arrays[name] for name in names])
    return model


@cache
def shipped(name: str) -> dict[str, dict[str, Any]]:
    """Return the cards of the weights shipped for a model, by the weights' name."""
    cards = (read_json(path) for path in sorted(FOLDER.glob(f"{name}-*.json")))
    return {card["weights"]: card for card in cards if card["model"] == name}


def shipped_files(name: str) -> dict[str, dict[str, Any]]:
    """Return the entries of the exported files shipped for a model, by name such as `"fer2013_qat_int8"`."""
    return {
        f"{weights}_{entry['recipe']}": {"file": file, **entry}
        for weights, card in shipped(name).items()
        for file, entry in card["files"].items()
    }


def resolve_file(name: str, weights: str) -> Path:
    """Return a shipped exported file, a key of `shipped_files(name)`, checksum verified.

    Raises:
        ValueError: if its checksum is wrong.
    """
    entry = shipped_files(name)[weights]
    return _verified(FOLDER / entry["file"], entry["sha256"])


def resolve(name: str, weights: str) -> Path:
    """Return the file of shipped weights (checksum verified), or the path given.

    Args:
        name: a model's registry name.
        weights: a name such as `"fer2013"`, or a path that ends in `.npz`.

    Raises:
        ValueError: if neither fits, or a shipped file's checksum is wrong.
    """
    cards = shipped(name)
    if weights in cards:
        return _verified(FOLDER / f"{name}-{weights}.npz", cards[weights]["sha256"])
    if weights in shipped_files(name):
        raise ValueError(
            f"`weights` {weights!r} of {name} are a .tflite file, not a Keras model's weights: run them with "
            f"kerafer.load_model or kerafer.Recognizer, or take one of {list(cards)}."
        )
    if weights.endswith(".npz"):
        return Path(weights)
    raise ValueError(
        f"`weights` of {name} must be None, a .npz file, or one of {list(cards)}. Received: weights={weights!r}"
    )


def _verified(path: Path, wanted: str) -> Path:
    found = sha256(path)
    if found != wanted:
        raise ValueError(
            f"{path.name} is damaged: its SHA-256 must be {wanted}. Received: {found}. Install kerafer again."
        )
    return path
