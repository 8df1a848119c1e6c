"""ShuffleNetV2 x1.0: the backbone of EfficientFace and LFER-LDL, and EfficientFace's baseline.

Paper: Ma, Zhang, Zheng, Sun, "ShuffleNet V2: practical guidelines for efficient CNN architecture design", ECCV 2018,
in torchvision's arrangement, whose layer names `torch_names` maps. EfficientFace widens the stem from 24 to 29
channels, so that its 116 channels after stage 2 are four times the stem's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerafer.preprocess import FER2013_FRAMING, Preprocessing
from kerafer.specs import ModelSpec, register_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

STAGES = {2: (4, 116), 3: (8, 232), 4: (4, 464)}
"""Units and channels of each stage; the first unit of each has stride 2."""

TAIL_FILTERS = 1024
UNSEEN = {"thop": ("pool", "modulator_channel_pool")}
"""Averages that the PyTorch code takes by a function call, which the tool does not see."""

PREPROCESSING = Preprocessing(size=(224, 224), resize=(224, 224), **FER2013_FRAMING)


def backbone(
    inputs: keras.KerasTensor,
    *,
    stem_filters: int,
    padding: str,
    after_stage2: Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor] | None = None,
) -> keras.KerasTensor:
    """Return ShuffleNetV2's last map.

    Args:
        inputs: (batch, height, width, channels).
        stem_filters: channels of the first convolution.
        padding: see `kerafer.layers.pad`.
        after_stage2: what a paper adds; takes the maps before and after stage 2, and returns what stage 3 takes.

    Returns:
        (batch, height / 32, width / 32, 1024), rounded up.
    """
    import keras

    from kerafer import layers

    x = layers.conv_bn(inputs, stem_filters, 3, name="stem", strides=2, padding=padding)  # (b, h / 2, w / 2, stem)
    # zeros at the border change no maximum, since ReLU has left nothing below 0
    x, keras_padding = layers.pad(x, 3, 2, padding, "stem_pool_pad")
    x = keras.layers.MaxPooling2D(3, 2, padding=keras_padding, name="stem_pool")(x)  # (b, h / 4, w / 4, stem)
    for stage, (units, filters) in STAGES.items():
        before = x
        for unit in range(units):
            name = f"stage{stage}_unit{unit}"
            x = layers.shuffle_unit(x, filters, name=name, strides=1 if unit else 2, padding=padding)
        if stage == 2 and after_stage2 is not None:
            x = after_stage2(before, x)
    return layers.conv_bn(x, TAIL_FILTERS, 1, name="tail")


def dense_head(x: keras.KerasTensor, classes: int, classifier_activation: str | None) -> keras.KerasTensor:
    """Return (batch, classes) of a map: global average, dense."""
    import keras

    from kerafer import layers

    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return layers.classify(keras.layers.Dense(classes, name="logits")(x), classifier_activation)


def shufflenet_v2(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
    *,
    stem_filters: int = 24,
    padding: str = "symmetric",
) -> keras.Model:
    """Build ShuffleNetV2 x1.0; `kerafer.build_model` is the usual way in.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        classifier_activation: `"softmax"` for probabilities, None for logits.
        stem_filters: 24 as published, 29 as EfficientFace and LFER-LDL widen it.
        padding: `"symmetric"` as in PyTorch, or `"same"`.

    Returns:
        A functional model, (batch, height, width, channels) to (batch, classes).
    """
    import keras

    inputs = keras.Input(input_shape, name="image")
    x = backbone(inputs, stem_filters=stem_filters, padding=padding)
    return keras.Model(inputs, dense_head(x, classes, classifier_activation), name="shufflenet_v2")


def torch_names() -> dict[str, str]:
    """Return torchvision's names of the backbone's layers and the dense head, by ours."""
    names = {**pair("stem", "conv1", 0), **pair("tail", "conv5", 0), "logits": "fc"}
    for stage, (units, _) in STAGES.items():
        for unit in range(units):
            ours, theirs = f"stage{stage}_unit{unit}", f"stage{stage}.{unit}"
            if unit == 0:
                names |= pair(f"{ours}_branch1_depthwise", f"{theirs}.branch1", 0)
                names |= pair(f"{ours}_branch1_pointwise", f"{theirs}.branch1", 2)
            names |= pair(f"{ours}_branch2_expand", f"{theirs}.branch2", 0)
            names |= pair(f"{ours}_branch2_depthwise", f"{theirs}.branch2", 3)
            names |= pair(f"{ours}_branch2_project", f"{theirs}.branch2", 5)
    return names


def pair(ours: str, theirs: str, number: int) -> dict[str, str]:
    """Return the names of a convolution and the batch normalisation behind it in a PyTorch Sequential."""
    return {f"{ours}_conv": f"{theirs}.{number}", f"{ours}_bn": f"{theirs}.{number + 1}"}


register_model(
    ModelSpec(
        name="shufflenet_v2",
        title="ShuffleNetV2 x1.0",
        paper="Ma et al., ECCV 2018; baseline of EfficientFace",
        builder=shufflenet_v2,
        input_shape=(224, 224, 3),
        preprocessing=PREPROCESSING,
        parameters=1_260_779,
        flops=147_791_560,
        ruler="thop",
        unseen=UNSEEN,
        torch_names=torch_names,
    )
)
