"""Batches as pure functions of seed and step."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from PIL import Image

import kerafer
from kerafer.data.pipeline import EvaluationBatches, TrainingBatches
from kerafer.data.samples import synthetic
from kerafer.data.stored import DecodedImages, ImageFiles, decode
from kerafer.labels import LABELS_7
from kerafer.layers import LUMA

CONTRACT = kerafer.model_spec("ean").preprocessing


def batches(count=28, size=4, seed=1, names=("random_crop", "flip"), **options):
    return TrainingBatches(synthetic(count), CONTRACT, size, names, seed, **options)


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def images_of(plain, steps):
    """Numbers of the images in steps of batches without augmentation, (steps, batch)."""
    whole = plain.data.inputs(plain.preprocessing).reshape(len(plain.data), -1)
    assert len(np.unique(whole, axis=0)) == len(whole)
    x = np.stack([plain.batch(step)[0] for step in steps]).reshape(len(steps), plain.batch_size, 1, -1)
    same = (x[..., :400] == whole[:, :400]).all(axis=-1)  # (steps, batch, images); a few rows tell them apart
    assert (same.sum(axis=-1) == 1).all()
    return same.argmax(axis=-1)


def distributions(data, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(7), len(data)).astype(np.float32)


# Seed and step


def test_a_batch_depends_on_seed_and_step_alone():
    one, other = batches(), batches()
    later = [one.batch(step) for step in (9, 3, 9)]
    np.testing.assert_array_equal(later[0][0], later[2][0])
    np.testing.assert_array_equal(later[1][0], other.batch(3)[0])
    assert not np.array_equal(batches(seed=2).batch(3)[0], later[1][0])


def test_an_epoch_is_a_permutation():
    plain = TrainingBatches(synthetic(30), CONTRACT, 7, (), seed=0)
    assert len(plain) == 4
    seen = images_of(plain, range(8))
    for epoch in (seen[:4], seen[4:]):
        assert len(set(epoch.ravel())) == 28
    assert (seen[:4] != seen[4:]).any()
    labels = np.stack([plain.batch(step)[1] for step in range(8)])
    np.testing.assert_array_equal(labels, np.eye(7)[plain.data.labels[seen]])


@pytest.mark.parametrize("options", [{}, {"mixup": 0.4}, {"balanced": True}], ids=str)
def test_tf_data_and_generator_give_the_same_batches_from_any_step(options):
    expected = [batches(**options).batch(step) for step in range(5, 10)]
    given = list(batches(**options).to_tf(5, 10).as_numpy_iterator())
    threads = list(islice(batches(**options).generator(5), 5))
    for here, tf_batch, thread_batch in zip(expected, given, threads, strict=True):
        assert_equal(here, tf_batch)
        assert_equal(here, thread_batch)


def test_a_gray_model_gets_luma():
    colour = replace(synthetic(8), images=np.random.default_rng(0).integers(0, 256, (8, 48, 48, 3)).astype(np.uint8))
    three, one = (TrainingBatches(colour, CONTRACT, 4, ("flip", "five_crop"), 1, channels) for channels in (3, 1))
    assert one.batch(1)[0].shape == (4, 44, 44, 1)
    np.testing.assert_allclose(one.batch(1)[0][..., 0], three.batch(1)[0] @ np.float32(LUMA), atol=1e-6)


def test_a_batch_larger_than_the_split_is_refused():
    with pytest.raises(ValueError, match=r"`batch_size` must be 1 to the number of images, 28\. Received: .*29"):
        batches(size=29)


def test_larger_pictures_are_resized_before_cropping():
    data = synthetic(4)
    large = np.repeat(np.repeat(data.images, 2, axis=1), 2, axis=2)
    doubled = TrainingBatches(replace(data, images=large), CONTRACT, 4, ("five_crop",), seed=0)
    same = TrainingBatches(data, CONTRACT, 4, ("five_crop",), seed=0)
    np.testing.assert_allclose(doubled.batch(0)[0], same.batch(0)[0], atol=1e-6)


# Distributions and mixup


def test_distributions_stand_beside_their_own_images():
    data = synthetic(30)
    values = distributions(data)
    made = TrainingBatches(data, CONTRACT, 7, (), seed=3, distributions=values)
    numbers = images_of(made, range(5))
    for step in range(5):
        y = made.batch(step)[1]
        assert (y.shape, y.dtype) == ((7, 2, 7), np.float32)
        np.testing.assert_array_equal(y[:, 0], np.eye(7)[data.labels[numbers[step]]])
        np.testing.assert_array_equal(y[:, 1], values[numbers[step]])


@pytest.mark.parametrize("shape", [(27, 7), (28, 8), (28,)])
def test_distributions_of_other_data_are_refused(shape):
    with pytest.raises(ValueError, match=r"`distributions` must have shape \(28, 7\)\. Received: "):
        batches(distributions=np.zeros(shape, np.float32))


def mixing(x, sources):
    """Return for each input its two sources and the weight of the first that explain it best."""
    flat, all_sources = x.reshape(len(x), -1), sources.reshape(len(sources), -1)
    found = []
    for i, mixed in enumerate(flat):
        own = all_sources[i]  # a batch without mixup has the same images in the same places
        fits = []
        for j, other in enumerate(all_sources):
            along = other - own
            weight = 1 - float((mixed - own) @ along / max(float(along @ along), 1e-12))
            error = round(float(np.abs(weight * own + (1 - weight) * other - mixed).max()), 6)
            fits.append((error, j != i, j, weight))  # unmixed, an image is its own partner
        error, _, j, weight = min(fits)
        found.append((error, j, weight))
    return found


@pytest.mark.parametrize("soft", [False, True])
def test_mixup_mixes_pictures_and_labels_alike(soft):
    data = synthetic(42)
    values = distributions(data) if soft else None
    options = {"seed": 5, "distributions": values}
    mixed = TrainingBatches(data, CONTRACT, 14, ("random_crop", "flip"), mixup=0.8, **options)
    # the same crops as the mixed batch draws: two for each place, its own and its partner's
    weights = []
    for step in (0, 4):
        x, y = mixed.batch(step)
        plain = TrainingBatches(data, CONTRACT, 14, ("random_crop", "flip"), **options)
        sources, labels = plain.batch(step)
        for i, (error, j, weight) in enumerate(mixing(x, sources)):
            assert error < 1e-5
            assert -1e-5 <= weight <= 1 + 1e-5
            if j != i:
                np.testing.assert_allclose(y[i], weight * labels[i] + (1 - weight) * labels[j], atol=1e-4)
                weights.append(weight)
    assert len(weights) >= 20
    assert np.std(weights) > 0.1  # each image has a weight of its own


def test_mixups_partners_are_a_permutation_and_change():
    mixed = batches(28, 14, names=(), mixup=1.0)
    plain = batches(28, 14, names=())
    partners = [[j for _, j, _ in mixing(mixed.batch(s)[0], plain.batch(s)[0])] for s in (0, 1, 2)]
    assert all(sorted(p) == list(range(14)) for p in partners)
    assert partners[0] != partners[1] != partners[2]


def test_mixups_weights_are_of_the_beta_distribution():
    mixed, plain = (TrainingBatches(synthetic(70), CONTRACT, 70, (), mixup=mixup) for mixup in (0.2, 0.0))
    sources = [plain.batch(step)[0] for step in range(6)]
    found = [f for step in range(6) for f in enumerate(mixing(mixed.batch(step)[0][:, :8], sources[step][:, :8]))]
    weights = np.array([weight for i, (_, j, weight) in found if i != j])
    # the variance of Beta(a, a) is 1 / (4 (2 a + 1))
    assert weights.mean() == pytest.approx(0.5, abs=0.06)
    assert weights.var() == pytest.approx(1 / (4 * 1.4), rel=0.12)


# Balanced sampling


@pytest.fixture(scope="module")
def uneven():
    """60 images: 45 of class 3, 10 of class 0, 5 of class 6."""
    data = synthetic(60)
    return replace(data, labels=np.repeat([3, 0, 6], [45, 10, 5]).astype(np.int64))


def test_balanced_sampling_draws_classes_equally_and_all_their_images(uneven):
    made = TrainingBatches(uneven, CONTRACT, 20, (), seed=2, balanced=True)
    assert len(made) == 3
    drawn = np.concatenate([made._epoch_order(epoch) for epoch in range(50)])
    labels, counts = np.unique(uneven.labels[drawn], return_counts=True)
    np.testing.assert_array_equal(labels, [0, 3, 6])
    np.testing.assert_allclose(counts / len(drawn), 1 / 3, atol=0.03)  # 3000 draws: more than three deviations
    assert set(drawn.tolist()) == set(range(60))
    of_rare = np.bincount(drawn, minlength=60)[55:]
    np.testing.assert_allclose(of_rare / of_rare.sum(), 1 / 5, atol=0.04)


def test_balanced_batches_are_pure_and_hold_their_own_labels(uneven):
    one, other = (TrainingBatches(uneven, CONTRACT, 20, (), seed=2, balanced=True) for _ in range(2))
    expected = [one.batch(step) for step in range(6)]
    for step in (5, 0, 3):
        assert_equal(other.batch(step), expected[step])
    numbers = images_of(one, range(6))
    np.testing.assert_array_equal(
        np.stack([y for _, y in expected]), np.eye(7, dtype=np.float32)[uneven.labels[numbers]]
    )
    assert (numbers[:3] != numbers[3:]).any()


# Parts of a batch, for several hosts


@pytest.mark.parametrize(
    "options",
    [{}, {"mixup": 0.4}, {"balanced": True}, {"channels": 1}, {"soft": True, "mixup": 0.4}],
    ids=str,
)
def test_parts_put_together_are_the_whole(options):
    options = dict(options)
    if options.pop("soft", False):
        options["distributions"] = distributions(synthetic(28))
    names = ("photometric", "random_resized_crop", "flip")
    whole = batches(size=6, names=names, **options)
    parts = [batches(size=6, names=names, part=(number, 3), **options) for number in range(3)]
    for step in (0, 3, 5):
        made = [part.batch(step) for part in parts]
        assert all(len(x) == len(y) == 2 for x, y in made)
        assert_equal([np.concatenate(side) for side in zip(*made, strict=True)], whole.batch(step))


@pytest.mark.parametrize(("size", "part"), [(4, (0, 3)), (4, (2, 2)), (4, (-1, 2))])
def test_impossible_parts_are_refused(size, part):
    with pytest.raises(ValueError, match=r"multiple of the hosts' number. Received: batch_size=4, part="):
        batches(size=size, part=part)


# Evaluation


def test_evaluation_keeps_order_and_centre_crops():
    data = synthetic(10)
    parts = list(data.to_tf(CONTRACT, batch_size=4).as_numpy_iterator())
    x = np.concatenate([p[0] for p in parts])
    np.testing.assert_array_equal(x, np.stack([CONTRACT(image) for image in data.images]))
    np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]).argmax(axis=1), data.labels)
    made = EvaluationBatches(data, CONTRACT, batch_size=4)
    assert [len(made[i]) for i in range(len(made))] == [2, 2, 2]  # no weights
    np.testing.assert_array_equal(np.concatenate([made[i][0] for i in range(3)]), x)
    assert made.fill == 1


def test_parts_of_an_evaluation_hold_each_image_once():
    data = synthetic(10)
    parts = [EvaluationBatches(data, CONTRACT, batch_size=5, part=(number, 2)) for number in range(2)]
    assert [len(p) for p in parts] == [3, 3]  # four images a batch, a multiple of two
    together = [[np.concatenate(side) for side in zip(*(p[i] for p in parts), strict=True)] for i in range(3)]
    assert all(len(x) == 4 for x, _, _ in together)
    x, y, weights = (np.concatenate(side) for side in zip(*together, strict=True))
    np.testing.assert_array_equal(weights, [1] * 10 + [0] * 2)
    np.testing.assert_array_equal(x[:10], data.inputs(CONTRACT))
    np.testing.assert_array_equal(y[:10].argmax(axis=1), data.labels)
    assert parts[0].fill == 12 / 10


def test_filled_up_images_change_no_measure():
    import keras

    data = synthetic(10)
    inputs = keras.Input((44, 44, 3))
    model = keras.Model(inputs, keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(inputs)))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, weighted_metrics=["accuracy"])
    whole = model.evaluate(EvaluationBatches(data, CONTRACT, batch_size=4), verbose=0, return_dict=True)
    parts = [EvaluationBatches(data, CONTRACT, batch_size=4, part=(number, 2)) for number in range(2)]
    joined = [[np.concatenate(side) for side in zip(*(p[i] for p in parts), strict=True)] for i in range(3)]
    x, y, weights = (np.concatenate(side) for side in zip(*joined, strict=True))
    filled = model.evaluate(x, y, sample_weight=weights, batch_size=4, verbose=0, return_dict=True)
    assert filled["accuracy"] == pytest.approx(whole["accuracy"], abs=1e-6)
    assert filled["loss"] * parts[0].fill == pytest.approx(whole["loss"], abs=1e-5)


# Pictures on disk


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """The synthetic faces as files, a folder for each class."""
    root = tmp_path_factory.mktemp("faces")
    data = synthetic(21)
    for number, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        folder = root / LABELS_7[label]
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02}.png")
    return root


def test_pictures_on_disk_give_the_same_batches(on_disk, tmp_path):
    files = kerafer.load_data(f"folder:{on_disk}", "train", progress=False)
    decoded = decode(files, tmp_path, CONTRACT.resize, progress=False)
    assert isinstance(files.images, ImageFiles)
    assert isinstance(decoded.images, DecodedImages)
    pixels = files.pixels(np.arange(21), CONTRACT)
    in_memory = replace(files, images=pixels)
    drawn = synthetic(21).images.reshape(21, -1)  # (21, 48 * 48)
    assert sorted(map(bytes, pixels.reshape(21, -1))) == sorted(map(bytes, drawn))
    options = {"distributions": distributions(files), "mixup": 0.3}
    expected = TrainingBatches(in_memory, CONTRACT, 7, ("five_crop", "flip"), 4, **options)
    for stored in (files, decoded):
        made = TrainingBatches(stored, CONTRACT, 7, ("five_crop", "flip"), 4, **options)
        for step in (0, 4):
            assert_equal(made.batch(step), expected.batch(step))
        evaluated, wanted = EvaluationBatches(stored, CONTRACT, 8), EvaluationBatches(in_memory, CONTRACT, 8)
        for number in range(len(wanted)):
            assert_equal(evaluated[number], wanted[number])
