"""The losses in Keras: trained with, saved and read, in tf_keras, and on JAX."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from loss_cases import EXACT, LOSSES, OPTIONS, STUDENT, Q, gradient, softmax, targets, value

from kerafer.losses import ComboLoss, DistillationLoss, distillation_targets


def small_model(kind=keras):
    kind.utils.set_random_seed(0)
    return kind.Sequential([kind.layers.InputLayer((5,)), kind.layers.Dense(7)])


def training_data(loss, n=8):
    rng = np.random.default_rng(0)
    x, labels, logits = rng.random((n, 5), np.float32), np.arange(n) % 7, rng.standard_normal((n, 7))
    hard = distillation_targets(labels, logits)
    return x, {ComboLoss: hard[:, 0], DistillationLoss: hard}.get(loss, softmax(logits))


@pytest.mark.parametrize("loss", LOSSES)
def test_fit_and_saved_model_keep_the_loss(loss, tmp_path):
    ours = loss(from_logits=True, reduction="sum", name="mine", **OPTIONS[loss])
    config = ours.get_config()
    assert config.items() >= OPTIONS[loss].items()
    again = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(ours))))
    assert type(again) is loss
    assert again.get_config() == config
    assert loss.from_config(loss(**EXACT).get_config()).dtype == "float64"

    model, (x, y) = small_model(), training_data(loss)
    model.compile(keras.optimizers.SGD(0.01), ours, jit_compile=False)
    before = model.evaluate(x, y, verbose=0)
    assert before == pytest.approx(float(ours(y, model(x))), rel=1e-5)
    model.fit(x, y, batch_size=8, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is loss
    assert loaded.loss.get_config() == config
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_tf_keras_model_trains_with_it(loss):
    import tf_keras

    model, (x, y) = small_model(tf_keras), training_data(loss)
    model.compile("sgd", loss(from_logits=True))
    before = model.evaluate(x, y, verbose=0)
    assert before == pytest.approx(float(loss(from_logits=True)(y, model(x))), rel=1e-5)
    model.fit(x, y, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    weights = np.arange(8.0)
    model.compile("sgd", loss(from_logits=True, reduction="none"))  # as the module says, to weight images
    expected = float(loss(from_logits=True)(y, model(x), weights))
    assert model.evaluate(x, y, sample_weight=weights, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_accuracy_beside_distillation():
    def accuracy(y_true, y_pred):
        return keras.metrics.categorical_accuracy(y_true[:, 0], y_pred)

    model, (x, y) = small_model(), training_data(DistillationLoss)
    model.compile("sgd", DistillationLoss(), metrics=[accuracy], jit_compile=False)
    expected = (model.predict(x, verbose=0).argmax(axis=1) == y[:, 0].argmax(axis=1)).mean()
    assert model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] == pytest.approx(expected)


JAX_PROGRAM = """
import json, sys
import jax, keras, numpy as np
from kerafer import losses

assert keras.backend.backend() == "jax" and "tensorflow" not in sys.modules
given, results = json.load(sys.stdin), []
for name, options, y_true, y_pred in given:
    y_true, y_pred = np.array(y_true), np.array(y_pred)
    loss = keras.losses.deserialize({"class_name": name, "registered_name": "kerafer>" + name, "config": options})
    slope = jax.jit(jax.grad(lambda z: loss(y_true, z)))(y_pred)
    results.append([float(loss(y_true, y_pred)), np.asarray(slope).tolist()])
for name in ("LabelDistributionLoss", "DistillationLoss"):  # plain targets and packed ones
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(7)])
    model.compile("sgd", getattr(losses, name)(from_logits=True))
    y = next(np.array(y) for n, _, y, _ in given if n == name)
    history = model.fit(np.ones((len(y), 7)), y, epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0], history
json.dump(results, sys.stdout)
"""


def test_jax_gives_the_same_values_and_gradients():
    extreme = np.array([[1e4, -1e4, 0, 0, 1, 2, 3], [-1e4, 0, 0, 0, 0, 0, 1e4]])
    cases = []
    for loss in LOSSES:
        for options in ({}, OPTIONS[loss]):
            cases.append((loss, {**options, **EXACT}, targets(loss), STUDENT))
            cases.append((loss, {**options, **EXACT}, targets(loss), extreme))
            cases.append((loss, {**options, "from_logits": False, "dtype": "float64"}, targets(loss), Q))
    given = [(loss.__name__, options, y_true.tolist(), y_pred.tolist()) for loss, options, y_true, y_pred in cases]
    done = subprocess.run(
        [sys.executable, "-c", JAX_PROGRAM],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for (loss, options, y_true, y_pred), (result, slope) in zip(cases, json.loads(done.stdout), strict=True):
        ours = loss(**options)
        assert result == pytest.approx(value(ours, y_true, y_pred), rel=1e-12, abs=1e-14), (loss, options)
        np.testing.assert_allclose(slope, gradient(ours, y_true, y_pred), rtol=1e-9, atol=1e-13, err_msg=str(options))
