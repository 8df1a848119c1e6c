"""One host of a training on JAX, started by test_hosts.py: python host.py FOLDER (Keras's variables say which)."""

import sys

import kerafer
from kerafer.data.samples import synthetic
from kerafer.training import join_hosts, recipe

if __name__ == "__main__":
    number, count = join_hosts()
    # Trained weights: in an untrained network so many activations lie at a ReLU's kink that float rounding alone
    # decides between two gradients, on one host as on two.
    settings = recipe("lfer_rafdb", epochs=2, batch_size=20, mixup=0.2)
    run = kerafer.train_with_distributions(
        "ean",
        synthetic(60),
        synthetic(33, seed=1, split="public"),
        settings,
        sys.argv[1],
        generator=kerafer.load_model("ean", weights="fer2013"),
        size=(32, 32),
        weights="fer2013",
        verbose=0,
    )
    print(f"host {number} of {count}", run.student.record["result"]["last"])
