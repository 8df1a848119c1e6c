"""Batches as pure functions of seed and step."""

import numpy as np
import pytest

import kerafer
from kerafer.data.pipeline import TrainingBatches
from kerafer.data.samples import synthetic

CONTRACT = kerafer.model_spec("ean").preprocessing


def batches(count=28, size=4, seed=1, names=("random_crop", "flip")):
    return TrainingBatches(synthetic(count), CONTRACT, size, names, seed)


def test_a_batch_depends_on_seed_and_step_alone():
    one, other = batches(), batches()
    later = [one.batch(step) for step in (9, 3, 9)]
    np.testing.assert_array_equal(later[0][0], later[2][0])
    np.testing.assert_array_equal(later[1][0], other.batch(3)[0])
    assert not np.array_equal(batches(seed=2).batch(3)[0], later[1][0])


def test_an_epoch_is_a_permutation():
    data = synthetic(30)
    plain = TrainingBatches(data, CONTRACT, 7, (), seed=0)
    assert len(plain) == 4
    whole = CONTRACT.batch(data.images)
    seen = [int(np.flatnonzero((whole == x).all(axis=(1, 2, 3)))[0]) for s in range(4) for x in plain.batch(s)[0]]
    assert len(set(seen)) == 28
    again = [int(np.flatnonzero((whole == x).all(axis=(1, 2, 3)))[0]) for s in range(4, 8) for x in plain.batch(s)[0]]
    assert seen != again


def test_tf_data_gives_the_same_batches_from_any_step():
    expected = [batches().batch(step) for step in range(5, 9)]
    given = list(batches().to_tf(5, 9).as_numpy_iterator())
    for (x, y), (tx, ty) in zip(expected, given, strict=True):
        np.testing.assert_array_equal(x, tx)
        np.testing.assert_array_equal(y, ty)


def test_evaluation_keeps_order_and_centre_crops():
    data = synthetic(10)
    parts = list(data.to_tf(CONTRACT, batch_size=4).as_numpy_iterator())
    x = np.concatenate([p[0] for p in parts])
    np.testing.assert_array_equal(x, np.stack([CONTRACT(image) for image in data.images]))
    np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]).argmax(axis=1), data.labels)


def test_a_batch_larger_than_the_split_is_refused():
    with pytest.raises(ValueError, match="batch_size"):
        batches(size=29)


def test_larger_pictures_are_resized_before_cropping():
    data = synthetic(4)
    large = np.repeat(np.repeat(data.images, 2, axis=1), 2, axis=2)
    import dataclasses

    doubled = TrainingBatches(dataclasses.replace(data, images=large), CONTRACT, 4, ("five_crop",), seed=0)
    same = TrainingBatches(data, CONTRACT, 4, ("five_crop",), seed=0)
    np.testing.assert_allclose(doubled.batch(0)[0], same.batch(0)[0], atol=1e-6)
