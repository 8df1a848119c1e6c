"""Models from anywhere, exported: other backends, runs, checkpoints, heads, and networks of the user's own."""

import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import small
from keras import layers
from parity import fill
from test_importing import state_of

import kerafer
from kerafer.data.samples import synthetic
from kerafer.exporting import convert
from kerafer.labels import LABELS_7
from kerafer.loading import own_model
from kerafer.quantization.graphs import _IDLE, in_single_precision
from kerafer.quantization.twin import to_twin
from kerafer.runtime import LiteRTRunner
from kerafer.training import recipe, train
from kerafer.training.quick_layers import with_quick_layers
from kerafer.verification.oplint import inspect_operators

SIZE = (16, 16, 3)
JAX = Path(__file__).with_name("jax_export.py")


def conv(filters=8, **options):
    return layers.Conv2D(filters, 3, padding="same", **options)


def stacked(*stack, size=SIZE, **options):
    """A functional model of one layer after the other."""
    x = inputs = keras.Input(size)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x, **options)


def varied(model, seed=0):
    """Give a model weights and statistics that leave none of it idle."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        last = weight.path.rsplit("/", 1)[-1]
        if last in ("gamma", "variance", "moving_variance"):
            value = rng.uniform(0.5, 1.5, weight.shape)
        elif last in ("beta", "bias", "mean", "moving_mean", "alpha"):
            value = rng.normal(0, 0.3, weight.shape)
        elif last == "count":
            continue
        else:
            each = np.prod(weight.shape[:2] if "depthwise" in last else weight.shape[:-1])
            value = rng.normal(0, each**-0.5, weight.shape)
        weight.assign(value)
    return model


def inputs_for(model, count=4):
    return np.random.default_rng(1).normal(0, 2, (count, *model.inputs[0].shape[1:])).astype(np.float32)


def exported(model, path, recipe="float32"):
    """The model's file, after a check that it gives the model's own numbers, and that these differ between inputs."""
    path.write_bytes(convert(model, recipe))
    x = inputs_for(model)
    expected = model.predict(x, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.005, "these inputs do not tell right from wrong"
    np.testing.assert_allclose(LiteRTRunner(path).predict(x), expected, rtol=1e-5, atol=1e-5)
    return path


def everything():
    """A network with each kind of layer that people build such networks of."""
    scaled = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.9, 1.1, 1.2])
    x = inputs = keras.Input(SIZE)
    x = layers.RandomFlip()(x)
    x = layers.RandomRotation(0.1)(x)
    x = scaled(x)
    x = layers.ReLU(6)(layers.BatchNormalization()(conv()(x)))
    left = layers.PReLU(shared_axes=[1, 2])(layers.SeparableConv2D(8, 3, padding="same")(x))
    right = layers.LeakyReLU(negative_slope=0.07)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.Concatenate()([layers.Add()([left, right]), layers.Multiply()([x, layers.Dropout(0.5)(right)])])
    x = layers.LayerNormalization()(x)
    x = layers.UpSampling2D()(layers.MaxPooling2D()(x))
    x = layers.Cropping2D(1)(layers.ZeroPadding2D(((2, 1), (1, 2)))(x))
    x = layers.Permute((2, 1, 3))(layers.GaussianNoise(0.1)(x))
    x = layers.Conv2DTranspose(6, 3, strides=2, activation="mish")(x)
    x = layers.GlobalAveragePooling2D()(layers.Identity()(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(layers.Dense(16, activation="tanh")(x)))


def test_a_network_of_every_common_layer(tmp_path):
    found = inspect_operators(exported(varied(everything()), tmp_path / "everything.tflite"))
    assert not {"SHAPE", "REVERSE_V2", "RANDOM_UNIFORM", "SELECT", "CAST"} & set(found.operators)


def test_every_activation(tmp_path):
    names = ("elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "log_softmax", "mish", "relu", "relu6", "selu")
    names += ("sigmoid", "silu", "softplus", "softsign", "tanh")
    inputs = keras.Input(SIZE)
    x = conv()(inputs)
    branches = [layers.Activation(name)(x) for name in names]
    branches += [conv(activation="hard_silu")(x), layers.Dense(4, activation="hard_sigmoid")(x)]
    exported(varied(keras.Model(inputs, layers.GlobalMaxPooling2D()(layers.Concatenate()(branches)))), tmp_path / "a")


def test_hard_silu_is_one_operator(tmp_path):
    path = exported(varied(stacked(conv(), layers.Activation("hard_silu"), layers.Flatten())), tmp_path / "hard.tflite")
    assert inspect_operators(path).operators == {"CONV_2D": 1, "HARD_SWISH": 1, "RESHAPE": 1}


@pytest.mark.parametrize("kind", _IDLE)
def test_what_is_left_out_does_nothing_outside_training(kind):
    factor = {"GaussianDropout": {"rate": 0.5}, "GaussianNoise": {"stddev": 0.5}, "RandomPosterization": {"factor": 4}}
    factor["RandomTranslation"] = {"height_factor": 0.3, "width_factor": 0.3}
    factor["RandomZoom"] = {"height_factor": 0.3}
    needs = ("Brightness", "ColorDegeneration", "Contrast", "Hue", "Rotation", "Saturation", "Sharpness")
    factor |= {f"Random{name}": {"factor": 0.3} for name in needs}
    x = np.random.default_rng(0).random((2, *SIZE)).astype(np.float32)
    layer = getattr(layers, kind)(**factor.get(kind, {}))
    np.testing.assert_array_equal(stacked(layer).predict(x, verbose=0), x)


def nested():
    """Models within models: one used twice, one with two inputs, an idle one; names that occur in several."""
    part = keras.Sequential([keras.Input((16, 16, 8)), conv(name="a"), layers.BatchNormalization(), layers.ReLU()])
    one, two = keras.Input((16, 16, 8)), keras.Input((16, 16, 8))
    joined = keras.Model(
        [one, two], layers.Subtract()([conv(name="a")(one), layers.ReLU(name="b")(two)]), name="joined"
    )
    inputs = keras.Input(SIZE)
    x = keras.Sequential([layers.RandomZoom(0.1), layers.RandomContrast(0.1)])(inputs)
    x = conv(name="a")(x)
    x = joined([part(x, training=False), part(layers.Rescaling(-1.0)(x))])
    return keras.Model(inputs, layers.Flatten()(conv(4, name="b")(x)))


def shared():
    again = conv(3, name="again")
    inputs = keras.Input(SIZE)
    return keras.Model(inputs, layers.Flatten()(again(layers.ReLU()(again(layers.Rescaling(0.5)(again(inputs)))))))


def ended_by_a_model():
    """A model that is called twice, and ends the graph."""
    part = stacked(conv(3), layers.ReLU(), name="part")
    inputs = keras.Input(SIZE)
    return keras.Model(inputs, stacked(layers.Flatten(), layers.Dense(4), name="end")(part(part(inputs))))


def lazy():
    """A Sequential that learnt its input's shape from what it was built for."""
    model = keras.Sequential([conv(), layers.Flatten(), layers.Dense(3)])
    model.build((None, *SIZE))
    return model


def named():
    """Input and output in dictionaries, as Keras allows."""
    inputs = keras.Input(SIZE, name="face")
    return keras.Model({"face": inputs}, {"scores": layers.Flatten()(conv(2)(inputs))})


@pytest.mark.parametrize("make", [nested, shared, ended_by_a_model, lazy])
def test_models_of_other_shapes(make, tmp_path):
    model = varied(make())
    exported(model, tmp_path / "model.tflite")
    twin = to_twin(model)
    assert all(len(layer.inbound_nodes) == 1 for layer in twin.layers), "each layer of a twin is called once"
    assert not any(hasattr(layer, "layers") for layer in twin.layers)


def test_inputs_and_outputs_by_name(tmp_path):
    model = varied(named())
    (tmp_path / "model.tflite").write_bytes(convert(model, "float32"))
    x = inputs_for(model)
    expected = model.predict({"face": x}, verbose=0)["scores"]
    np.testing.assert_allclose(LiteRTRunner(tmp_path / "model.tflite").predict(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_transfer_from_keras_applications(tmp_path):
    base = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(96, 96, 3), alpha=0.35)
    inputs = keras.Input((96, 96, 3))
    x = layers.RandomFlip("horizontal")(inputs)
    x = base(layers.Rescaling(1 / 127.5, -1)(x), training=False)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    model = varied(keras.Model(inputs, layers.Dense(7, activation="softmax")(x), name="transfer"))
    fill(base)  # so deep a network needs statistics of its own maps, or it gives the same for every picture
    loaded = own_model(model, LABELS_7)
    kerafer.export(loaded, tmp_path / "bundle", recipes=("float32",))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), np.uint8)
    x = loaded.card.preprocessing.scale(pixels)
    np.testing.assert_allclose(x, pixels, rtol=1e-6)  # the network scales camera values by itself
    expected = model.predict(pixels.astype(np.float32), verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.05
    path = tmp_path / "bundle" / "transfer_float32.tflite"
    np.testing.assert_allclose(LiteRTRunner(path).predict(x), expected, atol=1e-5)
    operators = Counter(inspect_operators(path).operators)
    assert operators["CONV_2D"] + operators["DEPTHWISE_CONV_2D"] == 52
    assert set(operators) <= {
        *("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MUL", "PAD", "MEAN"),
        "FULLY_CONNECTED",
        "SOFTMAX",
    }


def test_camera_bytes_reach_a_network_that_scales_them_itself(tmp_path):
    stack = (layers.Rescaling(1 / 127.5, -1, name="scale"), conv(strides=2), layers.ReLU(), layers.Flatten())
    model = varied(stacked(*stack, layers.Dense(3, activation="softmax"), name="own"))
    kerafer.export(model, tmp_path / "own", labels=("a", "b", "c"), recipes=("static_int8",))
    runner = LiteRTRunner(tmp_path / "own" / "own_static_int8.tflite")
    scale, zero = runner.input["quantization"]
    assert scale == pytest.approx(1 / 255, rel=1e-6)
    assert zero == 0
    pixels = np.random.default_rng(0).integers(0, 256, (8, *SIZE), np.uint8)
    found = runner.predict((pixels / 255).astype(np.float32))
    expected = model.predict(pixels.astype(np.float32), verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.1
    assert np.abs(found - expected).mean() < 0.03


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_exported_in_single(policy, tmp_path):
    half = varied(
        stacked(
            *(conv(dtype=policy), layers.BatchNormalization(dtype=policy), layers.Activation("gelu", dtype=policy)),
            *(layers.Flatten(dtype=policy), layers.Dense(3, activation="softmax", dtype="float32")),
        )
    )
    single = in_single_precision(half)
    x = inputs_for(half)
    expected = single.predict(x, verbose=0)
    assert 0 < np.abs(half.predict(x, verbose=0) - expected).max() < 0.05
    (tmp_path / "half.tflite").write_bytes(convert(half, "float32"))
    np.testing.assert_allclose(LiteRTRunner(tmp_path / "half.tflite").predict(x), expected, atol=1e-5)
    loaded = own_model(half, ("a", "b", "c"))
    np.testing.assert_allclose(loaded.runner.predict(x), expected, atol=1e-6)
    assert in_single_precision(single) is single


def test_kerafers_own_layers_stay_at_home(tmp_path):
    model = varied(with_quick_layers(small.build((44, 44, 3), 7, "softmax")))
    assert "FusedBatchNormalization" in {type(layer).__name__ for layer in model.layers}
    exported(model, tmp_path / "fused.tflite")
    assert {type(layer).__module__.partition(".")[0] for layer in to_twin(model).layers} == {"tf_keras"}


def test_a_runs_folder(tmp_path):
    with small.registered():
        settings = recipe("ean_paper", epochs=1, batch_size=35, learning_rate=0.1)
        run = train(
            small.NAME, synthetic(70), synthetic(35, seed=1, split="public"), settings, tmp_path / "run", verbose=0
        )
        bundle = kerafer.export(run.folder, tmp_path / "bundle", recipes=("float32",))
    loaded = kerafer.load_model(tmp_path / "run")
    x = inputs_for(loaded.model)
    found = LiteRTRunner(tmp_path / "bundle" / "small_float32.tflite").predict(x)
    np.testing.assert_allclose(found, loaded.runner.predict(x), atol=1e-5)
    assert bundle.card.training == loaded.card.training
    for path in (tmp_path / "run" / "last.keras", tmp_path / "bundle" / "model.keras"):
        config = json.loads(zipfile.ZipFile(path).read("config.json"))
        assert {layer["module"] for layer in config["config"]["layers"]} == {"keras.layers"}, path


def test_an_imported_checkpoint(tmp_path):
    np.savez(tmp_path / "eight.npz", **state_of("ean", classes=8))
    labels = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
    folder = kerafer.import_weights("ean", tmp_path / "eight.npz", tmp_path / "imported", labels=labels)
    kerafer.export(folder, tmp_path / "bundle", recipes=("float32",))
    assert (tmp_path / "bundle" / "labels.txt").read_text().split() == list(labels)
    loaded = kerafer.load_model(folder)
    x = inputs_for(loaded.model) * 10
    expected = loaded.runner.predict(x)
    assert np.ptp(expected, axis=0).max() > 1e-3
    found = LiteRTRunner(tmp_path / "bundle" / "ean_float32.tflite").predict(x)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 5, 8, 100])
def test_any_number_of_classes(classes, tmp_path):
    model = varied(small.build((44, 44, 3), classes, "softmax"))
    path = tmp_path / "small.tflite"
    path.write_bytes(convert(model, "float32"))
    x = inputs_for(model) * 5
    expected = model.predict(x, verbose=0)
    assert expected.shape == (4, classes)
    np.testing.assert_allclose(LiteRTRunner(path).predict(x), expected, atol=1e-5)


def test_a_bundle_of_ones_own_model(tmp_path):
    names = ("yes", "no", "perhaps", "later", "never")
    bundle = kerafer.export(
        small.build((44, 44, 3), 5, "softmax"), tmp_path / "own", labels=names, recipes=("float32",)
    )
    assert (tmp_path / "own" / "labels.txt").read_text().split() == list(names)
    assert bundle.card.files["small_float32.tflite"]["output"]["shape"] == [1, 5]


@pytest.mark.slow
def test_a_model_of_the_jax_backend(tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, JAX, tmp_path], check=True, timeout=300, capture_output=True, env=environment)
    kept = np.load(tmp_path / "own.npz")
    assert np.ptp(kept["y"], axis=0).max() > 1e-3
    names = ("smile", "frown", "neither")
    loaded = kerafer.load_model(tmp_path / "own.keras", labels=names)  # on this process's backend
    kerafer.export(loaded, tmp_path / "here", recipes=("float32",))
    there = LiteRTRunner(tmp_path / "bundle" / "own_float32.tflite").predict(kept["x"])
    here = LiteRTRunner(tmp_path / "here" / "own_float32.tflite").predict(kept["x"])
    np.testing.assert_allclose(there, kept["y"], atol=1e-5)
    np.testing.assert_allclose(here, kept["y"], atol=1e-5)
    clean = inspect_operators(tmp_path / "bundle" / "own_float32.tflite").operators
    assert clean == {"CONV_2D": 1, "GELU": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}
    assert inspect_operators(tmp_path / "bundle" / "own_static_int8.tflite").float_tensors == 0
    report = kerafer.verify(tmp_path / "bundle")
    assert not [text for file in report.files for text in file.failures if "GPU" not in text], report.table()
