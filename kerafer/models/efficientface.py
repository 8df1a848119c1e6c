"""EfficientFace: 1,275,293 parameters, local features and a channel-spatial modulator on ShuffleNetV2.

Paper: Zhao, Liu, Zhou, "Robust lightweight facial expression recognition network with label distribution training",
AAAI 2021. The official code (MIT) is PyTorch; its checkpoints are read with `kerafer.load_torch_state`.

Where paper and code disagree, the code is followed: equation (1) adds channel and spatial attention, the code
multiplies them (so does the author's answer); "after Conv1, 56x56x29" is after the max pool too. The printed FLOPs of
"+ modulator", 153.79 M, contradict the paper's other rows; the network costs 152.18 M. The paper's baseline has 24
stem channels and the other rows 29, so of the "+5.00 M for the local extractor" 3.00 M are the stem's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kerafer.labels import ORDERS
from kerafer.models import shufflenet
from kerafer.specs import ModelSpec, Origin, register_model

if TYPE_CHECKING:
    import keras

PAPER = "Zhao, Liu, Zhou, AAAI 2021"
STEM_FILTERS = 29


# Name, mean and standard deviation of each data set, as the official code normalises it.
NORMALISATIONS = {
    "rafdb": ("RAF-DB", (0.57535914, 0.44928582, 0.40079932), (0.20735591, 0.18981615, 0.18132027)),
    "affectnet7": ("AffectNet-7", (0.55391484, 0.43522123, 0.3821877), (0.24837189, 0.21625527, 0.20221159)),
    "caers": ("CAER-S", (0.35964426, 0.22359873, 0.19040863), (0.15188067, 0.11678473, 0.1103445)),
}

ORIGINS = {
    name: Origin(
        source=f"the official EfficientFace code, trained on {title}",
        labels=ORDERS["efficientface"],
        preprocessing=replace(shufflenet.PREPROCESSING, mean=mean, std=std),
        licence=f"MIT (code); the terms of {title} hold for the weights",
    )
    for name, (title, mean, std) in NORMALISATIONS.items()
}


@dataclass(frozen=True)
class Parts:
    """One row of the paper's ablation."""

    title: str
    local: bool
    modulator: bool
    parameters: int
    flops: int


VARIANTS = {
    "efficientface": Parts("EfficientFace", True, True, 1_275_293, 154_176_526),
    "efficientface_local": Parts("EfficientFace without modulator", True, False, 1_271_767, 152_791_128),
    "efficientface_modulator": Parts("EfficientFace without local features", False, True, 1_265_085, 152_175_758),
}


def efficientface(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
    *,
    local: bool = True,
    modulator: bool = True,
    padding: str = "symmetric",
    name: str = "efficientface",
) -> keras.Model:
    """Build EfficientFace or a part of it; `kerafer.build_model` is the usual way in.

    Stage 3 takes ``modulator(stage2(x)) + local(x)``, where x is the stem's pooled map.

    Args:
        input_shape: (height, width, channels); sides divisible by 16.
        classes: number of classes.
        classifier_activation: `"softmax"` for probabilities, None for logits.
        local: whether to add the local-feature extractor.
        modulator: whether to modulate stage 2.
        padding: `"symmetric"` as in PyTorch, needed for its weights, or `"same"`.
        name: name of the model.

    Returns:
        A functional model, (batch, height, width, channels) to (batch, classes).
    """
    import keras

    from kerafer import layers

    def modulate(before: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        channels = x.shape[-1]
        if modulator:
            x = layers.channel_spatial_modulator(x, name="modulator")
        if local:
            details = layers.local_features(before, channels, name="local", padding=padding)
            x = keras.layers.Add(name="fusion")([x, details])  # (b, h / 8, w / 8, 116)
        return x

    inputs = keras.Input(input_shape, name="image")
    x = shufflenet.backbone(inputs, stem_filters=STEM_FILTERS, padding=padding, after_stage2=modulate)
    return keras.Model(inputs, shufflenet.dense_head(x, classes, classifier_activation), name=name)


def torch_names() -> dict[str, str]:
    """Return the official code's names of all layers, by ours; a variant has only some of them."""
    names = {**shufflenet.torch_names(), **local_names()}
    channel, spatial = "modulator.channel_att.gate_c.gate_c", "modulator.spatial_att.gate_s.gate_s"
    names |= {
        "modulator_channel_reduce_dense": f"{channel}_fc_0",
        "modulator_channel_reduce_bn": f"{channel}_bn_1",
        "modulator_channel_expand_dense": f"{channel}_fc_final",
        "modulator_spatial_final_conv": f"{spatial}_conv_final",
    }
    for ours, theirs in (("reduce", "reduce0"), ("dilated0", "di_0"), ("dilated1", "di_1")):
        names[f"modulator_spatial_{ours}_conv"] = f"{spatial}_conv_{theirs}"
        names[f"modulator_spatial_{ours}_bn"] = f"{spatial}_bn_{theirs}"
    return names


def local_names() -> dict[str, str]:
    """Return the official code's names of the local extractor's layers, by ours."""
    from kerafer.layers.shuffle import PATCHES

    names = {}
    for number, patch in enumerate(PATCHES, start=1):
        for step, order in enumerate(("first", "second"), start=1):
            names[f"local_{patch}_{order}_conv"] = f"local.conv{number}_{step}"
            names[f"local_{patch}_{order}_bn"] = f"local.bn{number}_{step}"
    return names


for _name, _parts in VARIANTS.items():
    register_model(
        ModelSpec(
            name=_name,
            title=_parts.title,
            paper=PAPER,
            builder=efficientface,
            options={"name": _name, "local": _parts.local, "modulator": _parts.modulator},
            input_shape=(224, 224, 3),
            size_multiple=16,
            preprocessing=shufflenet.PREPROCESSING,
            parameters=_parts.parameters,
            flops=_parts.flops,
            ruler="thop",
            unseen=shufflenet.UNSEEN,
            origins=ORIGINS if _name == "efficientface" else {},
            torch_names=torch_names,
        )
    )
