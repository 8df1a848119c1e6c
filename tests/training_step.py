"""One training step of every model on the backend of `KERAS_BACKEND`: python training_step.py MODEL... OUT.npz.

Run by `test_zoo.py` in a process of its own, since a process has one backend.
"""

import sys

import numpy as np
from parity import fill, pictures

import kerafer


def step(name, shape):
    """Return the loss of one step from fixed weights on a fixed batch, and by how much it changed each weight."""
    import keras

    keras.utils.set_random_seed(0)
    model = fill(kerafer.build_model(name, input_shape=shape, classifier_activation=None), calibrate=False)
    rng = np.random.default_rng(1)
    x, y = pictures(8, *shape), np.eye(7, dtype=np.float32)[rng.integers(7, size=8)]
    # JAX trains through XLA; TensorFlow as it does in kerafer.train, with its own kernels
    on_jax = keras.backend.backend() == "jax"
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=on_jax)
    before = flat(model)
    return np.float32(model.train_on_batch(x, y)), flat(model) - before


def flat(model):
    """Return all trainable weights as one vector."""
    return np.concatenate([np.array(w).ravel() for w in model.trainable_weights])


def main(*arguments):
    """Write loss and step of each model."""
    *models, out = arguments
    results = {}
    for given in models:
        name, _, side = given.partition(":")
        shape = (int(side), int(side), kerafer.model_spec(name).input_shape[2])
        results[f"{name}/loss"], results[f"{name}/step"] = step(name, shape)
    np.savez(out, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
