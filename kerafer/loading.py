"""From what a user names (a model of the zoo, a run, a file, a bundle) to a model that runs, with its card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kerafer.card import FILE_NAME, ModelCard
from kerafer.files import DAMAGE
from kerafer.labels import check_labels
from kerafer.litert.metadata import read_metadata
from kerafer.preprocess import Preprocessing
from kerafer.profiling import profile
from kerafer.quantization.graphs import check_model, in_single_precision, is_graph, is_idle, operations
from kerafer.runtime import KerasRunner, LiteRTRunner, Runner
from kerafer.weights import resolve, resolve_file, shipped, shipped_files
from kerafer.zoo import build_model, list_models

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run.

    Args:
        name: what it was loaded from, for people.
        card: labels, preprocessing and origin.
        runner: computes probabilities.
        model: the Keras model, or None for a `.tflite` file.
    """

    name: str
    card: ModelCard
    runner: Runner
    model: keras.Model | None = None


def load_model(
    source: str | Path,
    *,
    weights: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    threads: int = 1,
) -> LoadedModel:
    """Load a model by registry name, from a file or folder that kerafer wrote, or from a `.keras` file of one's own.

    Args:
        source: a registry name (with `weights`); a `.tflite` or `.keras` file beside its card; the folder of a run
            (its last model) or of a bundle (its Keras model); a `.keras` file from elsewhere (with `labels`).
        weights: name of shipped weights such as `"fer2013"`, or of a shipped file such as `"fer2013_qat_int8"`, only
            with a registry name.
        labels: class names in output order, only for a `.keras` file without a card.
        preprocessing: contract from a picture to the input, likewise; by default as `own_model` finds it.
        threads: CPU threads of a `.tflite` file; Keras has settings of its own.

    Returns:
        The model with its card; it takes RGB, whatever it was trained on.

    Raises:
        FileNotFoundError: if there is no such file, or neither a card beside it nor `labels`.
        ValueError: if the name or the weights are unknown, a file cannot be read, or `labels` do not fit.

    Example:
        >>> import kerafer
        >>> kerafer.load_model("ean", weights="fer2013").card.labels[3]
        'happy'
    """
    text = str(source)
    own = labels is not None or preprocessing is not None
    if own and (text in list_models() or Path(source).suffix != ".keras" or (Path(source).parent / FILE_NAME).exists()):
        raise ValueError(
            "`labels` and `preprocessing` are for a .keras file without a card; models of the zoo, runs, bundles and "
            f"files beside a {FILE_NAME} have theirs. Received: {text!r}"
        )
    if text in list_models():
        if weights is None:
            raise ValueError(
                f"`weights` must be given for {text!r}: one of {list(shipped(text))}, or train it and name the run."
            )
        if weights in shipped_files(text):
            return replace(_exported(resolve_file(text, weights), threads), name=f"{text} ({weights})")
        resolve(text, weights)  # refuses unknown names and damaged files
        if weights not in shipped(text):
            raise ValueError(f"`weights` of {text!r} must be one of {list(shipped(text))}. Received: {weights!r}")
        # the files that the card lists lie in the package, not wherever this model is saved or exported to
        card = replace(ModelCard.from_dict(shipped(text)[weights]), files={})
        return _ready(f"{text} ({weights})", card, build_model(text, weights=weights, classes=len(card.labels)))
    if weights is not None:
        raise ValueError(f"`weights` goes with a model of the zoo ({', '.join(list_models())}). Received: {text!r}")
    path = Path(source)
    if path.is_dir():
        candidates = [path / name for name in ("last.keras", "model.keras") if (path / name).is_file()]
        if not candidates:
            raise FileNotFoundError(f"{path} holds neither a finished run (last.keras) nor a bundle (model.keras).")
        path = candidates[0]
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no model or file {text!r}. Models: {', '.join(list_models())}; or give a .keras or .tflite file."
        )
    if path.suffix == ".tflite":
        return _exported(path, threads)
    if path.suffix == ".keras":
        import keras

        if labels is None and not (path.parent / FILE_NAME).exists():
            raise FileNotFoundError(
                f"There is no {FILE_NAME} beside {path}, which would name labels and preprocessing. Copy it from the "
                "run or bundle; for a model of your own give `labels`, its class names in output order."
            )
        card = None if labels is not None else ModelCard.read(path.parent)
        try:
            model = keras.models.load_model(path, compile=False, safe_mode=True)
        except DAMAGE as error:
            raise ValueError(f"{path} is not a Keras model that can be loaded safely: {error}") from error
        if card is None:
            return own_model(model, labels, preprocessing=preprocessing)
        return _ready(path.name, card, model)
    raise ValueError(f"{path} must be a .keras or .tflite file.")


def _exported(path: Path, threads: int) -> LoadedModel:
    """Return a `.tflite` file with the card beside it, or the one in its own metadata."""
    runner = LiteRTRunner(path, threads)
    beside = ModelCard.read(path.parent) if (path.parent / FILE_NAME).exists() else None
    if beside is not None and path.name in beside.files:
        card = beside
    else:  # alone, or beside the card of another model
        card = read_metadata(path).card
        if card is None:
            raise FileNotFoundError(
                f"There is no {FILE_NAME} of it beside {path}, and its metadata was not written by kerafer: nothing "
                "tells how pictures are prepared. Export the model with `kerafer export`."
            )
    if runner.input["dtype"] == np.uint8:  # camera bytes, scaled inside the graph
        card = replace(card, preprocessing=card.preprocessing.camera())
    return LoadedModel(path.name, card, runner)


def own_model(model: keras.Model, labels: Sequence[str], *, preprocessing: Preprocessing | None = None) -> LoadedModel:
    """Return a Keras model of one's own with a card, as every verb of kerafer takes it.

    Args:
        model: (batch, height, width, 3 or 1) to probabilities (batch, classes); functional or sequential.
        labels: class names in output order.
        preprocessing: contract from a picture to the input. By default the picture is resized to the input's size and
            scaled to [0, 1]; or left at 0 to 255, if the model begins with a Rescaling that expects that.

    Returns:
        The model with its card.

    Raises:
        TypeError: if the model is no graph of layers with one input and one output.
        ValueError: if its input is no picture of fixed size, its outputs are no probabilities, or `labels` or
            `preprocessing` do not fit it.

    Example:
        >>> import keras
        >>> from kerafer.loading import own_model
        >>> net = [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
        >>> own_model(keras.Sequential(net, name="Smile"), ("smile", "no smile")).card.model
        'smile'
    """
    check_model(model)
    shape, names = tuple(model.inputs[0].shape[1:]), check_labels(labels)
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(f"`model` must take pictures (height, width, 3 or 1). Received: {shape}")
    if tuple(model.outputs[0].shape[1:]) != (len(names),):
        raise ValueError(
            f"`labels` must name the {model.outputs[0].shape[-1]} classes of {model.name}, whose output is (batch, "
            f"classes). Received: {len(names)} labels for the output {tuple(model.outputs[0].shape)}"
        )
    contract = preprocessing or _found_preprocessing(model, shape)
    if tuple(contract.size) != shape[:2]:
        raise ValueError(f"`preprocessing.size` must be the input's {shape[:2]}. Received: {contract.size}")
    try:
        flops, ruler = profile(model).flops["macs"], "macs"
    except (ValueError, AttributeError):  # layers that no ruler prices
        flops, ruler = 0, "not counted"
    card = ModelCard(
        model=re.sub(r"[^a-z0-9]+", "_", model.name.lower()).strip("_") or "model",
        title=model.name,
        paper="",
        labels=names,
        preprocessing=contract,
        parameters=sum(prod(weight.shape) for weight in model.trainable_weights),
        flops=flops,
        ruler=ruler,
        notes=("A model of the user's own.",),
    )
    loaded = _ready(model.name, card, model)
    pictures = np.random.default_rng(0).integers(0, 256, (2, *contract.size, 3), np.uint8)
    outputs = loaded.runner.predict(contract.scale(pictures))
    if not (outputs >= 0).all() or not np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            f"`model` must give probabilities that add up to 1. Received: {outputs[0].tolist()} from {model.name}. Add "
            "the activation: keras.Model(model.input, keras.layers.Softmax()(model.output))"
        )
    return loaded


def _found_preprocessing(model: keras.Model, shape: tuple[int, ...]) -> Preprocessing:
    """Return the plain contract: [0, 1], or 0 to 255 for a model that begins with the scaling of such values."""
    size = tuple(int(side) for side in shape[:2])
    working = (layer for layer in operations(model) if type(layer).__name__ != "InputLayer" and not is_idle(layer))
    first = next(working, None)
    scale = np.max(np.abs(first.scale)) if type(first).__name__ == "Rescaling" else 1.0
    if scale <= 1 / 100:  # 1/255 or 1/127.5
        return Preprocessing(size=size, resize=size, std=(1 / 255,) * 3)
    return Preprocessing(size=size, resize=size)


def _ready(name: str, card: ModelCard, model: keras.Model) -> LoadedModel:
    import keras

    from kerafer.layers import with_rgb_input

    if is_graph(model) and (isinstance(model, keras.Sequential) or not isinstance(model.input, keras.KerasTensor)):
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # the plain form
    model = with_rgb_input(in_single_precision(model))
    return LoadedModel(name, card, KerasRunner(model), model)
