"""SqueezeNet with batch normalisation and shortcuts, as EAN compares with it at 44x44.

Paper: Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters",
2016, figure 2 (middle), with a 3x3 stem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerafer.models.ean import PREPROCESSING
from kerafer.specs import ModelSpec, register_model

if TYPE_CHECKING:
    import keras

FIRES = {2: (128, 16), 3: (128, 16), 4: (256, 32), 5: (256, 32), 6: (384, 48), 7: (384, 48), 8: (512, 64), 9: (512, 64)}
"""Output and squeezed channels of each fire module."""

SHORTCUTS = (3, 5, 7)
POOLED = (4, 8)
"""Fire modules behind which a max pool stands."""


def squeezenet(
    input_shape: tuple[int, int, int] = (44, 44, 3),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """Build SqueezeNet; `kerafer.build_model` is the usual way in.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        classifier_activation: `"softmax"` for probabilities, None for logits.

    Returns:
        A functional model, (batch, height, width, channels) to (batch, classes).
    """
    import keras

    from kerafer import layers

    inputs = keras.Input(input_shape, name="image")
    x = layers.conv_bn(inputs, 96, 3, name="stem", use_bias=True)
    x = keras.layers.MaxPooling2D(2, name="stem_pool")(x)  # (b, h / 2, w / 2, 96)
    for number, (filters, squeezed) in FIRES.items():
        fired = _fire(x, filters, squeezed, name=f"fire{number}")
        x = keras.layers.Add(name=f"fire{number}_add")([fired, x]) if number in SHORTCUTS else fired
        if number in POOLED:
            x = keras.layers.MaxPooling2D(2, name=f"fire{number}_pool")(x)  # halved twice
    x = keras.layers.Conv2D(classes, 1, name="tail_conv")(x)  # (b, h / 8, w / 8, classes)
    outputs = layers.classify(keras.layers.GlobalAveragePooling2D(name="logits")(x), classifier_activation)
    return keras.Model(inputs, outputs, name="squeezenet")


def _fire(x: keras.KerasTensor, filters: int, squeezed: int, *, name: str) -> keras.KerasTensor:
    """Return ``concat(conv1x1(s), conv3x3(s))`` with ``s = conv1x1(x)``, (batch, height, width, filters)."""
    import keras

    from kerafer import layers

    x = layers.conv_bn(x, squeezed, 1, name=f"{name}_squeeze", use_bias=True)
    narrow = layers.conv_bn(x, filters // 2, 1, name=f"{name}_expand1", use_bias=True)
    wide = layers.conv_bn(x, filters // 2, 3, name=f"{name}_expand3", use_bias=True)
    return keras.layers.Concatenate(name=f"{name}_concat")([narrow, wide])


register_model(
    ModelSpec(
        name="squeezenet",
        title="SqueezeNet with batch normalisation",
        paper="Iandola et al., 2016; compared with by EAN",
        builder=squeezenet,
        input_shape=(44, 44, 3),
        preprocessing=PREPROCESSING,
        parameters=733_447,
        flops=101_243_055,
        ruler="torchstat",
        # one pooling module called twice is counted at its last call, and adaptive pooling is unknown to the tool
        unseen={"torchstat": ("fire4_pool", "logits")},
    )
)
