"""Parameters and operations of a model, layer by layer, under the rulers that the papers used.

The four papers counted with different tools, so their FLOPs must never stand in one column. A ruler here is a set of
prices for what each kind of layer does; the prices were found by reproducing the papers' own figures to the digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Ruler:
    """How a counting tool prices layers.

    Args:
        description: the tool and who used it.
        per_mac: operations of one multiply-accumulate of a convolution.
        first_add_free: True where the first addition of each output is not counted (2K - 1 instead of 2K).
        bias: operations per output element of a convolution with bias.
        batch_norm: operations per element of a batch normalisation.
        dense: whether fully connected layers count.
        row_convolutions: whether one-dimensional convolutions (the channel attention's) count.
    """

    description: str
    per_mac: int = 1
    first_add_free: bool = False
    bias: int = 1
    batch_norm: int = 2
    dense: bool = True
    row_convolutions: bool = False


RULERS: dict[str, Ruler] = {
    "macs": Ruler("multiply-accumulates of convolutions and dense layers", bias=0, batch_norm=0, row_convolutions=True),
    "torchstat": Ruler("torchstat 0.0.7 with functional activations: MACs + 2 per normalised element (EAN)"),
    "thop": Ruler("thop 0.0.31: MACs + 2 per normalised element (EfficientFace)"),
    "conv_ops": Ruler(
        "convolutions only, 2K - 1 per output (LFER-LDL)", per_mac=2, first_add_free=True, batch_norm=0, dense=False
    ),
}


@dataclass(frozen=True)
class LayerProfile:
    """One layer: its name, kind, output shape without the batch axis, parameters, and what a ruler needs."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    outputs: int
    has_bias: bool
    is_row_convolution: bool

    def flops(self, ruler: Ruler) -> int:
        """Return the layer's operations under a ruler."""
        if self.kind == "BatchNormalization":
            return ruler.batch_norm * self.outputs
        if not self.macs or (self.kind == "Dense" and not ruler.dense):
            return 0
        if self.is_row_convolution and not ruler.row_convolutions:
            return 0
        first = self.outputs if ruler.first_add_free else 0
        return ruler.per_mac * self.macs - first + (ruler.bias * self.outputs if self.has_bias else 0)


@dataclass(frozen=True)
class Profile:
    """What `profile` measured: totals and the layers."""

    model: str
    input_shape: tuple[int, ...]
    trainable_parameters: int
    total_parameters: int
    flops: Mapping[str, int]
    layers: tuple[LayerProfile, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def profile(model: keras.Model) -> Profile:
    """Count the parameters and operations of a functional model at its own input size, batch size 1.

    Args:
        model: a functional model with a static input shape.

    Returns:
        Totals under every ruler, and one entry per layer.

    Raises:
        ValueError: if the input shape is not static.

    Example:
        >>> import kerafer
        >>> kerafer.profile(kerafer.build_model("ean")).flops["torchstat"]
        5054158
    """
    if None in model.input_shape[1:]:
        raise ValueError(f"`model` needs a static input shape to be counted. Received: {model.input_shape}")
    rows = tuple(_layer(layer) for layer in model.layers)
    return Profile(
        model=model.name,
        input_shape=tuple(model.input_shape[1:]),
        trainable_parameters=sum(prod(w.shape) for w in model.trainable_weights),
        total_parameters=model.count_params(),
        flops={name: sum(row.flops(ruler) for row in rows) for name, ruler in RULERS.items()},
        layers=rows,
    )


def _layer(layer: keras.Layer) -> LayerProfile:
    kind = type(layer).__name__
    output = tuple(layer.output.shape[1:])
    macs = _macs(layer, kind, output)
    return LayerProfile(
        name=layer.name,
        kind=kind,
        output_shape=output,
        parameters=sum(prod(w.shape) for w in layer.trainable_weights),
        macs=macs,
        outputs=prod(output),
        has_bias=bool(macs) and layer.use_bias,
        # A Conv2D that slides one channel along a map of height 1 is a Conv1D in Conv2D's clothes (layers.eca).
        is_row_convolution=kind == "Conv2D" and output[0] == 1 and layer.kernel_size[0] == 1 and output[-1] == 1,
    )


def _macs(layer: keras.Layer, kind: str, output: tuple[int, ...]) -> int:
    if kind == "Conv2D":
        kernel_height, kernel_width, channels_per_group, _ = layer.kernel.shape
        return kernel_height * kernel_width * channels_per_group * prod(output)
    if kind == "DepthwiseConv2D":
        return prod(layer.kernel_size) * prod(output)
    if kind == "SeparableConv2D":
        channels = layer.depthwise_kernel.shape[2] * layer.depth_multiplier
        positions = prod(output[:2])
        return positions * channels * (prod(layer.kernel_size) + layer.filters)
    if kind == "Dense":
        return layer.kernel.shape[0] * prod(output)
    return 0
