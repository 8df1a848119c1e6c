"""Keras 2's `.hdf5` files: their arrays, and mini-Xception's into LCNN."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.files import read_npz

if TYPE_CHECKING:
    import keras

READER = Path(__file__).with_name("keras_2_process.py")  # by its path: `-m` would load this package, and TensorFlow
LONGEST = 60
"""Seconds that reading may take; a whole file takes a second."""


def load_mini_xception(model: keras.Model, path: str | Path) -> keras.Model:
    """Put the weights of a Keras 2 mini-Xception `.hdf5` file, such as `fer` ships, into LCNN.

    Keras 2 numbered layers in the order of their creation, in which a block's shortcut comes before its separable
    convolutions; the file's own layer list is in another order.

    Args:
        model: `lcnn` with one input channel; unchanged if anything does not fit.
        path: the file.

    Returns:
        The same model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds another network.
    """
    layers = read_keras_2(path)["layers"]
    targets = {"conv2d": ["stem1_conv", "stem2_conv"], "batch_normalization": ["stem1_bn", "stem2_bn"]}
    targets["separable_conv2d"] = []
    for block in range(1, 5):
        targets["conv2d"].append(f"block{block}_shortcut_conv")
        targets["batch_normalization"] += [
            f"block{block}_shortcut_bn",
            f"block{block}_separable1_bn",
            f"block{block}_separable2_bn",
        ]
        targets["separable_conv2d"] += [f"block{block}_separable1", f"block{block}_separable2"]
    targets["conv2d"].append("tail_conv")
    found = {kind: len(layers.get(kind, ())) for kind in targets}
    if found != {kind: len(names) for kind, names in targets.items()}:
        raise ValueError(
            f"{path} must hold mini-Xception: 7 conv2d, 14 batch_normalization, 8 separable_conv2d layers. "
            f"Received: {found}"
        )
    values: list[tuple[str, list[np.ndarray]]] = []
    for kind, names in targets.items():
        for name, arrays in zip(names, layers[kind], strict=True):
            if kind == "separable_conv2d":
                values += [(f"{name}_depthwise", arrays[:1]), (f"{name}_pointwise", arrays[1:])]
            else:
                values.append((name, arrays))
    for name, arrays in values:
        expected = [tuple(w.shape) for w in model.get_layer(name).weights]
        if [a.shape for a in arrays] != expected:
            raise ValueError(
                f"{path}: the arrays for {name} must have the shapes {expected}. Received: {[a.shape for a in arrays]}"
            )
    for name, arrays in values:
        model.get_layer(name).set_weights(arrays)
    return model


def read_keras_2(path: str | Path) -> dict[str, Any]:
    """Return a Keras 2 file's arrays, by kind of layer and in order of creation, and its input shape.

    It is read in a process of its own, which takes a second: some damaged files keep libhdf5 busy for ever.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    refused = f"{path} is not a whole Keras 2 model file (.h5, .hdf5)"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "arrays.npz"
        try:
            ran = subprocess.run(
                [sys.executable, "-P", READER, Path(path).resolve(), out],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                timeout=LONGEST,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"{refused}: reading it did not end within {LONGEST} seconds.") from error
        if ran.returncode:
            raise ValueError(f"{refused}: {ran.stdout.strip() or f'reading it ended with {ran.returncode}'}")
        arrays = read_npz(out)
    shape = arrays.pop("input_shape").tolist()
    numbered: dict[str, dict[int, dict[int, np.ndarray]]] = {}
    for name, array in arrays.items():
        kind, number, place = name.split("/")
        numbered.setdefault(kind, {}).setdefault(int(number), {})[int(place)] = array
    layers = {kind: [[by[i][j] for j in sorted(by[i])] for i in sorted(by)] for kind, by in numbered.items()}
    return {"layers": layers, "input_shape": shape}
