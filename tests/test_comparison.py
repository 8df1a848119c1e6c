"""Two models on the same images: McNemar's test by hand, the paired interval, and what is refused."""

import json
from dataclasses import replace
from math import comb

import numpy as np
import pytest
from predicted import predictions

from kerafer.evaluation import compare


def from_table(both, only_a, only_b, neither):
    """Two predictions of the same images with a given table of right and wrong."""
    a = np.repeat([0, 0, 1, 1], [both, only_a, only_b, neither])
    b = np.repeat([0, 1, 0, 1], [both, only_a, only_b, neither])
    labels = np.zeros(len(a), np.int64)
    return predictions(labels, a, model="a"), predictions(labels, b, model="b")


@pytest.mark.parametrize(
    ("table", "p"),
    [
        ((10, 2, 10, 3), 2 * sum(comb(12, k) for k in range(3)) / 2**12),  # 158 / 4096
        ((10, 10, 2, 3), 158 / 4096),
        ((10, 4, 4, 0), 1.0),
        ((10, 0, 6, 0), 2 / 2**6),
        ((10, 0, 0, 5), 1.0),
    ],
)
def test_mcnemar_by_hand(table, p):
    found = compare(*from_table(*table))
    assert (found.both_right, found.only_a_right, found.only_b_right, found.both_wrong) == table
    assert found.p_value == pytest.approx(p)
    assert found.difference == pytest.approx((table[2] - table[1]) / sum(table))
    assert found.accuracy_b - found.accuracy_a == pytest.approx(found.difference)
    assert found.more_than_noise is (p < 0.05)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["sentence"] == found.sentence


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ((10, 2, 10, 3), "b is better than a by 32.00 points, which is more than noise"),
        ((10, 10, 2, 3), "a is better than b by 32.00 points, which is more than noise"),
        ((10, 2, 5, 8), "b is ahead of a by 12.00 points, which may be noise"),
        ((10, 4, 4, 2), "equally accurate"),
        ((10, 0, 0, 5), "exactly the same images"),
    ],
)
def test_the_sentence_says_which_and_whether(table, words):
    assert words in compare(*from_table(*table)).sentence


def test_the_interval_of_the_difference_is_paired():
    # 90 of 100 images are shared: the spread comes from the 10 others only
    found = compare(*from_table(80, 2, 8, 10), resamples=5000)
    spread = np.sqrt((10 / 100 - 0.06**2) / 100)
    assert found.interval == pytest.approx((0.06 - 1.96 * spread, 0.06 + 1.96 * spread), abs=0.011)
    assert compare(*from_table(80, 2, 8, 10), resamples=5000).interval == found.interval


def test_differences_by_class():
    a = predictions([0, 0, 1, 1], [0, 1, 1, 1])
    found = compare(a, predictions([0, 0, 1, 1], [0, 0, 0, 1]))
    assert found.recall == {
        "a": {"images": 2, "a": 0.5, "b": 1.0, "difference": 0.5},
        "b": {"images": 2, "a": 1.0, "b": 0.5, "difference": -0.5},
    }
    assert (found.a, found.b) == ("A (made)", "B (made)")


@pytest.mark.parametrize(
    "changes", [{"data_sha256": "1" * 64}, {"class_names": ("a", "c", "b")}, {"labels": np.array([0, 1, 1])}]
)
def test_predictions_of_other_data_are_not_compared(changes):
    a = predictions([0, 1, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="the same images, labels and classes"):
        compare(a, replace(a, **changes))
