"""Train a small network on JAX by batches, on the device, and there once more after a stop: device_training.py FOLDER.

Run by `test_on_device.py` in a process of its own, since a process has one backend. The device is the CPU here, for
which `kerafer.train` would not choose this way by itself. The small network stands for the zoo's, which XLA compiles
for minutes on a CPU.
"""

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import jax
import keras
import numpy as np

import kerafer
from kerafer.data.samples import synthetic
from kerafer.training import callbacks, loop, recipe
from kerafer.training.distributions import Distributions
from kerafer.training.on_device import suits

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


def refused():
    """Check that what cannot stay on a device does not go there."""
    settings = recipe("cosine", **SETTINGS)
    colour = replace(PUBLIC, images=np.repeat(PUBLIC.images[..., None], 3, axis=-1))
    on_disk = replace(DATA, images=mock.Mock(is_gray=True))
    batches = mock.Mock(data=DATA, part=(0, 1))
    assert suits(batches, PUBLIC, settings)
    for field, value in (("cycle", 0), ("mixup", 0.2), ("schedule", "plateau"), ("dtype_policy", "mixed_float16")):
        assert not suits(batches, PUBLIC, replace(settings, **{field: value}))
    assert not suits(batches, colour, settings)
    assert not suits(mock.Mock(data=on_disk, part=(0, 1)), PUBLIC, settings)
    assert not suits(mock.Mock(data=DATA, part=(0, 2)), PUBLIC, settings)


def main(folder, stack):
    """Train three times; in the last one each training is killed once, when it has first written its state."""
    patch = mock.patch.object
    stack.enter_context(patch(loop, "build_model", small))
    made = stack.enter_context(patch(loop, "DeviceTraining", wraps=loop.DeviceTraining))
    trainings(folder / "by_batches")
    assert made.call_count == 0
    stack.enter_context(patch(jax, "default_backend", return_value="gpu"))
    refused()
    trainings(folder / "on_device")
    assert made.call_count == 3

    write, stopped = callbacks.ResumableState.write, set()

    def write_and_stop(state):
        write(state)
        if state.folder not in stopped:
            stopped.add(state.folder)
            raise StoppedError

    stack.enter_context(patch(callbacks.ResumableState, "write", write_and_stop))
    for _ in range(3):
        with contextlib.suppress(StoppedError):
            trainings(folder / "stopped")
    trainings(folder / "stopped")
    assert len(stopped) == 3


if __name__ == "__main__":
    with contextlib.ExitStack() as patches:
        main(Path(sys.argv[1]), patches)
