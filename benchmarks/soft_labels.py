"""Soft labels against hard ones on 3,000 images of FER2013's Training, measured on PublicTest, with several seeds.

python benchmarks/soft_labels.py --data fer2013:fer2013 --runs runs/soft-labels

`--data` must be read with FER+ votes (a folder of npz files that hold them, or `--votes fer2013new.csv`). Every method
trains EAN with the same steps, rate and augmentation; the last epoch's averaged weights are measured, so that nothing
is chosen on PublicTest. Each run resumes, and finished ones are not repeated.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import write_result

import kerafer
import kerafer.evaluation
from kerafer.data.dataset import FaceDataset
from kerafer.labels import LABELS_7
from kerafer.training import (
    Distributions,
    TrainingRecipe,
    TrainingRun,
    distributions_from_votes,
    generate_distributions,
    recipe,
    train,
)

IMAGES, SLICE_SEED = 3000, 0
RATE, DECAY = 0.1, 5e-4
# LabelDistributionLoss is the cross-entropy over the number of classes: a rate as many times as high (and a decay as
# many times lower) makes the very same steps.
SOFT = {"learning_rate": RATE * len(LABELS_7), "weight_decay": DECAY / len(LABELS_7), "loss": "label_distribution"}


def main() -> None:
    """Train all methods with all seeds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--votes", help="fer2013new.csv, where --data holds no votes")
    parser.add_argument("--runs", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="hard must be among them")
    arguments = parser.parse_args()
    votes = {"votes": arguments.votes} if arguments.votes else {}
    whole, public = (kerafer.load_data(arguments.data, split, **votes) for split in ("train", "public"))
    chosen = np.random.default_rng(SLICE_SEED).choice(len(whole), IMAGES, replace=False)
    data = whole.take(np.sort(chosen))
    watched = public.take(np.arange(256))  # what a run shows after each epoch; nothing is chosen by it
    base = recipe(
        "cosine", epochs=arguments.epochs, learning_rate=RATE, weight_decay=DECAY, label_smoothing=0.0, warmup_epochs=3
    )
    rows: dict[str, dict[str, Any]] = {}
    for name in arguments.methods:
        what, method = METHODS[name]
        accuracies, agreed = [], []
        for seed in range(arguments.seeds):
            run = method(data, watched, base, arguments.runs, seed)
            accuracies.append(kerafer.evaluate(kerafer.load_model(run.folder), public).accuracy)
            agreed.append(_against_votes(run, public))
            print(f"{name} seed {seed}: {accuracies[-1]:.4f}", flush=True)
        rows[name] = {"what": what, **_spread("accuracy", accuracies), **_spread("ferplus_accuracy", agreed)}
    hard = rows["hard"]
    for row in rows.values():
        row["better_by"] = round(row["accuracy_mean"] - hard["accuracy_mean"], 4)
        # outside the seeds' spread: the worst seed of one is above the best seed of the other
        row["outside_spread"] = min(row["accuracy"]) > max(hard["accuracy"])
        row["ferplus_outside_spread"] = min(row["ferplus_accuracy"]) > max(hard["ferplus_accuracy"])
    write_result(
        "soft_labels",
        {
            "model": "ean",
            "training": f"{IMAGES} images of FER2013 train, drawn with seed {SLICE_SEED}, "
            f"sha256 {data.checksum()[:16]}",
            "split": f"FER2013 public, {len(public)} images, one centre crop, last epoch",
            "slice_seed": SLICE_SEED,
            "seeds": list(range(arguments.seeds)),
            "recipe": base.to_dict(),
            "methods": rows,
        },
    )


def _hard(data: FaceDataset, watched: FaceDataset, base: TrainingRecipe, runs: Path, seed: int) -> TrainingRun:
    return train("ean", data, watched, base, runs / f"hard-{seed}", seed=seed, verbose=0)


def _votes(share: float) -> Callable[..., TrainingRun]:
    """Return training on a share of the votes and the rest of the hard label."""

    def method(data: FaceDataset, watched: FaceDataset, base: TrainingRecipe, runs: Path, seed: int) -> TrainingRun:
        votes = distributions_from_votes(data)
        hard = np.eye(len(data.class_names), dtype=np.float32)[data.labels]
        mixed = Distributions(
            share * votes.values + (1 - share) * hard, {**votes.source, "share": share, "rest": "hard labels"}
        )
        out = runs / f"votes-{share:g}-{seed}"
        return train("ean", data, watched, _changed(base, **SOFT), out, seed=seed, distributions=mixed, verbose=0)

    return method


def _generated(data: FaceDataset, watched: FaceDataset, base: TrainingRecipe, runs: Path, seed: int) -> TrainingRun:
    generator = kerafer.load_model(_hard(data, watched, base, runs, seed).folder)
    made = generate_distributions(generator, data, runs / "distributions")
    out = runs / f"generated-{seed}"
    return train("ean", data, watched, _changed(base, **SOFT), out, seed=seed, distributions=made, verbose=0)


def _distilled(data: FaceDataset, watched: FaceDataset, base: TrainingRecipe, runs: Path, seed: int) -> TrainingRun:
    teacher = kerafer.load_model(_hard(data, watched, base, runs, seed).folder)
    settings = _changed(base, loss="distillation", alpha=0.5, temperature=5.0)
    return train(
        "ean", data, watched, settings, runs / f"distilled-{seed}", seed=seed + 100, teacher=teacher, verbose=0
    )


METHODS: dict[str, tuple[str, Callable[..., TrainingRun]]] = {
    "hard": ("FER2013's own labels", _hard),
    "votes": ("FER+ votes as distributions", _votes(1.0)),
    "generated": ("distributions of the EAN that `hard` trained on these images", _generated),
    "distilled": ("one round of EAN's transfer from that EAN, alpha 0.5, T 5", _distilled),
    "votes_half": ("half FER+ votes, half FER2013's label", _votes(0.5)),
}


def _changed(base: TrainingRecipe, **changes: Any) -> TrainingRecipe:
    own = {"epochs": base.epochs, "learning_rate": base.learning_rate, "weight_decay": base.weight_decay}
    return recipe("cosine", **{**own, "label_smoothing": 0.0, "warmup_epochs": base.warmup_epochs, **changes})


def _against_votes(run: TrainingRun, public: FaceDataset) -> float:
    """Return the accuracy where the most votes are the label, over images with such a winner."""
    wanted = distributions_from_votes(public).values
    best = np.sort(wanted, axis=1)
    clear = best[:, -1] > best[:, -2]
    loaded = kerafer.load_model(run.folder)
    predicted = kerafer.evaluation.predict_dataset(loaded, public).argmax(axis=1)
    return float((predicted == wanted.argmax(axis=1))[clear].mean())


def _spread(name: str, values: list[float]) -> dict[str, Any]:
    return {
        name: [round(v, 4) for v in values],
        f"{name}_mean": round(statistics.mean(values), 4),
        f"{name}_deviation": round(statistics.stdev(values), 4) if len(values) > 1 else None,
    }


if __name__ == "__main__":
    main()
