"""Train a small network on JAX by batches, on the device, and there once more after a stop: device_training.py FOLDER.

Run by `test_on_device.py` in a process of its own, since a process has one backend. The device is the CPU here, for
which `kerafer.train` would not choose this way by itself. The small network stands for the zoo's, which XLA compiles
for minutes on a CPU.
"""

import contextlib
import sys
from pathlib import Path

import keras

import kerafer
from kerafer.data.samples import synthetic
from kerafer.training import callbacks, loop, recipe
from kerafer.training.distributions import Distributions

# two batches an epoch, images left over, and a cycle that ends within the training
SETTINGS = {"epochs": 3, "batch_size": 16, "warmup_epochs": 1, "cycle": 2, "average_epochs": 1.0, "label_smoothing": 0}
DATA, PUBLIC = synthetic(38), synthetic(21, seed=1)


class StoppedError(Exception):
    """What stands for a killed process."""


def small(name, input_shape, classes, classifier_activation="softmax", weights=None):
    """Build a network with all that training treats apart: normalisation and a regulariser."""
    inputs = keras.Input(input_shape, name="image")
    x = keras.layers.Conv2D(8, 3, strides=4, use_bias=False, kernel_regularizer="l2", name="stem_conv")(inputs)
    x = keras.layers.ReLU(name="stem_relu")(keras.layers.BatchNormalization(name="stem_bn")(x))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = keras.layers.Dense(classes, activation=classifier_activation, name="logits")(x)
    return keras.Model(inputs, outputs, name=name)


def trainings(folder):
    """Train by a teacher, by distributions in half precision, and by hard labels without averaged weights."""
    soft = 0.9 * (DATA.labels[:, None] == range(7)).astype("float32") + 0.1 / 7
    votes = Distributions(soft, {"made": "by hand"})
    teacher = kerafer.load_model("ean", weights="fer2013")
    for name, changes, given in (
        ("taught", {"loss": "distillation", "temperature": 2.0}, {"teacher": teacher}),
        ("soft", {"loss": "kl", "augmentation": (), "dtype_policy": "mixed_bfloat16"}, {"distributions": votes}),
        ("hard", {"average_epochs": None}, {}),
    ):
        settings = recipe("cosine", **{**SETTINGS, **changes})
        model = "lcnn" if name == "hard" else "ean"  # LCNN sees one channel
        kerafer.train(model, DATA, PUBLIC, settings, folder / name, seed=3, verbose=0, **given)


def main(folder):
    """Train three times; in the last one each training is killed once, when it has first written its state."""
    loop.build_model = small
    trainings(folder / "by_batches")
    loop.suits = lambda batches, settings: True
    trainings(folder / "on_device")

    write, stopped = callbacks.ResumableState.write, set()

    def write_and_stop(state):
        write(state)
        if state.folder not in stopped:
            stopped.add(state.folder)
            raise StoppedError

    callbacks.ResumableState.write = write_and_stop
    for _ in range(3):
        with contextlib.suppress(StoppedError):
            trainings(folder / "stopped")
    trainings(folder / "stopped")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
