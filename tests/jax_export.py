"""Train a network of one's own by one step on the JAX backend, save it, and export it there: jax_export.py FOLDER."""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

import kerafer
from kerafer.loading import own_model

LABELS = ("smile", "frown", "neither")


def main(folder):
    """Leave own.keras, the bundle `bundle`, and inputs and outputs in own.npz."""
    assert keras.backend.backend() == "jax"
    keras.utils.set_random_seed(0)
    stack = [
        keras.Input((24, 24, 3), name="face"),
        layers.RandomFlip("horizontal"),
        layers.Conv2D(8, 3, strides=2),
        layers.BatchNormalization(),
        layers.Activation("gelu"),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ]
    model = keras.Sequential(stack, name="own")
    x = np.random.default_rng(0).random((6, 24, 24, 3)).astype(np.float32)
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    model.train_on_batch(x, np.arange(6) % 3)
    moved = max(np.abs(a - b).max() for a, b in zip(model.get_weights(), before, strict=True))
    assert moved > 1e-3, "nothing was trained"
    model.save(folder / "own.keras")
    kerafer.export(own_model(model, LABELS), folder / "bundle", recipes=("float32", "static_int8"))
    np.savez(folder / "own.npz", x=x, y=model.predict(x, verbose=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
