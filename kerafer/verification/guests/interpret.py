"""Run `.tflite` files on whichever interpreter is installed here: LiteRT's, or TensorFlow Lite's of old.

Runs in another Python than kerafer's, perhaps an emulated one, so it imports nothing of kerafer's and keeps to what
old versions of Python and numpy have. Every job's result is on disk before the next one starts, so a crash costs one.

    python interpret.py FOLDER

FOLDER holds `jobs.json`,

    {"seconds": 60, "jobs": [{"name": "0", "model": "/path/a.tflite"}]}

and for every job `NAME.inputs.npy`, (n, height, width, channels) float32. For
each the script makes `NAME.started`, then `NAME.outputs.npy`, (n, classes) in the file's own type, and last
`NAME.json` with `runtime`, `scale` and `zero` of the outputs (scale 0: not quantized), and `error`, the runtime's words
where it does not take the file.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from importlib import metadata

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter

    RUNTIME = "ai-edge-litert"
except ImportError:
    from tflite_runtime.interpreter import Interpreter

    RUNTIME = "tflite-runtime"


def interpret(model: str, inputs: np.ndarray) -> tuple[np.ndarray, float, int]:
    """Return a file's outputs in its own type, with their scale and zero point.

    Args:
        model: the file.
        inputs: (n, height, width, channels) float32; a quantized file gets them by its own scale and zero point.

    Raises:
        ValueError: if the runtime does not take the file, or it does not take pictures and give vectors.
        RuntimeError: if the runtime cannot prepare or run it.
    """
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details(), interpreter.get_output_details()
    if len(given) != 1 or len(made) != 1 or len(made[0]["shape"]) != 2:
        raise ValueError("it must take one tensor and give one (1, classes)")
    kind, (scale, zero) = given[0]["dtype"], given[0]["quantization"]
    if kind != np.float32:
        limits = np.iinfo(kind)
        inputs = np.clip(np.rint(inputs / np.float32(scale)) + zero, limits.min, limits.max).astype(kind)
    rows = np.empty((len(inputs), made[0]["shape"][1]), made[0]["dtype"])
    for i in range(len(inputs)):
        interpreter.set_tensor(given[0]["index"], inputs[i : i + 1])
        interpreter.invoke()
        rows[i] = interpreter.get_tensor(made[0]["index"])[0]
    return rows, float(made[0]["quantization"][0]), int(made[0]["quantization"][1])


def main(folder: str) -> int:
    """Run every job of a folder."""
    with open(os.path.join(folder, "jobs.json"), encoding="utf-8") as file:
        order = json.load(file)
    runtime = f"{RUNTIME} {metadata.version(RUNTIME)} on {platform.machine()}"
    for job in order["jobs"]:
        stem = os.path.join(folder, job["name"])
        with open(stem + ".started", "wb"):
            pass
        # a runtime that hangs in its own code is ended by the system: Python could not
        signal.alarm(order["seconds"])
        result = {"runtime": runtime, "scale": 0.0, "zero": 0, "error": ""}
        try:
            inputs = np.load(stem + ".inputs.npy", allow_pickle=False)
            outputs, result["scale"], result["zero"] = interpret(job["model"], inputs)
            np.save(stem + ".outputs.npy", outputs, allow_pickle=False)
        except (ValueError, RuntimeError) as error:
            result["error"] = str(error) or type(error).__name__
        signal.alarm(0)
        with open(stem + ".part", "w", encoding="utf-8") as file:
            json.dump(result, file)
        os.replace(stem + ".part", stem + ".json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
