"""From what a user names (a model of the zoo, a run, a file, a bundle) to a model that runs, with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerafer.card import ModelCard
from kerafer.runtime import KerasRunner, LiteRTRunner, Runner
from kerafer.weights import resolve, shipped
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


def load_model(source: str | Path, *, weights: str | None = None) -> LoadedModel:
    """Load a model by registry name, or from a file or folder that kerafer wrote.

    Args:
        source: a registry name (with `weights`); a `.tflite` or `.keras` file beside its card; the folder of a run
            (its last model) or of a bundle (its Keras model).
        weights: name of shipped weights, only with a registry name.

    Returns:
        The model with its card; it takes RGB, whatever it was trained on.

    Raises:
        FileNotFoundError: if there is no such file, or no card beside it.
        ValueError: if the name or the weights are unknown, or a file cannot be read.

    Example:
        >>> import kerafer
        >>> kerafer.load_model("ean", weights="fer2013").card.labels[3]
        'happy'
    """
    text = str(source)
    if text in list_models():
        if weights is None:
            raise ValueError(
                f"`weights` must be given for {text!r}: one of {list(shipped(text))}, or train it and name the run."
            )
        resolve(text, weights)  # refuses unknown names and damaged files
        if weights not in shipped(text):
            raise ValueError(f"`weights` of {text!r} must be one of {list(shipped(text))}. Received: {weights!r}")
        card = ModelCard.from_dict(shipped(text)[weights])
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
        return LoadedModel(path.name, ModelCard.read(path.parent), LiteRTRunner(path))
    if path.suffix == ".keras":
        import keras

        card = ModelCard.read(path.parent)
        try:
            model = keras.models.load_model(path, compile=False, safe_mode=True)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"{path} is not a Keras model that can be loaded safely: {error}") from error
        return _ready(path.name, card, model)
    raise ValueError(f"{path} must be a .keras or .tflite file.")


def _ready(name: str, card: ModelCard, model: keras.Model) -> LoadedModel:
    from kerafer.layers import with_rgb_input

    model = with_rgb_input(model)
    return LoadedModel(name, card, KerasRunner(model), model)
