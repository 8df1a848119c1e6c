"""What it brings to let TensorFlow's XLA fuse all but convolutions when a model trains on a CPU: results/fusing.json.

python benchmarks/fusing.py [--models ean lcnn efficientface lfer] [--size 64]

Each model trains on one thread, with XLA's variable and without it, in processes of their own that take turns; pictures
are random numbers, since only the time is measured. XLA compiles first, which is not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import write_result

VARIABLE = "TF_XLA_FLAGS"
FUSING = "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit=true --tf_xla_ops_to_cluster=FUSIBLE"
BATCH, STEPS, WARM_UP = 64, 6, 2
ONE_THREAD = {f"{name}_THREADS": "1" for name in ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")}


def main() -> None:
    """Measure, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["ean", "lcnn", "efficientface", "lfer"])
    parser.add_argument("--size", type=int, default=64, help="of the networks that papers gave 224 pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=2, metavar=("MODEL", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(rate(arguments.worker[0], int(arguments.worker[1])))
        return
    rows = [measured(name, arguments.size, arguments.rounds) for name in arguments.models]
    write_result("fusing", {"variable": VARIABLE, "value": FUSING, "batch": BATCH, "threads": 1, "models": rows})


def measured(name: str, size: int, rounds: int) -> dict[str, object]:
    """Return images a second of a model, with and without, and their ratio."""
    import kerafer

    size = min(size, kerafer.model_spec(name).input_shape[0])
    found: dict[str, list[float]] = {"plain": [], "fused": []}
    for number in range(rounds):
        for kind in sorted(found, reverse=bool(number % 2)):
            environment = {**os.environ, **ONE_THREAD, **({VARIABLE: FUSING} if kind == "fused" else {})}
            command = [sys.executable, str(Path(__file__).resolve()), "--worker", name, str(size)]
            ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            found[kind].append(float(ran.stdout.split()[-1]))
            print(f"{name} at {size}, {kind}: {found[kind][-1]:.0f} images/s", flush=True)
    ratio = statistics.median(f / p for f, p in zip(found["fused"], found["plain"], strict=True))
    medians = {f"{kind}_images_per_second": round(statistics.median(rates)) for kind, rates in found.items()}
    return {"model": name, "size": size, **medians, "ratio": round(ratio, 2), "rounds": rounds}


def rate(name: str, size: int) -> float:
    """Return images a second of a training in this process."""
    import keras
    import numpy as np

    import kerafer
    from kerafer.training.fused import with_fused_batch_norm

    channels, classes = kerafer.model_spec(name).input_shape[2], 7
    plain = kerafer.build_model(name, input_shape=(size, size, channels), classes=classes, classifier_activation=None)
    model = with_fused_batch_norm(plain)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    random = np.random.default_rng(0)
    x = random.random((BATCH, size, size, channels), np.float32)
    y = random.integers(0, classes, BATCH)
    for _ in range(WARM_UP):
        model.train_on_batch(x, y)
    start = time.perf_counter()
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    return STEPS * BATCH / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
