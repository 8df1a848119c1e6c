"""MobileNetV2, Keras's own, which EfficientFace (224x224) and EAN (44x44) compare with.

Paper: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerafer.models.shufflenet import PREPROCESSING
from kerafer.specs import ModelSpec, register_model

if TYPE_CHECKING:
    import keras


def mobilenet_v2(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """Build Keras's own MobileNetV2; `kerafer.build_model` is the usual way in.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        classifier_activation: `"softmax"` for probabilities, None for logits.

    Returns:
        A functional model, (batch, height, width, channels) to (batch, classes).
    """
    import keras

    return keras.applications.MobileNetV2(
        weights=None,
        input_tensor=keras.Input(input_shape, name="image"),
        classes=classes,
        classifier_activation=classifier_activation,
        name="mobilenet_v2",
    )


register_model(
    ModelSpec(
        name="mobilenet_v2",
        title="MobileNetV2",
        paper="Sandler et al., CVPR 2018; compared with by EfficientFace and EAN",
        builder=mobilenet_v2,
        input_shape=(224, 224, 3),
        preprocessing=PREPROCESSING,
        parameters=2_232_839,
        flops=312_859_456,
        ruler="thop",
        unseen={"thop": ("global_average_pooling2d*",)},  # a function call there
    )
)
