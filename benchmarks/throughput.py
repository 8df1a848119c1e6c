"""How fast FER2013 is read from csv, and how much the fused batch normalisation speeds up training.

python benchmarks/throughput.py --data fer2013:fer2013.csv
"""

from __future__ import annotations

import argparse
import statistics
import time

import keras
from common import write_result

import kerafer
from kerafer.data.pipeline import TrainingBatches
from kerafer.training.fused import with_fused_batch_norm


def main() -> None:
    """Measure both; the two trainings take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    start = time.perf_counter()
    data = kerafer.load_data(arguments.data, "train")
    reading = time.perf_counter() - start
    plain = kerafer.build_model("ean", classifier_activation=None)
    models = {"standard": plain, "fused": with_fused_batch_norm(plain)}
    batches = TrainingBatches(data, kerafer.model_spec("ean").preprocessing, 128, ("random_crop", "flip"), seed=0)
    rates: dict[str, list[float]] = {label: [] for label in models}
    for model in models.values():
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
        model.fit(batches.to_tf(0, 3), verbose=0)
    for _ in range(arguments.rounds):
        for label, model in models.items():
            start = time.perf_counter()
            model.fit(batches.to_tf(0, arguments.steps), verbose=0)
            rates[label].append(arguments.steps * 128 / (time.perf_counter() - start))
    medians = {label: statistics.median(values) for label, values in rates.items()}
    write_result(
        "throughput",
        {
            "data": data.name,
            "split": data.split,
            "seed": 0,
            "csv_seconds": round(reading, 2),
            "csv_images_kept": len(data),
            "training_images_per_second": {k: round(v) for k, v in medians.items()},
            "fused_to_standard": round(medians["fused"] / medians["standard"], 2),
        },
    )


if __name__ == "__main__":
    main()
