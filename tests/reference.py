"""Layers in plain numpy, float64, for tests to compose what a block must compute."""

import numpy as np


def padded(x, pad):
    """Return x with zeros around its map."""
    return np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))


def windows(x, size, strides=1, dilation=1):
    """Return (n, rows, columns, channels, size, size) of a map's windows."""
    span = dilation * (size - 1) + 1
    found = np.lib.stride_tricks.sliding_window_view(x, (span, span), axis=(1, 2))
    return found[:, ::strides, ::strides, :, ::dilation, ::dilation]


def conv(x, kernel, *, strides=1, pad=0, dilation=1, bias=0.0):
    """Convolve with a (size, size, inputs, outputs) kernel."""
    return np.einsum("nrcihw,hwio->nrco", windows(padded(x, pad), kernel.shape[0], strides, dilation), kernel) + bias


def depthwise(x, kernel, *, strides=1, pad=0, bias=0.0):
    """Convolve each channel with its own (size, size, channels, multiplier) kernels; outputs side by side."""
    made = np.einsum("nrcihw,hwim->nrcim", windows(padded(x, pad), kernel.shape[0], strides), kernel)
    return made.reshape(*made.shape[:3], -1) + bias


def batch_norm(x, layer):
    """Normalise as a layer's weights and statistics say."""
    gamma, beta, mean, variance = (w.astype(np.float64) for w in layer.get_weights())
    return (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def relu(x):
    """Return max(x, 0)."""
    return np.maximum(x, 0.0)


def sigmoid(x):
    """Return 1 / (1 + e^-x)."""
    return 1.0 / (1.0 + np.exp(-x))


def mish(x):
    """Return x tanh(ln(1 + e^x))."""
    return x * np.tanh(np.logaddexp(0.0, x))


def shuffled(x, groups=2):
    """Interleave the channels of groups."""
    return x.reshape(*x.shape[:3], groups, -1).swapaxes(-1, -2).reshape(x.shape)


class Weights:
    """A model's layers by name: `weights("stem")` is the kernel of a layer, or its kernel and bias."""

    def __init__(self, model):
        self.model = model

    def __call__(self, name):
        values = [w.astype(np.float64) for w in self.model.get_layer(name).get_weights()]
        return values[0] if len(values) == 1 else values

    def conv_bn(self, x, name, **how):
        """Return what `conv_bn` or `depthwise_bn` of a name computes, without activation."""
        kind = type(self.model.get_layer(f"{name}_conv")).__name__
        function = depthwise if kind == "DepthwiseConv2D" else conv
        return self.bn(function(x, self(f"{name}_conv"), **how), name)

    def bn(self, x, name):
        """Normalise as the batch normalisation of a name does."""
        return batch_norm(x, self.model.get_layer(f"{name}_bn"))
