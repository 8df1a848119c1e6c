"""The rounded twin of a model: its folding is exact, and its integer file computes what it computes."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from kinds import EACH
from parity import fill, pictures

import kerafer
from kerafer.data.samples import portrait_faces
from kerafer.exporting.tflite import convert_rounded
from kerafer.layers import mish, with_camera_input, with_rgb_input
from kerafer.quantization import rounding as roundings
from kerafer.quantization.fake_quant import with_fake_quantization
from kerafer.runtime import LiteRTRunner
from kerafer.verification.oplint import inspect_operators


def small_model(name):
    """A model of the zoo at a small size, with weights under which every layer matters."""
    height, _, channels = kerafer.model_spec(name).input_shape
    side = min(height, 64)
    return with_rgb_input(fill(kerafer.build_model(name, input_shape=(side, side, channels))))


@pytest.fixture
def unrounded(monkeypatch):
    """Leave values as they are where they would be rounded."""
    for rounding in (roundings.WeightRounding, roundings.FixedRange, roundings.FollowingRange):
        monkeypatch.setattr(rounding, "__call__", lambda self, inputs, training, weights, **_: inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_without_rounding_it_is_the_float_model(name, unrounded):
    model = small_model(name)
    x = pictures(4, *model.input_shape[1:])
    expected = model.predict(x, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.01, "these pictures do not tell right from wrong"
    np.testing.assert_allclose(with_fake_quantization(model).model.predict(x, verbose=0), expected, atol=1e-4)


def integer_file(model, x, path):
    """Write the integer file of a rounded model whose ranges follow these pictures, and return the rounded model."""
    rounded = with_fake_quantization(model)
    for _ in range(2):
        rounded.model(x, training=True)
    rounded.round_biases()
    one = with_fake_quantization(model, batch_size=1)
    one.model.set_weights(rounded.model.get_weights())
    path.write_bytes(convert_rounded(one))
    return rounded


def test_trained_ean_is_within_two_steps_of_its_file(ean, tmp_path):
    x = ean.card.preprocessing.scale(portrait_faces(ean.card.preprocessing, 64, seed=3))
    rounded = integer_file(ean.model, x, tmp_path / "ean.tflite")
    ours, expected = LiteRTRunner(tmp_path / "ean.tflite").predict(x), rounded.model.predict(x, verbose=0)
    assert np.abs(ours - expected).mean() * 256 <= 2
    assert (ours.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.95
    assert np.ptp(expected, axis=0).max() > 0.3


def test_rounded_values_lie_on_steps(ean):
    rounded = with_fake_quantization(ean.model)
    x = ean.card.preprocessing.scale(portrait_faces(ean.card.preprocessing, 4, seed=3))
    rounded.model(x, training=True)
    steps = np.asarray(rounded.model(x)) * 256
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)


def branches(x):
    """Normalisation after nothing, relu6, mish, scaling with an offset, and a sum, as users' own models have them."""
    x = keras.layers.BatchNormalization()(keras.layers.Rescaling(2.0, -1.0)(x))
    y = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    z = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(keras.layers.DepthwiseConv2D(3, padding="same")(y)))
    y = keras.layers.Activation("relu")(keras.layers.Add()([mish(y, name="m"), z]))
    y = keras.layers.Dense(8, activation="tanh")(keras.layers.GlobalAveragePooling2D()(y))
    return keras.layers.Dense(5, activation="softmax")(y)


def own_model(body):
    inputs = keras.Input((16, 16, 3))
    return fill(keras.Model(inputs, body(inputs)))


def test_a_model_of_ones_own(unrounded):
    model = own_model(branches)
    x = pictures(4, 16, 16, 3)
    np.testing.assert_allclose(
        with_fake_quantization(model).model.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5
    )


@pytest.mark.slow
def test_the_file_of_a_model_of_ones_own(tmp_path):
    x = np.round(np.clip(pictures(32, 16, 16, 3), 0, 1) * 255).astype(np.float32) / 255
    rounded = integer_file(own_model(branches), x, tmp_path / "own.tflite")
    assert inspect_operators(tmp_path / "own.tflite").float_tensors == 0
    ours = LiteRTRunner(tmp_path / "own.tflite").predict(x)
    assert np.abs(ours - rounded.model.predict(x, verbose=0)).mean() * 256 < 2


@pytest.mark.slow
def test_a_huge_kernel_is_rounded_in_the_file_too(tmp_path):
    """The converter computes nothing from a constant of this size (140 MB), so its range must be a number."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((7, 7, 512))
    x = keras.layers.Dense(1400, activation="relu")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(7)(x)))
    x = np.random.default_rng(0).random((4, 7, 7, 512), np.float32)
    rounded = integer_file(model, x, tmp_path / "huge.tflite")
    ours, expected = LiteRTRunner(tmp_path / "huge.tflite").predict(x), rounded.model.predict(x, verbose=0)
    assert np.abs(ours - expected).mean() * 256 <= 2
    assert (tmp_path / "huge.tflite").stat().st_size < 36e6


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (keras.layers.LayerNormalization(name="odd"), "'odd' is a LayerNormalization"),
        (keras.layers.Activation("gelu", name="odd"), "'odd' has the activation gelu"),
    ],
)
def test_what_has_no_integer_form_is_named(layer, words):
    def body(x):
        return keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(layer(x)))

    with pytest.raises(TypeError, match=words):
        with_fake_quantization(own_model(body))


def test_without_a_softmax_there_is_nothing_to_learn_from():
    with pytest.raises(TypeError, match="softmax"):
        with_fake_quantization(own_model(keras.layers.GlobalAveragePooling2D()))


def test_camera_bytes_are_scaled_inside_the_graph():
    model = small_model("efficientface")
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    x = pictures(3, 64, 64, 3)
    scaled = ((x - np.float32(mean)) / np.float32(std)).astype(np.float32)
    camera = with_camera_input(model, mean, std)
    np.testing.assert_allclose(camera.predict(x, verbose=0), model.predict(scaled, verbose=0), atol=1e-5)
    assert with_camera_input(model, (0, 0, 0), (1, 1, 1)) is model


def test_importing_the_quantizer_leaves_keras_alone():
    code = (
        "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'\n"
        "import kerafer.quantization.fake_quant, tensorflow as tf\n"
        "assert 'TF_USE_LEGACY_KERAS' not in os.environ\n"
        "assert tf.keras.__version__.startswith('3.'), tf.keras.__version__\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
