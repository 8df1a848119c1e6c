"""Shipped weights as a `.tflite` file that is made once: what tells an expression needs no TensorFlow after that."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

from kerafer import __version__
from kerafer.cache import kept
from kerafer.card import ModelCard
from kerafer.exporting.tflite import convert
from kerafer.loading import LoadedModel, load_model
from kerafer.runtime import LiteRTRunner
from kerafer.weights import resolve, shipped


def load_exported(name: str, weights: str, *, threads: int = 1) -> LoadedModel:
    """Load shipped weights as the float32 `.tflite` file that `kerafer export` makes of them.

    It is converted at the first call and kept in the user's cache folder: later calls load neither TensorFlow nor
    Keras, and start in a fraction of the time. The probabilities are the Keras model's but for float32 rounding.

    Args:
        name: a registry name.
        weights: shipped weights such as `"fer2013"`, or a shipped file such as `"fer2013_qat_int8"`, which needs no
            conversion.
        threads: CPU threads.

    Raises:
        ValueError: if there are no such weights, or they are damaged.

    Example:
        >>> load_exported("ean", "fer2013").name
        'ean (fer2013)'
    """
    if weights not in shipped(name):
        return load_model(name, weights=weights, threads=threads)
    checksum = shipped(name)[weights]["sha256"]
    resolve(name, weights)  # refuses a damaged file
    folder = f"{name}-{weights}-{checksum[:16]}-kerafer-{__version__}-tensorflow-{version('tensorflow')}"

    def make() -> dict[str, bytes]:
        return {"float32.tflite": convert(load_model(name, weights=weights).model, "float32")}

    [path] = kept(folder, ["float32.tflite"], make).values()
    card = replace(ModelCard.from_dict(shipped(name)[weights]), files={})
    return LoadedModel(f"{name} ({weights})", card, LiteRTRunner(path, threads))
