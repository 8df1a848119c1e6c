"""Label distributions: from votes and from a generator, kept on disk and found again."""

from dataclasses import replace

import numpy as np
import pytest

import kerafer
from kerafer.data.samples import synthetic
from kerafer.labels import CANONICAL, ORDERS
from kerafer.training import Distributions, distributions_from_votes, generate_distributions
from kerafer.training import distributions as module


def nobody(*arguments, **options):
    raise AssertionError("predicted again")


def test_votes_are_taken_as_they_are():
    votes = np.random.default_rng(0).integers(0, 10, (14, 10))
    votes[3] = 0
    data = replace(synthetic(14), votes=votes)
    made = distributions_from_votes(data)
    np.testing.assert_array_equal(made.values, data.distributions())
    assert made.values.dtype == np.float32
    happy = ORDERS["ferplus"].index("happy")
    usable = [i for i, name in enumerate(ORDERS["ferplus"]) if name in data.class_names]
    assert made.values[0, data.class_names.index("happy")] == pytest.approx(votes[0, happy] / votes[0, usable].sum())
    np.testing.assert_array_equal(made.values[3], np.eye(7)[data.labels[3]])  # nobody voted: the hard label
    assert made.source["source"] == "FER+ votes"
    votes[5, happy] += 1
    assert distributions_from_votes(replace(data, votes=votes)).source["sha256"] != made.source["sha256"]


def test_votes_that_were_not_read_are_asked_for():
    with pytest.raises(ValueError, match="without FER\\+ votes"):
        distributions_from_votes(synthetic(7))


def test_a_generator_gives_its_probabilities_of_centre_crops(ean):
    data = synthetic(15)
    made = generate_distributions(ean, data)
    expected = np.asarray(ean.model(data.inputs(ean.card.preprocessing)))
    np.testing.assert_allclose(made.values, expected, atol=1e-6)
    assert made.source["generator"] == "ean"
    assert made.source["weights_sha256"] == module.weights_checksum(ean.model)
    np.testing.assert_array_equal(generate_distributions(ean, data).values, made.values)


def test_the_datas_class_order_counts(ean):
    data = synthetic(14)
    order = [6, 0, 3, 1, 2, 5, 4]
    names = tuple(data.class_names[i] for i in order)
    other = replace(data, class_names=names, labels=np.argsort(order)[data.labels])
    expected = generate_distributions(ean, data).values[:, order]
    np.testing.assert_allclose(generate_distributions(ean, other).values, expected, atol=1e-7)


@pytest.mark.parametrize("names", [CANONICAL, CANONICAL[1:]])
def test_other_classes_are_refused(ean, names):
    with pytest.raises(ValueError, match=r"`generator` must have the classes \('.*Received: \('angry'"):
        generate_distributions(ean, replace(synthetic(7), class_names=names))


def test_a_tflite_file_is_no_generator(ean):
    loaded = replace(ean, name="ean_float32.tflite", model=None)
    with pytest.raises(ValueError, match=r"`generator` must be a Keras model .*Received: ean_float32\.tflite"):
        generate_distributions(loaded, synthetic(7))


def test_what_was_made_is_found_again(ean, tmp_path, monkeypatch):
    data = synthetic(14)
    made = generate_distributions(ean, data, tmp_path)
    assert [p.suffix for p in tmp_path.iterdir()] == [".npz"]
    monkeypatch.setattr(module, "predict_dataset", nobody)
    again = generate_distributions(ean, synthetic(14), tmp_path)
    np.testing.assert_array_equal(again.values, made.values)
    assert again.source == made.source
    with pytest.raises(AssertionError, match="predicted again"):
        generate_distributions(ean, data)  # without the folder nothing is found


def other_data(ean):
    return ean, synthetic(14, seed=1)


def other_classes(ean):
    data = synthetic(14)
    return ean, replace(data, class_names=tuple(reversed(data.class_names)))


def other_weights(ean):
    model = kerafer.build_model("ean", weights="fer2013")
    model.get_layer("tail_bn").beta.assign(np.arange(7) / 10)
    return replace(ean, model=model, runner=kerafer.runtime.KerasRunner(model)), synthetic(14)


def other_scaling(ean):
    contract = replace(ean.card.preprocessing, mean=(0.5, 0.5, 0.5))
    return replace(ean, card=replace(ean.card, preprocessing=contract)), synthetic(14)


@pytest.mark.parametrize("other", [other_data, other_classes, other_weights, other_scaling])
def test_another_generator_or_other_data_get_a_file_of_their_own(ean, tmp_path, other):
    first = generate_distributions(ean, synthetic(14), tmp_path)
    generator, data = other(ean)
    second = generate_distributions(generator, data, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert np.abs(first.values - second.values).max() > 1e-4
    np.testing.assert_array_equal(second.values, generate_distributions(generator, data).values)


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def of_another_size(path):
    np.savez(path, values=np.full((13, 7), 1 / 7, np.float32))


def without_values(path):
    np.savez(path, other=np.zeros(3))


def pickled(path):
    np.savez(path, values=np.array([{}], dtype=object))


@pytest.mark.parametrize("damage", [cut, of_another_size, without_values, pickled])
def test_a_damaged_file_is_named(ean, tmp_path, damage):
    generate_distributions(ean, synthetic(14), tmp_path)
    path = next(tmp_path.iterdir())
    damage(path)
    with pytest.raises(ValueError, match=f"{path.name} .*Remove it"):
        generate_distributions(ean, synthetic(14), tmp_path)
    path.unlink()
    assert generate_distributions(ean, synthetic(14), tmp_path).values.shape == (14, 7)


def test_no_distribution_is_refused():
    good = np.full((3, 7), 1 / 7, np.float32)
    assert Distributions(good, {}).values is good
    for wrong in (good * 2, good - np.eye(3, 7), np.where(np.eye(3, 7), np.nan, good)):
        with pytest.raises(ValueError, match=r"must be distributions.*Received: row 0, \["):
            Distributions(wrong, {})
    with pytest.raises(ValueError, match="row 2"):
        Distributions(good * np.array([[1], [1], [1.1]]), {})
    with pytest.raises(ValueError, match=r"`values` must have shape \(images, classes\)\. Received: \(7,\)"):
        Distributions(good[0], {})
