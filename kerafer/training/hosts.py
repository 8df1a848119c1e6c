"""Several hosts train one model: Keras on JAX, each host making its part of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras

VARIABLE = "KERAS_DISTRIBUTION_JOB_ADDRESSES"


def join_hosts() -> tuple[int, int]:
    """Join the other hosts of a training, before anything is computed or built.

    Start the same command on every host, with Keras's own variables: `KERAS_BACKEND=jax`,
    `KERAS_DISTRIBUTION_JOB_ADDRESSES` (address and port of the first host), `KERAS_DISTRIBUTION_NUM_PROCESSES` and
    `KERAS_DISTRIBUTION_PROCESS_ID` (0, 1, ...). The run's folder must be one that all hosts see; the first one writes.
    Gradients and batch statistics are those of the whole batch, so the result is that of one host, to rounding.

    Returns:
        (number of this host, number of hosts); (0, 1) where the variables are not set.

    Raises:
        ValueError: if the backend is not JAX.

    Example:
        >>> join_hosts()
        (0, 1)
    """
    if not os.environ.get(VARIABLE):
        return part()
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"Training on several hosts needs the JAX backend: set KERAS_BACKEND=jax. Received: backend="
            f"{keras.backend.backend()!r} with {VARIABLE} set"
        )
    if keras.distribution.distribution() is None:
        keras.distribution.initialize()
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return part()


def part() -> tuple[int, int]:
    """Return (number of this host, number of hosts)."""
    if keras.backend.backend() != "jax" or keras.distribution.distribution() is None:
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


@contextmanager
def alone() -> Iterator[None]:
    """Let each host compute by itself for the block's length, on models that are built within it."""
    shared = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(shared)
