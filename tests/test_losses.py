"""The losses against float64 numbers of the papers' equations (cross-checked with PyTorch)."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from loss_cases import (
    EXACT,
    LABELS,
    LOSSES,
    ONE_HOT,
    OPTIONS,
    PACKED,
    STUDENT,
    TEACHER,
    P,
    Q,
    gradient,
    numeric_gradient,
    softmax,
    targets,
    value,
)

from kerafer.losses import ComboLoss, DistillationLoss, KLLoss, LabelDistributionLoss, distillation_targets


def test_label_distribution_loss_is_efficientfaces_equation_5():
    loss = LabelDistributionLoss(**EXACT)
    assert value(loss, P, STUDENT) == pytest.approx(0.17933618647433697, abs=1e-14)
    assert value(loss, ONE_HOT, STUDENT) == pytest.approx(0.1916678883, abs=1e-10)
    crossentropy = keras.losses.CategoricalCrossentropy(**EXACT)  # the trap: without 1/c
    assert value(crossentropy, P, STUDENT) == pytest.approx(1.2553533053, abs=1e-10)
    assert value(crossentropy, P, STUDENT) == pytest.approx(7 * value(loss, P, STUDENT), abs=1e-12)


def test_kl_loss_is_lfer_ldls_equation_5():
    assert value(KLLoss(**EXACT), P, STUDENT) == pytest.approx(0.018565582988702273, abs=1e-14)
    assert value(KLLoss(class_reduction="sum", **EXACT), P, STUDENT) == pytest.approx(0.1299590809, abs=1e-10)
    reversed_kl = value(KLLoss(**EXACT), Q, TEACHER)
    assert reversed_kl == pytest.approx(0.0210712111, abs=1e-10)
    assert abs(reversed_kl - value(KLLoss(**EXACT), P, STUDENT)) > 1e-3


def test_kl_and_label_distribution_losses_differ_by_entropy_and_train_equally():
    ldl, kl = LabelDistributionLoss(**EXACT), KLLoss(**EXACT)
    assert value(ldl, P, STUDENT) - value(kl, P, STUDENT) == pytest.approx(0.1607706035, abs=1e-10)
    np.testing.assert_allclose(gradient(ldl, P, STUDENT), gradient(kl, P, STUDENT), atol=1e-15)
    np.testing.assert_allclose(gradient(ldl, P, STUDENT), (Q - P) / 14, atol=1e-15)
    row = [0.0070777673, 0.0046307663, 0.0019178039, -0.0176798361, 0.0004206054, 0.0001547321, 0.0034781611]
    np.testing.assert_allclose(gradient(ldl, P, STUDENT)[0], row, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [-0.1628206716, -0.1506488328, -0.1465915531]),
        ({"alpha": 1.0}, [0.1267514142, 0.1510950920, 0.1592096512]),
        ({"one_minus_dice": True}, [0.3371793284, 0.3493511672, 0.3534084469]),
        ({"class_reduction": "sum"}, [0.2174335710, 0.3026364432, 0.3310374006]),
        ({"dice_over": "sample"}, [-0.2084546085, -0.1962827696, -0.1922254900]),
        ({"dice_over": "class"}, [-0.3244467960, -0.3122749571, -0.3082176774]),
        ({"alpha": 0.0}, [-0.4523927575] * 3),
    ],
)
@pytest.mark.parametrize("from_logits", [True, False])
def test_combo_loss_is_lfer_ldls_equation_6(options, expected, from_logits):
    y_pred = STUDENT if from_logits else Q
    for beta, number in zip((0.2, 0.5, 0.6), expected, strict=True):
        loss = ComboLoss(beta=beta, from_logits=from_logits, dtype="float64", **options)
        assert value(loss, ONE_HOT, y_pred) == pytest.approx(number, abs=2e-10)


def test_combo_loss_without_smoothing_with_soft_targets_and_not_the_copied_snippet():
    assert value(ComboLoss(beta=0.2, epsilon=0, **EXACT), ONE_HOT, STUDENT) == pytest.approx(-0.0943697663, abs=1e-10)
    assert value(ComboLoss(beta=0.2, **EXACT), P, STUDENT) == pytest.approx(-0.1802226231, abs=1e-10)
    both_weighted = 0.2 * -(ONE_HOT * np.log(Q)) - 0.2 * 0.8 * (1 - ONE_HOT) * np.log(1 - Q)
    snippet = 0.5 * both_weighted.mean() - 0.5 * 0.4523927575
    assert snippet == pytest.approx(-0.1981878063, abs=1e-9)
    assert abs(value(ComboLoss(beta=0.2, **EXACT), ONE_HOT, STUDENT) - snippet) > 1e-2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 0.7371666668),
        ({"soften_cross_entropy": True}, 0.9516598079),
        ({"class_reduction": "mean"}, 0.6803131886),
        ({"class_reduction": "mean", "soften_cross_entropy": True}, 0.8948063297),
        ({"alpha": 0.3}, 0.9789700872),
        ({"alpha": 0.7}, 0.4953632464),
        ({"temperature": 10.0}, 0.7331217121),
        ({"alpha": 1.0}, 0.1326581158),
        ({"alpha": 1.0, "class_reduction": "mean"}, 25 * 0.0007580464),
        ({"alpha": 0.0}, 1.3416752178),
        ({"alpha": 0.0, "soften_cross_entropy": True}, 1.7706614999),
    ],
)
@pytest.mark.parametrize("from_logits", [True, False])
def test_distillation_loss_is_eans_equations_4_to_8(options, expected, from_logits):
    loss = DistillationLoss(from_logits=from_logits, dtype="float64", **options)
    assert value(loss, PACKED, STUDENT if from_logits else Q) == pytest.approx(expected, abs=2e-9)


def test_distillation_gradient():
    computed = gradient(DistillationLoss(dtype="float64"), PACKED, STUDENT)
    softened = softmax(STUDENT / 5) - softmax(TEACHER / 5)
    np.testing.assert_allclose(computed, (0.5 * 5 * softened + 0.5 * (Q - ONE_HOT)) / 2, atol=1e-14)
    row = [0.0598243329, 0.0439712363, 0.0289340395, -0.1709698651, 0.0056277478, -0.0028993242, 0.0355118321]
    np.testing.assert_allclose(computed[0], row, atol=1e-10)


@pytest.mark.parametrize("options", [{}, OPTIONS[ComboLoss], {"dice_over": "sample"}])
def test_combo_gradient_is_that_of_its_value(options):
    loss = ComboLoss(**options, **EXACT)
    expected = numeric_gradient(loss, ONE_HOT, STUDENT)
    np.testing.assert_allclose(gradient(loss, ONE_HOT, STUDENT), expected, atol=1e-9)
    assert np.abs(expected).max() > 1e-3


# Precision


@pytest.mark.parametrize("loss", LOSSES)
def test_float32_and_probabilities_agree_with_float64_logits(loss):
    y_true = targets(loss)
    exact = value(loss(**EXACT), y_true, STUDENT)
    single = value(loss(from_logits=True), y_true, STUDENT)
    assert single.dtype == np.float32
    assert single == pytest.approx(exact, abs=1e-6)
    assert value(loss(from_logits=False, dtype="float64"), y_true, Q) == pytest.approx(exact, abs=1e-12)
    assert value(loss(from_logits=False), y_true, Q) == pytest.approx(exact, abs=2e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_logits_are_computed_in_float32(loss):
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        for dtype in (None, "float16", keras.DTypePolicy("mixed_float16"), "bfloat16"):
            ours = loss(from_logits=True, dtype=dtype)
            assert ours.dtype == "float32"
            result = value(ours, targets(loss), tf.constant(STUDENT, tf.float16))
            assert result.dtype == np.float32
            rounded = value(loss(**EXACT), targets(loss), STUDENT.astype(np.float16).astype(np.float64))
            assert result == pytest.approx(rounded, abs=1e-6)
    finally:
        keras.mixed_precision.set_global_policy(policy)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("from_logits", [True, False])
def test_combo_loss_clips_probabilities(dtype, from_logits):
    logits = np.array([[200.0, 0, 0, 0, 0, 0, 0]])
    loss = ComboLoss(beta=0.2, from_logits=from_logits, dtype=dtype)
    tolerance = 1e-10 if dtype == "float64" else 2e-7
    for label, expected in ((0, -0.4999998476), (1, 0.9846259029)):
        y_pred = logits if from_logits else softmax(logits)
        assert value(loss, np.eye(7)[[label]], y_pred) == pytest.approx(expected, abs=tolerance)


def test_combo_loss_still_corrects_a_confidently_wrong_image():
    wrong = gradient(ComboLoss(from_logits=True), np.eye(7)[[1]], np.array([[200.0, 0, 0, 0, 0, 0, 0]], np.float32))
    assert wrong[0, 1] < -0.01 < 0.01 < wrong[0, 0]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("options", ["default", "all"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("size", [1e4, 65504.0])
def test_extreme_logits_stay_finite(loss, options, dtype, size):
    logits = np.array([[size, -size, 0, 0, 1, 2, 3], [-size] * 7, [size] * 6 + [-size]], dtype)
    labels = np.eye(7)[[1, 0, 6]]  # the worst label, any, the worst again
    y_true = distillation_targets(labels, -logits) if loss is DistillationLoss else labels
    ours = loss(from_logits=True, **(OPTIONS[loss] if options == "all" else {}))
    assert np.isfinite(value(ours, y_true, logits))
    slope = gradient(ours, y_true, logits.astype(np.float32))
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() > 1e-3
    probabilities = softmax(logits.astype(np.float32))
    ours = loss(from_logits=False, **(OPTIONS[loss] if options == "all" else {}))
    assert np.isfinite(value(ours, y_true, probabilities))
    assert np.isfinite(gradient(ours, y_true, probabilities)).all()


def test_zeros_and_denormals_of_the_target_add_nothing():
    y_true = np.array([[0.5, 0.5, 0, 0, 0, 0, 1e-40]], np.float32)
    assert value(KLLoss(from_logits=True), y_true, np.zeros((1, 7))) == pytest.approx(np.log(3.5) / 7, abs=1e-7)
    equal = np.array([[1.0, 0, 0, 0, 0, 0, 0]])
    assert value(KLLoss(), equal, equal) == 0


# Reductions, weights, labels


@pytest.mark.parametrize("loss", LOSSES)
def test_reductions_and_sample_weights(loss):
    y_true, weights = targets(loss), np.array([0.5, 3.0])

    def of(reduction, **call):
        return value(loss(reduction=reduction, **EXACT), y_true, STUDENT, **call)

    each = of("none")
    assert each.shape == (2,)
    assert abs(each[0] - each[1]) > 1e-3
    np.testing.assert_array_equal(of(None), each)
    assert of("sum_over_batch_size") == of("mean") == pytest.approx(each.mean(), abs=1e-14)
    assert of("sum") == pytest.approx(each.sum(), abs=1e-14)
    np.testing.assert_allclose(of("none", sample_weight=weights), each * weights, atol=1e-14)
    assert of("sum_over_batch_size", sample_weight=weights) == pytest.approx((each * weights).mean(), abs=1e-14)
    weighted = np.average(each, weights=weights)
    assert of("mean_with_sample_weight", sample_weight=weights) == pytest.approx(weighted, abs=1e-14)


@pytest.mark.parametrize("loss", [LabelDistributionLoss, KLLoss, DistillationLoss])
def test_an_images_value_does_not_depend_on_the_batch(loss):
    ours = loss(reduction="none", **EXACT)
    alone = value(ours, targets(loss)[:1], STUDENT[:1])
    np.testing.assert_allclose(alone, value(ours, targets(loss), STUDENT)[:1], atol=1e-15)


def test_weighted_combo_loss_is_weighted_entropy_minus_the_batchs_dice():
    weights = np.array([0.5, 3.0])
    entropy = value(ComboLoss(alpha=1, reduction="none", **EXACT), ONE_HOT, STUDENT)
    loss = ComboLoss(reduction="mean_with_sample_weight", **EXACT)
    expected = 0.5 * np.average(entropy, weights=weights) - 0.5 * 0.4523927575
    assert value(loss, ONE_HOT, STUDENT, sample_weight=weights) == pytest.approx(expected, abs=1e-9)


def test_combo_loss_takes_epsilon_0_where_a_class_is_absent_and_impossible():
    y_pred = np.array([[1.0, 0, 0]])
    loss = ComboLoss(epsilon=0, dice_over="class", from_logits=False)
    assert np.isfinite(value(loss, np.array([[1.0, 0, 0]]), y_pred))


def test_label_smoothing_spreads_labels_over_all_classes():
    smooth = 0.9 * ONE_HOT + 0.1 / 7
    expected = value(ComboLoss(**EXACT), smooth, STUDENT)
    assert value(ComboLoss(label_smoothing=0.1, **EXACT), ONE_HOT, STUDENT) == pytest.approx(expected, abs=1e-14)
    assert abs(expected - value(ComboLoss(**EXACT), ONE_HOT, STUDENT)) > 1e-3
    kerass = keras.losses.CategoricalCrossentropy(label_smoothing=0.1, **EXACT)
    hard = DistillationLoss(alpha=0, label_smoothing=0.1, **EXACT)
    assert value(hard, PACKED, STUDENT) == pytest.approx(value(kerass, ONE_HOT, STUDENT), abs=1e-14)
    soft = [DistillationLoss(alpha=1, label_smoothing=s, **EXACT) for s in (0.0, 0.1)]
    assert value(soft[0], PACKED, STUDENT) == value(soft[1], PACKED, STUDENT)


def test_distillation_targets_pack_labels_and_logits():
    assert PACKED.shape == (2, 2, 7)
    assert PACKED.dtype == np.float64
    np.testing.assert_array_equal(PACKED[:, 0], ONE_HOT)
    np.testing.assert_array_equal(PACKED[:, 1], TEACHER)
    np.testing.assert_array_equal(distillation_targets(ONE_HOT, TEACHER), PACKED)
    np.testing.assert_array_equal(distillation_targets(P, tf.constant(TEACHER))[:, 0], P)
    assert distillation_targets(LABELS, TEACHER.astype(np.float16)).dtype == np.float32


@pytest.mark.parametrize(
    ("labels", "logits", "match"),
    [
        (LABELS, TEACHER[0], r"`teacher_logits`.*\(7,\)"),
        (LABELS, TEACHER[:, :1], "`teacher_logits`"),
        (LABELS, TEACHER + np.inf, "finite"),
        (LABELS, P, "`teacher_logits` must be logits"),
        ([3, 7], TEACHER, "integers from 0 to 6"),
        ([-1, 0], TEACHER, "integers from 0 to 6"),
        ([3.0, 6.0], TEACHER, "integers"),
        ([3, 6, 1], TEACHER, r"`labels`.*\(3, 7\)"),
        (ONE_HOT[:, :6], TEACHER, r"`labels`.*\(2, 6\)"),
        (TEACHER, STUDENT, "add up to 1"),
        (2 * ONE_HOT, TEACHER, "add up to 1"),
    ],
)
def test_distillation_targets_refuse_what_does_not_fit(labels, logits, match):
    with pytest.raises(ValueError, match=match):
        distillation_targets(labels, logits)


@pytest.mark.parametrize(
    ("loss", "argument", "wrong"),
    [
        (KLLoss, "class_reduction", "batchmean"),
        (ComboLoss, "alpha", 1.5),
        (ComboLoss, "beta", -0.1),
        (ComboLoss, "beta", float("nan")),
        (ComboLoss, "epsilon", -1),
        (ComboLoss, "dice_over", "image"),
        (ComboLoss, "class_reduction", None),
        (ComboLoss, "label_smoothing", 1.0),
        (DistillationLoss, "alpha", -0.5),
        (DistillationLoss, "temperature", 0),
        (DistillationLoss, "temperature", float("inf")),
        (DistillationLoss, "class_reduction", "none"),
        (DistillationLoss, "label_smoothing", -0.1),
    ],
)
def test_wrong_arguments_are_named(loss, argument, wrong):
    with pytest.raises(ValueError, match=rf"`{argument}`[\s\S]*Received:\s+{argument}={wrong!r}"):
        loss(**{argument: wrong})


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_that_would_broadcast_are_refused(loss):
    y_true = targets(loss)
    for wrong in (LABELS, LABELS[:, None], y_true[:1], y_true[..., :6], y_true[:, None], y_true[0]):
        with pytest.raises(ValueError, match="`y_true` must have shape"):
            loss()(wrong, STUDENT)
    with pytest.raises(ValueError, match="`y_pred` must have shape"):
        loss()(y_true, STUDENT[..., None])
    with pytest.raises(ValueError, match="2 classes"):
        loss()(y_true[..., :1], STUDENT[:, :1])
