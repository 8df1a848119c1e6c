"""Weights and inputs by name, so that two builds compare without sharing files (float64, PyTorch names)."""

import zlib

import numpy as np


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


def set_batch_norm(layer, name):
    """Fill a BatchNormalization layer."""
    shape = tuple(layer.gamma.shape)
    parts = ("weight", "bias", "running_mean", "running_var")
    layer.set_weights([det(f"{name}.{part}", shape) for part in parts])


def set_conv(layer, name):
    """Fill a Conv2D from (out, in, height, width), or a DepthwiseConv2D from (channels * multiplier, 1, h, w)."""
    height, width, inputs, outputs = layer.kernel.shape
    if type(layer).__name__ == "DepthwiseConv2D":
        torch = det(f"{name}.weight", (inputs * outputs, 1, height, width))
        kernel = torch.reshape(inputs, outputs, height, width).transpose(2, 3, 0, 1)
    else:
        kernel = det(f"{name}.weight", (outputs, inputs, height, width)).transpose(2, 3, 1, 0)
    layer.set_weights([kernel])
