"""EAN: the paper's counts to the digit. Its logits are held against PyTorch's in test_importing.py."""

import numpy as np
import pytest
from parity import fill, pictures

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


def test_padding_changes_logits_at_stride_2():
    # TensorFlow's own padding gives other logits with the same weights, so the choice must be explicit
    symmetric, same = (
        kerafer.build_model("ean", padding=padding, classifier_activation=None) for padding in ("symmetric", "same")
    )
    same.set_weights(fill(symmetric).get_weights())
    x = pictures(2, 44, 44, 3)
    expected = symmetric.predict(x, verbose=0)
    assert np.abs(same.predict(x, verbose=0) - expected).max() > 1e-2 * np.abs(expected).max()
