"""Readers of models: weights, cards, bundles, checkpoints."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from target import ROOT, Target, fresh, npz


@cache
def small_model(use: str = "whole") -> Any:
    """Return a network of two layers for pictures of 16 x 16 pixels; one for each use, since readers write into it."""
    import keras

    keras.utils.set_random_seed(0)
    picture = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="stem")(picture)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, keras.layers.Dense(3, activation="softmax", name="head")(x), name="small")


@cache
def _bundle() -> dict[str, bytes]:
    """Return the files of a bundle by name."""
    import tempfile

    import kerafer

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "small"
        kerafer.export(small_model(), folder, labels=("left", "middle", "right"), recipes=("float32", "static_int8"))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _weights() -> Iterator[bytes]:
    from kerafer.weights import variable_names

    model = small_model()
    yield npz(**dict(zip(variable_names(model), model.get_weights(), strict=True)))


def _read_weights(path: Path) -> None:
    import kerafer

    kerafer.save_weights(kerafer.load_weights(small_model("weights"), path), fresh(path, "out") / "weights.npz")


def _named(suffix: str) -> Callable[[], Iterator[bytes]]:
    return lambda: (content for name, content in sorted(_bundle().items()) if name.endswith(suffix))


def _beside(path: Path, *but: str) -> Path:
    """Put the bundle's other files beside the input, and return the folder."""
    for name, content in _bundle().items():
        if name not in (path.name, *but) and not (path.parent / name).exists():
            (path.parent / name).write_bytes(content)
    return path.parent


def _read_bundle(path: Path) -> None:
    from kerafer.exporting import Bundle
    from kerafer.exporting.bundle import read_golden

    bundle = Bundle.open(_beside(path))
    read_golden(bundle)
    bundle.card.write(fresh(path, "out"))


def _read_tflite(path: Path) -> None:
    """Read what stands in a file, and run it if that is whole."""
    from kerafer.litert.metadata import read_metadata
    from kerafer.loading import load_model

    read_metadata(path)
    loaded = load_model(path)
    loaded.runner.predict(np.zeros((1, *loaded.runner.input_size, 3), np.float32))


def _read_graph(path: Path) -> None:
    """Tell what is inside a file, as `kerafer info` does."""
    from kerafer.cli.info import _tflite

    json.dumps(_tflite(path))


def _read_keras(path: Path) -> None:
    from kerafer.loading import load_model

    load_model(_beside(path) / path.name)


def _torch() -> Iterator[bytes]:
    for path in sorted((ROOT / "tests" / "fixtures").glob("torch_*.p*")):
        yield path.read_bytes()


def _read_torch(path: Path) -> None:
    from kerafer.checkpoints.torch_files import read_torch_state

    read_torch_state(path)


def _keras_2() -> Iterator[bytes]:
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        layers = [{"config": {"batch_input_shape": [None, 48, 48, 1]}}]
        file.attrs["model_config"] = json.dumps({"config": {"layers": layers}})
        group = file.create_group("model_weights/conv2d_1")
        group.attrs["weight_names"] = [b"kernel"]
        group["kernel"] = np.ones((3, 3, 1, 8), np.float32)
    yield content.getvalue()


def _read_keras_2(path: Path) -> None:
    from kerafer.checkpoints.keras_2 import read_keras_2

    read_keras_2(path)


TARGETS = {
    "weights.npz": Target("weights.npz", _weights, _read_weights, 0.04, "zip"),
    "card.json": Target("card.json", _named("card.json"), _read_bundle, 0.04, "json"),
    "golden.json": Target("golden.json", _named("golden.json"), _read_bundle, 0.03, "json"),
    ".tflite": Target("small_float32.tflite", _named(".tflite"), _read_tflite, 0.04),
    ".keras": Target("model.keras", _named(".keras"), _read_keras, 0.005, "zip"),
    "checkpoint.pth": Target("checkpoint.pth", _torch, _read_torch, 0.06, "zip"),
    "keras2.hdf5": Target("model.hdf5", _keras_2, _read_keras_2, 0.004),
    "info.tflite": Target("small.tflite", _named(".tflite"), _read_graph, 0.03),
}
