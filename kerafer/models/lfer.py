"""LFER-LDL: ShuffleNetV2 with a Mish output module and a parallel depthwise residual module (PDWRes).

Paper: Liu, Luo, Xu, "Lightweight facial expression recognition based on label distribution learning", 2022
(chinaXiv 202204.00070). No code is public and the two figures that show the modules are not in the text, so the
network is reconstructed from the text and from Table 4, all six of whose cells it reproduces. The counts fix the stem
(29 channels), the head's kernel (3) and its single output position, that the 1x1 convolution is the classifier, and
that the four patches do not share weights. What they leave open is an argument of `lfer`, and the defaults are:

- the head pools to one place before its depthwise convolution, as the text says (`head_pool=1`);
- no batch normalisation and no bias in the head (`head_batch_normalized=False`, `head_bias=False`): 1,280,976
  parameters; with batch normalisation they are 1,283,024;
- Mish after the depthwise convolution only, so that the logits are linear (`head_mish_logits=False`);
- PDWRes halves each patch in its first convolution, as EfficientFace's code does (`local_strided="first"`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerafer.models import shufflenet
from kerafer.models.efficientface import STEM_FILTERS, local_names
from kerafer.specs import ModelSpec, register_model

if TYPE_CHECKING:
    import keras

PAPER = "Liu, Luo, Xu, chinaXiv 202204.00070, 2022"


@dataclass(frozen=True)
class Parts:
    """One row of the paper's Table 4."""

    title: str
    output: bool
    local: bool
    parameters: int
    flops: int


VARIANTS = {
    "lfer": Parts("LFER-LDL", True, True, 1_280_976, 294_606_017),
    "lfer_output": Parts("LFER-LDL without PDWRes", True, False, 1_270_768, 291_513_921),
    "lfer_baseline": Parts("LFER-LDL's baseline", False, False, 1_261_559, 291_482_184),
}


def lfer(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 7,
    classifier_activation: str | None = "softmax",
    *,
    output: bool = True,
    local: bool = True,
    head_pool: int = 1,
    head_batch_normalized: bool = False,
    head_bias: bool = False,
    head_mish_logits: bool = False,
    local_strided: str = "first",
    padding: str = "symmetric",
    name: str = "lfer",
) -> keras.Model:
    """Build LFER-LDL or a row of its ablation; `kerafer.build_model` is the usual way in.

    Stage 3 takes ``stage2(x) + PDWRes(x)``, where x is the stem's pooled map.

    Args:
        input_shape: (height, width, channels); sides divisible by 16.
        classes: number of classes.
        classifier_activation: `"softmax"` for probabilities, None for logits.
        output: whether the improved output module replaces the dense layer.
        local: whether to add PDWRes.
        head_pool: 1, or 3 to give the head's 3x3 kernel something to see; see `kerafer.layers.output_module`.
        head_batch_normalized: batch normalisation after the head's depthwise convolution.
        head_bias: bias in the head's convolutions.
        head_mish_logits: Mish on the logits too.
        local_strided: which convolution of PDWRes halves the patch, `"first"` or `"second"`.
        padding: `"symmetric"` as in PyTorch, or `"same"`.
        name: name of the model.

    Returns:
        A functional model, (batch, height, width, channels) to (batch, classes).
    """
    import keras

    from kerafer import layers

    def add_local(before: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        if not local:
            return x
        details = layers.local_features(
            before, x.shape[-1], name="local", activation="relu6", padding=padding, strided=local_strided
        )
        return keras.layers.Add(name="fusion")([x, details])  # (b, h / 8, w / 8, 116)

    inputs = keras.Input(input_shape, name="image")
    x = shufflenet.backbone(inputs, stem_filters=STEM_FILTERS, padding=padding, after_stage2=add_local)
    if output:
        outputs = layers.output_module(
            x,
            classes,
            pool=head_pool,
            batch_normalized=head_batch_normalized,
            use_bias=head_bias,
            mish_logits=head_mish_logits,
            classifier_activation=classifier_activation,
        )
    else:
        outputs = shufflenet.dense_head(x, classes, classifier_activation)
    return keras.Model(inputs, outputs, name=name)


def torch_names() -> dict[str, str]:
    """Return PyTorch names of all layers, by ours: EfficientFace's, and `out.dw`, `out.bn1`, `out.pw` for the head."""
    return {
        **shufflenet.torch_names(),
        **local_names(),
        "head_depthwise_conv": "out.dw",
        "head_depthwise_bn": "out.bn1",
        "head_pointwise_conv": "out.pw",
    }


for _name, _parts in VARIANTS.items():
    register_model(
        ModelSpec(
            name=_name,
            title=_parts.title,
            paper=PAPER,
            builder=lfer,
            options={"name": _name, "output": _parts.output, "local": _parts.local},
            input_shape=(224, 224, 3),
            size_multiple=16,
            preprocessing=shufflenet.PREPROCESSING,
            parameters=_parts.parameters,
            flops=_parts.flops,
            ruler="conv_ops",
            unseen={"thop": ("pool", "head_pool")},
            torch_names=torch_names,
        )
    )
