"""One host of a training on JAX, started by test_hosts.py: python host.py FOLDER (Keras's variables say which)."""

import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import kerafer
from kerafer.data.samples import synthetic
from kerafer.training import join_hosts, recipe

if __name__ == "__main__":
    number, count = join_hosts()
    # Trained weights: in an untrained network so many activations lie at a ReLU's kink that float rounding alone
    # decides between two gradients, on one host as on two.
    settings = recipe("cosine", epochs=2, warmup_epochs=0, average_epochs=0.5, learning_rate=0.01, batch_size=20)
    splits, folder = (synthetic(60), synthetic(33, seed=1, split="public")), Path(sys.argv[1])
    same = {"size": (32, 32), "weights": "fer2013", "verbose": 0}
    run = kerafer.train("ean", *splits, settings, folder / "hard", **same)
    shipped = kerafer.load_model("ean", weights="fer2013")
    soft = replace(settings, epochs=1, loss="kl", combo_weight=1.0)
    kerafer.train_with_distributions("ean", *splits, soft, folder / "soft", generator=shipped, **same)
    taught = replace(settings, epochs=1, loss="distillation")
    kerafer.distill("ean", *splits, taught, folder / "taught", teacher=shipped, rounds=1, **same)
    print(f"host {number} of {count}", run.record["result"]["last"])
