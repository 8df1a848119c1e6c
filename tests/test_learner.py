"""The learner's losses against the papers' numbers, and the teacher against calling it by hand."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

import kerafer
from kerafer.data.pipeline import TrainingBatches
from kerafer.data.samples import synthetic
from kerafer.labels import CANONICAL, LABELS_7
from kerafer.layers import LUMA, with_rgb_input
from kerafer.loading import LoadedModel
from kerafer.losses import ComboLoss
from kerafer.preprocess import Preprocessing
from kerafer.runtime import KerasRunner
from kerafer.training import recipe
from kerafer.training.learner import Learner, Teacher, accuracy

# numbers of tests/test_losses.py: logits of a student and a teacher, and hard labels
STUDENT = np.array([[1, 0.5, -0.5, 2, 0, -1, 0.25], [0.1, -0.2, 0.3, 0, 1.5, -0.7, 0.4]], np.float32)
TEACHER = np.array([[0.8, 0.2, -1, 3, 0.5, -0.5, 0], [0, 0.1, 0.2, -0.3, 2.5, -1, 0.9]], np.float32)
HARD = np.eye(7, dtype=np.float32)[[3, 6]]
P = np.exp(TEACHER) / np.exp(TEACHER).sum(axis=1, keepdims=True)
PACKED = np.stack([HARD, P], axis=1)  # (2, 2, 7)
CROSS_ENTROPY = 1.3416752178
COMBO_02 = -0.1628206716


def learner(loss, teacher=None, **changes):
    """A learner whose student gives its input as logits."""
    inputs = keras.Input((7,))
    student = keras.Model(inputs, keras.layers.Dense(7, use_bias=False, kernel_initializer="identity")(inputs))
    return Learner(student, recipe("ean_paper", loss=loss, **changes), teacher)


def trained_loss(model, y):
    return float(model.compute_loss(STUDENT, y, model(STUDENT, training=True), training=True))


def loaded(model, contract, labels=LABELS_7, name="teacher"):
    card = SimpleNamespace(preprocessing=contract, labels=tuple(labels))
    return LoadedModel(name, card, KerasRunner(model), model)


def faces(contract, count=4, seed=0):
    """Crops in the student's scaling, (n, height, width, 3), and their pixels in 0 to 1."""
    crops = np.random.default_rng(seed).integers(0, 256, (count, *contract.size, 3)).astype(np.uint8)
    return contract.scale(crops), crops / np.float32(255)


def log(probabilities):
    return np.log(np.asarray(probabilities, np.float64))


# What is learned


@pytest.mark.parametrize(
    ("loss", "changes", "expected"),
    [
        ("cross_entropy", {}, CROSS_ENTROPY),
        ("label_distribution", {}, 0.17933618647),
        ("kl", {}, 0.01856558299),
        ("distillation", {}, 0.7371666668),
        ("distillation", {"alpha": 0.3}, 0.9789700872),
        ("distillation", {"temperature": 10.0}, 0.7331217121),
        ("distillation", {"alpha": 0.7}, 0.4953632464),
    ],
)
def test_each_loss_gives_its_papers_number(loss, changes, expected):
    teacher = (lambda x: TEACHER) if loss == "distillation" else None
    y = PACKED if loss in ("label_distribution", "kl") else HARD
    assert trained_loss(learner(loss, teacher, **changes), y) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("loss", "alone"), [("cross_entropy", CROSS_ENTROPY), ("kl", 0.01856558299)])
@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_combo_is_added_on_hard_labels(loss, alone, weight):
    model = learner(loss, combo_weight=weight, combo_beta=0.2)
    expected = alone + weight * COMBO_02
    assert trained_loss(model, PACKED if loss == "kl" else HARD) == pytest.approx(expected, abs=1e-6)


def test_combos_constants_are_the_recipes():
    model = learner("kl", combo_weight=1.0, combo_alpha=0.3, combo_beta=0.6)
    combo = float(ComboLoss(0.3, 0.6, from_logits=True)(HARD, STUDENT))
    assert trained_loss(model, PACKED) == pytest.approx(0.01856558299 + combo, abs=1e-6)


def test_smoothing_is_of_hard_labels_alone():
    smooth = HARD * 0.9 + 0.1 / 7
    log_q = STUDENT - np.log(np.exp(STUDENT).sum(axis=1, keepdims=True))
    expected = -(smooth * log_q).sum(axis=1).mean()
    assert trained_loss(learner("cross_entropy", label_smoothing=0.1), HARD) == pytest.approx(expected, abs=1e-6)
    assert trained_loss(learner("kl", label_smoothing=0.1), PACKED) == pytest.approx(0.01856558299, abs=1e-6)


def test_mixed_labels_are_labels_too():
    mixed = np.float32(0.7) * HARD + np.float32(0.3) * HARD[::-1]
    log_q = STUDENT - np.log(np.exp(STUDENT).sum(axis=1, keepdims=True))
    expected = -(mixed * log_q).sum(axis=1).mean()
    assert trained_loss(learner("cross_entropy"), mixed) == pytest.approx(expected, abs=1e-6)


def test_regularisers_count_in_training_alone():
    inputs = keras.Input((7,))
    dense = keras.layers.Dense(7, use_bias=False, kernel_initializer="identity", kernel_regularizer="l2")
    model = Learner(keras.Model(inputs, dense(inputs)), recipe("ean_paper"))
    assert trained_loss(model, HARD) == pytest.approx(CROSS_ENTROPY + 0.01 * 7, abs=1e-6)
    measured = model.compute_loss(STUDENT, HARD, model(STUDENT), training=False)
    assert float(measured) == pytest.approx(CROSS_ENTROPY, abs=1e-6)


@pytest.mark.parametrize("y", [HARD, PACKED], ids=["hard", "packed"])
@pytest.mark.parametrize("loss", ["cross_entropy", "label_distribution", "kl", "distillation"])
def test_every_method_is_measured_by_plain_cross_entropy(loss, y):
    def teacher(x):
        raise AssertionError("nobody teaches while a model is measured")

    changes = {"combo_weight": 1.0, "label_smoothing": 0.1}
    model = learner(loss, teacher if loss == "distillation" else None, **changes)
    model.compile(weighted_metrics=[accuracy])
    measured = model.evaluate(STUDENT, y, verbose=0, return_dict=True)
    assert measured == pytest.approx({"loss": CROSS_ENTROPY, "accuracy": 0.5}, abs=1e-6)


def test_the_teachers_output_takes_no_gradient():
    import tensorflow as tf

    weight = keras.Variable(np.float32(1.0))
    model = learner("distillation", lambda x: weight * TEACHER)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(STUDENT, HARD, model(STUDENT, training=True), training=True)
    of_student, of_teacher = tape.gradient(loss, [model.student.trainable_variables[0].value, weight.value])
    assert of_teacher is None
    assert np.abs(of_student).max() > 0


# Who teaches


def test_a_teacher_of_the_students_size_gives_its_own_probabilities(ean):
    x, _ = faces(ean.card.preprocessing)
    given = Teacher([ean], ean.card.preprocessing, ean.card.labels)(x)
    np.testing.assert_allclose(given, log(ean.model(x)), atol=1e-5)


def test_another_class_order_is_put_right(ean):
    x, _ = faces(ean.card.preprocessing)
    names = tuple(reversed(ean.card.labels))
    given = Teacher([ean], ean.card.preprocessing, names)(x)
    np.testing.assert_allclose(given, log(ean.model(x))[:, ::-1], atol=1e-5)


@pytest.fixture(scope="module")
def lcnn():
    return with_rgb_input(kerafer.build_model("lcnn"))


@pytest.mark.parametrize("side", [36, 48, 64])
def test_another_size_and_scaling(lcnn, side):
    theirs = Preprocessing((48, 48), (48, 48), mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3))
    own = Preprocessing((side, side), (side, side), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    x, pixels = faces(own, count=2)
    given = Teacher([loaded(lcnn, theirs)], own, LABELS_7)(x)
    channels = [
        [Image.fromarray(p[..., c]).resize((48, 48), Image.Resampling.BILINEAR) for c in range(3)] for p in pixels
    ]
    resized = np.stack([np.stack([np.asarray(c) for c in picture], axis=-1) for picture in channels])
    shown = (resized - np.float32(theirs.mean)) / np.float32(theirs.std)
    expected = log(lcnn(shown.astype(np.float32)))
    np.testing.assert_allclose(given, expected, atol=1e-4)
    unscaled = log(lcnn(resized.astype(np.float32)))
    assert np.abs(unscaled - expected).max() > 1e-2  # so the comparison above can tell


def test_enlarged_faces_are_shown_as_sharp_as_they_were(ean):
    own = Preprocessing((96, 96), (104, 104))
    noise = np.random.default_rng(0).integers(0, 256, (2, 50, 50))
    noise = sum(noise[:, i : i + 48, j : j + 48] for i in range(3) for j in range(3)) // 9  # as fine as faces are
    noise = noise.astype(np.uint8)
    large = own.batch(noise)
    theirs = ean.card.preprocessing.batch(np.repeat(noise[..., None], 3, axis=-1))
    error = {
        enlarged: np.abs(np.asarray(Teacher([ean], own, ean.card.labels, enlarged=enlarged).views(large)[0]) - theirs)
        for enlarged in (1.0, 104 / 48)
    }
    assert error[104 / 48].mean() < 0.7 * error[1.0].mean()
    shown = np.asarray(Teacher([ean], own, ean.card.labels, enlarged=104 / 48).views(large)[0])
    assert shown.min() >= 0
    assert shown.max() <= 1


def test_faces_with_more_pixels_than_a_teacher_are_averaged(ean):
    own = Preprocessing((176, 176), (192, 192))
    fine = np.indices((176, 176)).sum(axis=0) % 2  # a checkerboard of single pixels, from pictures of 144
    x = np.repeat(np.float32(fine)[None, ..., None], 3, axis=-1)
    shown = np.asarray(Teacher([ean], own, ean.card.labels, enlarged=192 / 144).views(x)[0])
    np.testing.assert_allclose(shown[:, 2:-2, 2:-2], 0.5, atol=0.02)


def test_an_ensemble_is_the_mean_of_probabilities(ean, lcnn):
    own = ean.card.preprocessing
    theirs = Preprocessing((44, 44), (48, 48), mean=(0.5,) * 3, std=(0.25,) * 3)
    small = with_rgb_input(kerafer.build_model("lcnn", input_shape=(44, 44, 1)))
    x, _ = faces(own)
    given = Teacher([ean, loaded(small, theirs)], own, ean.card.labels)(x)
    expected = (np.asarray(ean.model(x)) + np.asarray(small((x - 0.5) / 0.25))) / 2
    np.testing.assert_allclose(given, log(expected), atol=1e-5)


def test_a_gray_student_shows_a_colour_teacher_its_gray(ean):
    _, pixels = faces(ean.card.preprocessing)
    gray = pixels @ np.float32(LUMA)[:, None]  # (n, 44, 44, 1)
    given = Teacher([ean], ean.card.preprocessing, ean.card.labels, channels=1)(gray)
    np.testing.assert_allclose(given, log(ean.model(np.repeat(gray, 3, axis=-1))), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_teacher_is_as_exact_beside_a_student_in_half_precision(ean, policy):
    own = replace(ean.card.preprocessing, mean=(0.5,) * 3, std=(0.05,) * 3)
    x, pixels = faces(own)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        teacher = Teacher([ean], own, ean.card.labels)
        given = teacher(x)
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(given, log(ean.model(pixels)), atol=1e-4)


def test_impossible_is_no_minus_infinity(ean):
    certain = keras.Sequential([keras.Input((44, 44, 3)), keras.layers.Flatten(), keras.layers.Dense(7)])
    certain.layers[-1].kernel.assign(np.zeros((44 * 44 * 3, 7)))
    certain.layers[-1].bias.assign([1, 0, 0, 0, 0, 0, 0])
    contract = ean.card.preprocessing
    given = np.asarray(Teacher([loaded(certain, contract)], contract, ean.card.labels)(faces(contract)[0]))
    assert np.isfinite(given).all()
    assert (given.argmax(axis=1) == 0).all()


def test_training_leaves_the_teacher_as_it_was(ean, lcnn):
    own = ean.card.preprocessing
    teachers = [ean, loaded(lcnn, Preprocessing((48, 48), (48, 48)))]
    before = [[np.array(w) for w in t.model.get_weights()] for t in teachers]
    inputs = keras.Input((44, 44, 3))
    student = keras.Model(inputs, keras.layers.Dense(7)(keras.layers.Flatten()(inputs)))
    model = Learner(student, recipe("ean_transfer"), Teacher(teachers, own, ean.card.labels))
    assert len(model.trainable_variables) == 2
    model.compile(keras.optimizers.SGD(0.1))
    batches = TrainingBatches(synthetic(14), own, 7, ("five_crop",))
    start = student.get_weights()[0]
    model.fit(batches.to_tf(0, 4), verbose=0)
    assert np.abs(student.get_weights()[0] - start).max() > 0
    for teacher, weights in zip(teachers, before, strict=True):
        for one, other in zip(teacher.model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert all(layer.trainable for t in teachers for layer in (t.model, *t.model.layers))


def test_wrong_teachers_are_refused(ean):
    contract = ean.card.preprocessing
    with pytest.raises(ValueError, match="one model or more"):
        Teacher([], contract, ean.card.labels)
    with pytest.raises(ValueError, match=r"Keras model .*Received: a\.tflite"):
        Teacher([replace(ean, name="a.tflite", model=None)], contract, ean.card.labels)
    with pytest.raises(ValueError, match="`teacher` must have the classes"):
        Teacher([ean], contract, CANONICAL)
    with pytest.raises(ValueError, match="`teacher` must have the classes"):
        Teacher([ean], contract, ean.card.labels[:6])
