"""EAN: the paper's counts to the digit, and the logits that PyTorch gives."""

import numpy as np
import pytest
from parity import det, detx, set_batch_norm, set_conv

import kerafer
from kerafer.models.ean import ROWS

# Parameters and FLOPs of the paper's Table 1, reproduced; rows b and e as explained in models/ean.py.
TABLE = {
    "ean": (43_840, 5_054_158),
    "ean_a": (76_608, 20_891_694),
    "ean_b": (76_528, 12_908_654),
    "ean_c": (68_752, 9_446_062),
    "ean_d": (53_280, 11_723_094),
    "ean_e": (52_728, 5_703_102),
    "ean_f": (52_024, 5_126_382),
}
LOGITS = [
    [0.03066124, -0.12589761, -0.02610976, 0.07938382, -0.03879743, 0.04305805, -0.28801733],
    [0.03071257, -0.12433518, -0.02554163, 0.08035449, -0.03896019, 0.04318983, -0.28842556],
]


@pytest.mark.parametrize("name", TABLE)
def test_counts_are_the_papers(name):
    counted = kerafer.profile(kerafer.build_model(name))
    assert (counted.trainable_parameters, counted.flops["torchstat"]) == TABLE[name]


def test_every_row_is_registered():
    assert set(ROWS) == set(TABLE) == set(kerafer.list_models("ean*"))


def test_without_attention_18_parameters_less():
    assert kerafer.profile(kerafer.build_model("ean", eca_kernel=None)).trainable_parameters == 43_822


def test_moving_statistics_are_counted_apart():
    assert kerafer.build_model("ean").count_params() == 46_526


def filled(padding):
    """EAN with the weights of the fixture."""
    model = kerafer.build_model("ean", padding=padding, classifier_activation=None)
    layer = model.get_layer
    set_conv(layer("stem_conv"), "f.0")
    set_batch_norm(layer("stem_bn"), "f.1")
    for block in range(1, 7):
        source, target = f"f.{block + 2}.b", f"block{block}"
        for part, number in (("expand", 0), ("depthwise", 3), ("project", 6)):
            set_conv(layer(f"{target}_{part}_conv"), f"{source}.{number}")
            set_batch_norm(layer(f"{target}_{part}_bn"), f"{source}.{number + 1}")
        attention = det(f"{source}.8.conv.weight", (1, 1, 3))
        layer(f"{target}_eca_conv").set_weights([attention.reshape(1, 3, 1, 1)])
    set_conv(layer("tail_conv"), "f.9")
    set_batch_norm(layer("tail_bn"), "f.10")
    return model


def test_logits_equal_pytorch():
    logits = filled("symmetric").predict(detx(2, 44, 44, 3), verbose=0)
    np.testing.assert_allclose(logits, LOGITS, atol=1e-5)


def test_padding_changes_logits_at_stride_2():
    # TensorFlow's own padding gives other logits with the same weights, so the choice must be explicit
    logits = filled("same").predict(detx(2, 44, 44, 3), verbose=0)
    assert np.abs(logits - LOGITS).max() > 1e-3
