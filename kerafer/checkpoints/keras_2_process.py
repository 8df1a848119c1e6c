"""A process that reads a Keras 2 file, so that one whose damage keeps libhdf5 busy for ever can be given up.

python kerafer/checkpoints/keras_2_process.py FILE OUT.npz
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.files import DAMAGE


def main(source: str, out: str) -> int:
    """Write the file's arrays as `KIND/NUMBER/PLACE`, and its `input_shape`; or say what is wrong with it."""
    try:
        arrays = _arrays(Path(source))
    except (*DAMAGE, StopIteration) as error:
        print(repr(error))
        return 1
    np.savez(out, **arrays)
    return 0


def _arrays(path: Path) -> dict[str, Any]:
    import h5py

    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        config = file.attrs["model_config"]
        config = json.loads(config if isinstance(config, str) else config.decode())
        for name, group in file["model_weights"].items():
            order = [n if isinstance(n, str) else n.decode() for n in group.attrs["weight_names"]]
            match = re.fullmatch(r"(\w+?)_(\d+)", name)
            if match:
                found |= {f"{match[1]}/{match[2]}/{i}": np.asarray(group[n], "f4") for i, n in enumerate(order)}
    shape = next(
        layer["config"]["batch_input_shape"]
        for layer in config["config"]["layers"]
        if "batch_input_shape" in layer["config"]
    )
    return {**found, "input_shape": np.array(shape[1:], "i8")}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
