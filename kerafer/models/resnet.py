"""ResNet-18 and ResNet-50: the label-distribution generator of EfficientFace and LFER-LDL, and comparison networks.

Paper: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, in torchvision's arrangement
(stride in the 3x3 convolution of a bottleneck), whose layer names `torch_names` maps. Keras's own ResNet50 has another
one, with biases. `resnet18_cifar` begins with a 3x3 convolution and no pooling; the EAN paper compares with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kerafer.models.ean import PREPROCESSING as EAN_PREPROCESSING
from kerafer.models.efficientface import ORIGINS
from kerafer.models.shufflenet import PREPROCESSING, dense_head
from kerafer.specs import ModelSpec, register_model

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Depth:
    """What one network of the family has: units per stage, and whether a unit is a bottleneck."""

    units: tuple[int, int, int, int]
    bottleneck: bool


DEPTHS = {18: Depth((2, 2, 2, 2), False), 50: Depth((3, 4, 6, 3), True)}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4


def resnet(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
    *,
    depth: int = 18,
    small_stem: bool = False,
    padding: str = "symmetric",
    name: str = "resnet18",
) -> keras.Model:
    """Build a ResNet; `kerafer.build_model` is the usual way in.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        classifier_activation: `"softmax"` for probabilities, None for logits.
        depth: a key of `DEPTHS`.
        small_stem: a 3x3 convolution of stride 1 in place of the 7x7 of stride 2 and the pooling.
        padding: `"symmetric"` as in PyTorch, needed for its weights, or `"same"`.
        name: name of the model.

    Returns:
        A functional model, (batch, height, width, channels) to (batch, classes).

    Raises:
        ValueError: if `depth` is unknown.
    """
    import keras

    from kerafer import layers

    if depth not in DEPTHS:
        raise ValueError(f"`depth` must be one of {list(DEPTHS)}. Received: depth={depth!r}")
    inputs = keras.Input(input_shape, name="image")
    if small_stem:
        x = layers.conv_bn(inputs, 64, 3, name="stem", padding=padding)
    else:
        x = layers.conv_bn(inputs, 64, 7, name="stem", strides=2, padding=padding)  # (b, h / 2, w / 2, 64)
        x, keras_padding = layers.pad(x, 3, 2, padding, "stem_pool_pad")
        x = keras.layers.MaxPooling2D(3, 2, padding=keras_padding, name="stem_pool")(x)  # (b, h / 4, w / 4, 64)
    for stage, (units, width) in enumerate(zip(DEPTHS[depth].units, WIDTHS, strict=True), start=1):
        for unit in range(units):
            x = _unit(
                x,
                width,
                name=f"stage{stage}_unit{unit}",
                strides=2 if stage > 1 and unit == 0 else 1,
                bottleneck=DEPTHS[depth].bottleneck,
                padding=padding,
            )
    return keras.Model(inputs, dense_head(x, classes, classifier_activation), name=name)


def _unit(
    x: keras.KerasTensor, width: int, *, name: str, strides: int, bottleneck: bool, padding: str
) -> keras.KerasTensor:
    """Return ``relu(branch(x) + shortcut(x))``, (batch, height / strides, width / strides, filters)."""
    import keras

    from kerafer import layers

    filters = width * EXPANSION if bottleneck else width
    conv = partial(layers.conv_bn, padding=padding)
    if bottleneck:
        h = conv(x, width, 1, name=f"{name}_conv1")
        h = conv(h, width, 3, name=f"{name}_conv2", strides=strides)
        h = conv(h, filters, 1, name=f"{name}_conv3", activation=None)
    else:
        h = conv(x, width, 3, name=f"{name}_conv1", strides=strides)
        h = conv(h, width, 3, name=f"{name}_conv2", activation=None)
    if strides != 1 or x.shape[-1] != filters:
        x = conv(x, filters, 1, name=f"{name}_shortcut", strides=strides, activation=None)
    h = keras.layers.Add(name=f"{name}_add")([h, x])
    return layers.activate(h, "relu", name)


def torch_names(depth: int) -> dict[str, str]:
    """Return torchvision's names of all layers, by ours."""
    names = {"stem_conv": "conv1", "stem_bn": "bn1", "logits": "fc"}
    for stage, units in enumerate(DEPTHS[depth].units, start=1):
        for unit in range(units):
            ours, theirs = f"stage{stage}_unit{unit}", f"layer{stage}.{unit}"
            for number in (1, 2, 3):
                names[f"{ours}_conv{number}_conv"] = f"{theirs}.conv{number}"
                names[f"{ours}_conv{number}_bn"] = f"{theirs}.bn{number}"
            names[f"{ours}_shortcut_conv"] = f"{theirs}.downsample.0"
            names[f"{ours}_shortcut_bn"] = f"{theirs}.downsample.1"
    return names


register_model(
    ModelSpec(
        name="ldg_resnet50",
        title="Label-distribution generator (ResNet-50)",
        paper="He et al., CVPR 2016; generator of EfficientFace and LFER-LDL",
        builder=resnet,
        options={"depth": 50, "name": "ldg_resnet50"},
        input_shape=(224, 224, 3),
        preprocessing=PREPROCESSING,
        parameters=23_522_375,
        flops=4_109_480_960,
        ruler="thop",
        origins=ORIGINS,  # the official code trains its generator on the same data sets
        torch_names=partial(torch_names, 50),
    )
)
register_model(
    ModelSpec(
        name="resnet18",
        title="ResNet-18",
        paper="He et al., CVPR 2016; compared with by EfficientFace",
        builder=resnet,
        options={"depth": 18, "name": "resnet18"},
        input_shape=(224, 224, 3),
        preprocessing=PREPROCESSING,
        parameters=11_180_103,
        flops=1_818_557_952,
        ruler="thop",
        torch_names=partial(torch_names, 18),
    )
)
register_model(
    ModelSpec(
        name="resnet18_cifar",
        title="ResNet-18 with a small stem",
        paper="He et al., CVPR 2016; compared with by EAN",
        builder=resnet,
        options={"depth": 18, "small_stem": True, "name": "resnet18_cifar"},
        input_shape=(44, 44, 3),
        preprocessing=EAN_PREPROCESSING,
        parameters=11_172_423,
        flops=1_101_271_552,
        ruler="torchstat",
        # the ReLU behind each addition is made anew in every call, and adaptive pooling is unknown to the tool
        unseen={"torchstat": ("stage?_unit?_relu", "pool")},
    )
)
