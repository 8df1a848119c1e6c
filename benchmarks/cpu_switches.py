"""What TensorFlow's switches for CPUs bring when a model trains on one thread: results/cpu_switches.json.

python benchmarks/cpu_switches.py [--models ean lcnn efficientface lfer] [--size 64] [--rounds 3]

oneDNN's kernels are off by default on processors without AVX-512; XLA can fuse all but convolutions. Each model trains
with neither, with each and with both, in processes of their own that take turns; pictures are random numbers, since
only the time is measured. XLA compiles first, which is not counted.
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

FUSING = {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit=true --tf_xla_ops_to_cluster=FUSIBLE"}
SWITCHES: dict[str, dict[str, str]] = {
    "neither": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "onednn": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "fusing": {"TF_ENABLE_ONEDNN_OPTS": "0", **FUSING},
    "both": {"TF_ENABLE_ONEDNN_OPTS": "1", **FUSING},
}
FEATURES = ("avx2", "avx512f", "avx512_vnni", "amx_tile")
BATCH, STEPS, WARM_UP, SEED = 64, 6, 2, 0
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
    common = {"batch": BATCH, "seed": SEED, "threads": 1, "rounds": arguments.rounds, "processor": processor()}
    write_result("cpu_switches", {**common, "switches": SWITCHES, "models": rows})


def processor() -> list[str]:
    """Return which of the instruction sets that matter here this processor has."""
    found = Path("/proc/cpuinfo").read_text(encoding="utf-8").split() if Path("/proc/cpuinfo").exists() else []
    return [feature for feature in FEATURES if feature in found]


def measured(name: str, size: int, rounds: int) -> dict[str, object]:
    """Return images a second of a model with each setting, and the ratio of each to neither switch."""
    import kerafer

    size = min(size, kerafer.model_spec(name).input_shape[0])
    found: dict[str, list[float]] = {setting: [] for setting in SWITCHES}
    for number in range(rounds):
        for setting in sorted(found, reverse=bool(number % 2)):
            environment = {**os.environ, **ONE_THREAD, "TF_XLA_FLAGS": "", **SWITCHES[setting]}
            command = [sys.executable, str(Path(__file__).resolve()), "--worker", name, str(size)]
            ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            found[setting].append(float(ran.stdout.split()[-1]))
            print(f"{name} at {size}, {setting}: {found[setting][-1]:.0f} images/s", flush=True)
    ratios = {
        setting: round(statistics.median(one / base for one, base in zip(rates, found["neither"], strict=True)), 2)
        for setting, rates in found.items()
    }
    medians = {setting: round(statistics.median(rates)) for setting, rates in found.items()}
    return {"model": name, "size": size, "images_per_second": medians, "ratio_to_neither": ratios}


def rate(name: str, size: int) -> float:
    """Return images a second of a training in this process."""
    import keras
    import numpy as np

    import kerafer
    from kerafer.training.quick_layers import with_quick_layers

    channels, classes = kerafer.model_spec(name).input_shape[2], 7
    plain = kerafer.build_model(name, input_shape=(size, size, channels), classes=classes, classifier_activation=None)
    model = with_quick_layers(plain)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    random = np.random.default_rng(SEED)
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
