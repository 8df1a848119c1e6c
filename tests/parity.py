"""Weights and inputs by name, so that two builds compare without sharing files (float64, PyTorch names)."""

import zlib

import numpy as np

from kerafer.verification import stand_ins


def det(name, shape):
    """Return the weight of a PyTorch state_dict name, in PyTorch's layout."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        return rng.uniform(0.5, 1.5, shape)
    if last == "running_mean":
        return rng.standard_normal(shape) * 0.1
    if len(shape) == 1 and last == "weight":  # gamma of a batch normalisation
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) == 1:  # any bias, beta of a batch normalisation
        return rng.standard_normal(shape) * 0.1
    return rng.standard_normal(shape) * np.sqrt(1.0 / np.prod(shape[1:]))


def detx(n, height, width, channels, seed=0):
    """Return an input batch."""
    return np.random.default_rng(seed).standard_normal((n, height, width, channels))


def fill(model, seed=0, calibrate=True):
    """Give a model weights under which every layer matters; with `calibrate`, with the statistics of pictures."""
    return stand_ins.fill(model, seed, pictures(8, *model.input_shape[1:]) if calibrate else None)


def pictures(n, height, width, channels):
    """Return pictures that differ in more than noise: waves of several lengths, brightnesses and contrasts."""
    rng = np.random.default_rng(1)
    rows, columns = np.arange(height)[:, None, None], np.arange(width)[:, None]
    x = []
    for i in range(n):
        slopes = rng.uniform(0.1, 1.0, (2, channels))
        waves = np.sin(rows * slopes[0] + columns * slopes[1])
        x.append(0.2 + 0.6 * i / n + 0.15 * waves + 0.1 * rng.random((height, width, channels)))
    return np.stack(x).astype(np.float32)
