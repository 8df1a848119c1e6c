"""VGG-16, as EfficientFace (224x224) and EAN (44x44, with batch normalisation) compare with it.

Paper: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.
`vgg16` is `keras.applications.VGG16`; `vgg16_cifar` normalises every convolution and has a narrow input to its dense
layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerafer.models.ean import PREPROCESSING as EAN_PREPROCESSING
from kerafer.models.shufflenet import PREPROCESSING
from kerafer.specs import ModelSpec, register_model

if TYPE_CHECKING:
    import keras

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each stage; a 2x2 max pool ends it."""


def vgg16(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """Build Keras's own VGG-16; `kerafer.build_model` is the usual way in.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        classifier_activation: `"softmax"` for probabilities, None for logits.

    Returns:
        A functional model, (batch, height, width, channels) to (batch, classes).
    """
    import keras

    return keras.applications.VGG16(
        weights=None,
        input_tensor=keras.Input(input_shape, name="image"),
        classes=classes,
        classifier_activation=classifier_activation,
        name="vgg16",
    )


def vgg16_cifar(
    input_shape: tuple[int, int, int] = (44, 44, 3),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """Build VGG-16 with batch normalisation; arguments as `vgg16`."""
    import keras

    from kerafer import layers

    inputs = x = keras.Input(input_shape, name="image")
    for stage, (filters, convolutions) in enumerate(STAGES, start=1):
        for number in range(1, convolutions + 1):
            x = layers.conv_bn(x, filters, 3, name=f"stage{stage}_conv{number}", use_bias=True)
        x = keras.layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)  # (b, h / 2, w / 2, filters), rounded down
    x = keras.layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = keras.layers.Dense(4096, name=f"dense{number}")(x)
        x = layers.activate(x, "relu", f"dense{number}")
        x = keras.layers.Dropout(0.5, name=f"dense{number}_dropout")(x)
    outputs = layers.classify(keras.layers.Dense(classes, name="logits")(x), classifier_activation)
    return keras.Model(inputs, outputs, name="vgg16_cifar")


register_model(
    ModelSpec(
        name="vgg16",
        title="VGG-16",
        paper="Simonyan, Zisserman, ICLR 2015; compared with by EfficientFace",
        builder=vgg16,
        input_shape=(224, 224, 3),
        preprocessing=PREPROCESSING,
        parameters=134_289_223,
        flops=15_479_794_688,
        ruler="thop",
        # torchvision pools 7x7 places to 7x7 places before the dense layers: two operations each, and no effect
        idle={"thop": 2 * 7 * 7 * 512},
    )
)
register_model(
    ModelSpec(
        name="vgg16_cifar",
        title="VGG-16 with batch normalisation",
        paper="Simonyan, Zisserman, ICLR 2015; compared with by EAN",
        builder=vgg16_cifar,
        input_shape=(44, 44, 3),
        preprocessing=EAN_PREPROCESSING,
        parameters=33_634_375,
        flops=557_136_128,
        ruler="torchstat",
    )
)
