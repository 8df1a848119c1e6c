"""Keras 2's `.hdf5` files: their arrays, and mini-Xception's into LCNN."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.files import DAMAGE

if TYPE_CHECKING:
    import keras


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
    """Return a Keras 2 file's arrays, by kind of layer and in order of creation, and its input shape."""
    import h5py

    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with h5py.File(path, "r") as file:
            config = file.attrs["model_config"]
            config = json.loads(config if isinstance(config, str) else config.decode())
            numbered: dict[str, dict[int, list[np.ndarray]]] = {}
            for name, group in file["model_weights"].items():
                order = [n if isinstance(n, str) else n.decode() for n in group.attrs["weight_names"]]
                match = re.fullmatch(r"(\w+?)_(\d+)", name)
                if order and match:
                    numbered.setdefault(match[1], {})[int(match[2])] = [np.asarray(group[n]) for n in order]
        shape = next(
            layer["config"]["batch_input_shape"]
            for layer in config["config"]["layers"]
            if "batch_input_shape" in layer["config"]
        )
    except (*DAMAGE, StopIteration) as error:
        raise ValueError(f"{path} is not a whole Keras 2 model file (.h5, .hdf5): {error!r}") from error
    return {"layers": {kind: [by[i] for i in sorted(by)] for kind, by in numbered.items()}, "input_shape": shape[1:]}
