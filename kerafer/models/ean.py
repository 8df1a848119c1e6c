"""EAN: an efficient attention network of 43,840 parameters for 44x44 faces.

Paper: Kong, Zhang, Zhang, Ni, Han, "Real-time facial expression recognition based on iterative transfer learning and
efficient attention network", IET Image Processing 2022, doi 10.1049/ipr2.12441. Figure 3 and Table 1.

The paper leaves open where the channel attention stands; here it follows the projection's batch normalisation and
precedes the shortcut, as in ECA-Net's own MobileNetV2. Its kernel is 3 in all blocks (18 parameters, as printed).
Row `b` of Table 1 is misprinted: neither its parameters (76,528 here) nor its FLOPs fit the printed widths.
Row `e` prints torchstat's MAdd where the other rows print Flops (5,703,102 here).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerafer.preprocess import FER2013_FRAMING, Preprocessing
from kerafer.specs import ModelSpec, register_model

if TYPE_CHECKING:
    import keras

STRIDES = (2, 2, 1, 2, 1, 2)  # 44 -> 22 -> 11 -> 11 -> 6 -> 6 -> 3
PAPER = "Kong et al., IET Image Processing 2022, doi 10.1049/ipr2.12441"

PREPROCESSING = Preprocessing(size=(44, 44), resize=(48, 48), **FER2013_FRAMING)

# What the paper's tool does not count here: activations called as functions, and adaptive pooling.
UNSEEN = {"torchstat": ("*_relu", "*_eca_pool", "logits")}


@dataclass(frozen=True)
class Widths:
    """One row of the paper's Table 1."""

    head: int
    channels: tuple[int, ...]
    expansions: tuple[int, ...]
    parameters: int
    flops: int


ROWS = {
    "ean": Widths(16, (8, 16, 16, 32, 32, 64), (3, 6, 6, 6, 6, 3), 43_840, 5_054_158),
    "ean_a": Widths(32, (16, 24, 24, 32, 32, 64), (6, 6, 6, 6, 6, 6), 76_608, 20_891_694),
    "ean_b": Widths(32, (16, 32, 32, 64, 64, 128), (3, 3, 3, 3, 3, 1), 76_528, 12_908_654),
    "ean_c": Widths(16, (16, 24, 24, 32, 32, 64), (6, 6, 6, 6, 6, 6), 68_752, 9_446_062),
    "ean_d": Widths(32, (16, 24, 24, 48, 48, 128), (3, 3, 3, 3, 3, 1), 53_280, 11_723_094),
    "ean_e": Widths(16, (8, 24, 24, 48, 48, 128), (3, 6, 6, 3, 3, 1), 52_728, 5_703_102),
    "ean_f": Widths(16, (8, 24, 24, 48, 48, 64), (3, 3, 3, 3, 3, 3), 52_024, 5_126_382),
}


def ean(
    input_shape: tuple[int, int, int] = (44, 44, 3),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
    *,
    row: str = "ean",
    eca_kernel: int | str | None = 3,
    padding: str = "same",
    width: float = 1.0,
) -> keras.Model:
    """Build EAN or a variant of its Table 1; `kerafer.build_model` is the usual way in.

    Args:
        input_shape: (height, width, channels); 32 to 256 pixels, 1 or 3 channels.
        classes: number of classes.
        classifier_activation: `"softmax"` for probabilities, None for logits.
        row: which row of Table 1, a key of `ROWS`.
        eca_kernel: neighbours seen by the channel attention, or `"adaptive"`; None leaves it out (43,822 parameters).
        padding: `"same"`, or `"symmetric"` for weights from PyTorch.
        width: factor of the blocks' channels, 1 as published; a wide one makes a teacher that sees as finely as its
            student. The stem, whose maps are the largest, stays.

    Returns:
        A functional model, (batch, height, width, channels) to (batch, classes).

    Raises:
        ValueError: if `width` leaves a block without channels.
    """
    import keras

    from kerafer import layers

    widths = ROWS[row]
    channels = [round(width * count) for count in widths.channels]
    if min(channels) < 1:
        raise ValueError(f"`width` must leave every block a channel. Received: width={width}")
    inputs = keras.Input(input_shape, name="image")
    x = layers.conv_bn(inputs, widths.head, 3, name="stem")
    blocks = zip(channels, widths.expansions, STRIDES, strict=True)
    for number, (filters, expansion, strides) in enumerate(blocks, start=1):
        x = layers.inverted_residual_eca(
            x,
            filters,
            name=f"block{number}",
            expansion=expansion,
            strides=strides,
            kernel_size=eca_kernel,
            padding=padding,
        )
    outputs = layers.conv_gap_head(x, classes, classifier_activation=classifier_activation)
    return keras.Model(inputs, outputs, name=row)


def torch_names() -> dict[str, str]:
    """Return the layers' names in a PyTorch `Sequential` called `f`, by ours: stem, six blocks, tail."""
    names = {"stem_conv": "f.0", "stem_bn": "f.1", "tail_conv": "f.9", "tail_bn": "f.10"}
    for block in range(1, 7):
        ours, theirs = f"block{block}", f"f.{block + 2}.b"
        for part, number in (("expand", 0), ("depthwise", 3), ("project", 6)):
            names[f"{ours}_{part}_conv"] = f"{theirs}.{number}"
            names[f"{ours}_{part}_bn"] = f"{theirs}.{number + 1}"
        names[f"{ours}_eca_conv"] = f"{theirs}.8.conv"
    return names


for _name, _row in ROWS.items():
    register_model(
        ModelSpec(
            name=_name,
            title="EAN" if _name == "ean" else f"EAN, model {_name[-1]} of Table 1",
            paper=PAPER,
            builder=ean,
            options={"row": _name},
            input_shape=(44, 44, 3),
            preprocessing=PREPROCESSING,
            parameters=_row.parameters,
            flops=_row.flops,
            ruler="torchstat",
            unseen=UNSEEN,
            torch_names=torch_names,
        )
    )
