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


def fill(model, seed=0, calibrate=True):
    """Give a model random weights under which every layer matters and every picture has logits of its own.

    With `calibrate` the moving statistics are those of a random batch, as after training; otherwise random too.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        values = []
        for weight in layer.weights:
            shape, name = tuple(weight.shape), weight.name
            if name == "gamma":  # below 1 on average, so that a deep network does not magnify rounding
                value = rng.uniform(0.3, 1.0, shape)
            elif name == "moving_variance":
                value = rng.uniform(0.5, 1.5, shape)
            elif len(shape) == 1:  # bias, beta, moving mean
                value = rng.standard_normal(shape) * 0.1
            else:
                fan_in = np.prod(shape[:2] if "depthwise" in type(layer).__name__.lower() else shape[:-1])
                value = rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)
            values.append(value)
        if values:
            layer.set_weights(values)
    if calibrate:
        norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
        momenta = [layer.momentum for layer in norms]
        for layer in norms:
            layer.momentum = 0.0
        model(pictures(8, *model.input_shape[1:]), training=True)
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
            # a channel that hardly varies around its mean in so few pictures would magnify rounding
            _, _, mean, variance = layer.get_weights()
            layer.moving_variance.assign(np.maximum(variance, 0.1 + mean**2))
    return model


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
