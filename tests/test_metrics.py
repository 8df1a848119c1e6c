"""Metrics for training: over batches they give what the whole split gives, on every backend."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT
from sklearn.metrics import balanced_accuracy_score, f1_score

from kerafer.evaluation.measures import calibration_bins, calibration_error
from kerafer.metrics import BalancedAccuracy, ExpectedCalibrationError


def made(n=200, classes=7, seed=0):
    """Random labels, logits that lean towards them, and weights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(0, 1.5, (n, classes)).astype(np.float32)
    logits[np.arange(n), labels] += rng.integers(0, 3, n)
    return labels, logits, rng.uniform(0, 2, n).astype(np.float32)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def in_batches(metric, y_true, y_pred, weight=None, size=33):
    for i in range(0, len(y_true), size):
        part = slice(i, i + size)
        metric.update_state(y_true[part], y_pred[part], None if weight is None else weight[part])
    return float(metric.result())


def literal_error(probabilities, labels, weight, bins=15):
    """Guo et al.'s equation (3), bin by bin and image by image."""
    confidence, best = probabilities.max(axis=1), probabilities.argmax(axis=1)
    total = 0.0
    for m in range(bins):
        members = [i for i, c in enumerate(confidence) if m / bins < c <= (m + 1) / bins]
        if members:
            share = sum(weight[i] for i in members)
            accuracy = sum(weight[i] * (best[i] == labels[i]) for i in members) / share
            mean = sum(weight[i] * float(confidence[i]) for i in members) / share
            total += share * abs(accuracy - mean)
    return total / sum(weight)


def test_balanced_accuracy_equals_scikit_learn_over_batches():
    labels, logits, weight = made()
    eye, best = np.eye(7), logits.argmax(axis=1)
    assert in_batches(BalancedAccuracy(), eye[labels], logits) == pytest.approx(balanced_accuracy_score(labels, best))
    expected = balanced_accuracy_score(labels, best, sample_weight=weight)
    assert expected != pytest.approx(balanced_accuracy_score(labels, best), abs=1e-4)
    assert in_batches(BalancedAccuracy(), eye[labels], logits, weight) == pytest.approx(expected, rel=1e-5)
    assert in_batches(BalancedAccuracy(), eye[labels], logits, weight[:, None]) == pytest.approx(expected, rel=1e-5)


def test_a_class_without_images_is_left_out_of_the_mean():
    metric = BalancedAccuracy()
    metric.update_state(np.eye(3)[[0, 0, 1]], np.eye(3)[[0, 2, 1]])
    assert float(metric.result()) == pytest.approx((0.5 + 1) / 2)


def test_of_a_distribution_the_most_probable_class_counts():
    metric = BalancedAccuracy()
    metric.update_state(np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]]), np.eye(3)[[0, 1]])
    assert float(metric.result()) == pytest.approx(0.5)


def test_calibration_error_equals_its_definition_and_the_evaluation():
    labels, logits, weight = made(seed=1)
    probabilities, eye = softmax(logits), np.eye(7)
    expected = literal_error(probabilities, labels, np.ones(len(labels)))
    assert expected > 0.02
    assert in_batches(ExpectedCalibrationError(), eye[labels], probabilities) == pytest.approx(expected, abs=1e-6)
    assert in_batches(ExpectedCalibrationError(from_logits=True), eye[labels], logits) == pytest.approx(
        expected, abs=1e-6
    )
    bins = calibration_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
    assert calibration_error(bins) == pytest.approx(expected, abs=1e-6)
    weighted = literal_error(probabilities, labels, weight)
    assert weighted != pytest.approx(expected, abs=1e-4)
    assert in_batches(ExpectedCalibrationError(), eye[labels], probabilities, weight) == pytest.approx(
        weighted, abs=1e-6
    )


def test_a_confidence_on_an_edge_falls_into_the_lower_bin_everywhere():
    # 12/15 is an edge: 0.8 belongs to (11/15, 12/15], with what is a little below it
    confidence = np.array([0.8, np.nextafter(np.float32(0.8), np.float32(1)), 0.75], np.float32)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    right = np.array([True, False, True])
    bins = calibration_bins(confidence, right)
    assert [row["images"] for row in bins] == [0] * 11 + [2, 1, 0, 0]
    metric = ExpectedCalibrationError()
    metric.update_state(np.eye(2)[[0, 1, 0]], probabilities)
    assert np.asarray(metric.images).tolist() == [0] * 11 + [2, 1, 0, 0]
    assert float(metric.result()) == pytest.approx((abs(2 - 1.55) + 0.8) / 3, abs=1e-6)


@pytest.mark.parametrize("metric", [BalancedAccuracy(), ExpectedCalibrationError()], ids=lambda m: m.name)
def test_reset_forgets_and_nothing_is_zero(metric):
    assert float(metric.result()) == 0
    labels, logits, _ = made(50)
    first = in_batches(metric, np.eye(7)[labels], softmax(logits))
    metric.reset_state()
    assert float(metric.result()) == 0
    assert in_batches(metric, np.eye(7)[labels], softmax(logits)) == first != 0


def test_macro_f1_is_keras_own():
    # why `kerafer.metrics` has none: Keras' F1Score gives scikit-learn's number
    labels, logits, _ = made()
    metric = keras.metrics.F1Score(average="macro")
    expected = f1_score(labels, logits.argmax(axis=1), average="macro")
    assert in_batches(metric, np.eye(7, dtype=np.float32)[labels], logits) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "metric", [BalancedAccuracy(name="b"), ExpectedCalibrationError(bins=7, from_logits=True)], ids=lambda m: m.name
)
def test_metrics_survive_their_config(metric):
    config = json.loads(json.dumps(keras.metrics.serialize(metric)))
    assert config["registered_name"].startswith("kerafer>")
    again = keras.metrics.deserialize(config)
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()
    labels, logits, _ = made(50)
    y = np.eye(7)[labels]
    metric.reset_state()
    assert in_batches(again, y, logits) == in_batches(metric, y, logits)


def test_a_saved_model_keeps_its_metrics(tmp_path):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(90, 4)).astype(np.float32), rng.integers(3, size=90)
    y = np.eye(3, dtype=np.float32)[labels]
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    model.compile("sgd", "categorical_crossentropy", metrics=[BalancedAccuracy(), ExpectedCalibrationError(bins=5)])
    history = model.fit(x, y, validation_data=(x, y), batch_size=32, epochs=1, verbose=0).history
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    probabilities = model.predict(x, verbose=0)
    best = probabilities.argmax(axis=1)
    assert history["val_balanced_accuracy"][-1] == pytest.approx(balanced_accuracy_score(labels, best), abs=1e-6)
    measured = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert measured["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, best), abs=1e-6)
    bins = calibration_bins(probabilities.max(axis=1), best == labels, 5)
    assert measured["calibration_error"] == pytest.approx(calibration_error(bins), abs=1e-5)


@pytest.mark.parametrize("metric", [BalancedAccuracy(), ExpectedCalibrationError()], ids=lambda m: m.name)
@pytest.mark.parametrize(
    ("y_true", "y_pred", "weight", "words"),
    [
        (np.zeros(4), np.zeros((4, 3)), None, r"\(batch, classes\)"),
        (np.zeros((4, 1)), np.zeros((4, 3)), None, r"one-hot"),
        (np.zeros((4, 3)), np.zeros((4, 3)), np.ones((4, 3)), r"`sample_weight` must have shape \(batch,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(metric, y_true, y_pred, weight, words):
    with pytest.raises(ValueError, match=words):
        metric.update_state(y_true, y_pred, weight)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"`bins` must be a whole number.*Received: bins=0"):
        ExpectedCalibrationError(bins=0)
    metric = BalancedAccuracy()
    metric.update_state(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match="must keep its 3 classes"):
        metric.update_state(np.eye(4), np.eye(4))


ON_JAX = """
import json, sys, numpy as np, keras
from kerafer.metrics import BalancedAccuracy, ExpectedCalibrationError
assert keras.backend.backend() == "jax"
rng = np.random.default_rng(0)
labels, x = rng.integers(3, size=90), rng.normal(size=(90, 4)).astype(np.float32)
y = np.eye(3, dtype=np.float32)[labels]
inputs = keras.Input((4,))
model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
model.compile("sgd", "categorical_crossentropy", metrics=[BalancedAccuracy(), ExpectedCalibrationError()])
history = model.fit(x, y, validation_data=(x, y), batch_size=32, epochs=2, verbose=0).history
print(json.dumps({"history": history, "p": model.predict(x, verbose=0).tolist(), "labels": labels.tolist()}))
"""


@pytest.mark.slow
def test_training_on_jax_measures_the_same():
    ran = subprocess.run(
        [sys.executable, "-c", ON_JAX],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    p, labels = np.array(found["p"], np.float32), np.array(found["labels"])
    best = p.argmax(axis=1)
    assert found["history"]["val_balanced_accuracy"][-1] == pytest.approx(balanced_accuracy_score(labels, best))
    error = calibration_error(calibration_bins(p.max(axis=1), best == labels))
    assert found["history"]["val_calibration_error"][-1] == pytest.approx(error, abs=1e-5)
