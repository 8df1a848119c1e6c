"""The layer that hurts is found, named, and mended by keeping it in float."""

import json

import keras
import numpy as np
import pytest

from kerafer import layers
from kerafer.data.samples import portrait_faces
from kerafer.exporting import convert
from kerafer.exporting.tflite import convert_rounded
from kerafer.litert.slim import slim
from kerafer.plots import layer_error_bars
from kerafer.quantization.fake_quant import with_fake_quantization
from kerafer.quantization.inner import InnerRunner
from kerafer.quantization.layer_error import layer_error_report, layer_errors, rounded_alone
from kerafer.quantization.selective import to_static_int8, weights_to_int8

SIDE, CHANNEL = 24, 3
LOUD, NEXT = "second_conv", "third_conv"


def network():
    """Four convolutions in a row; the third one is depthwise."""
    inputs = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.conv_bn(inputs, 8, 3, strides=2, name="first")
    x = layers.conv_bn(x, 16, 1, name="second")
    x = keras.layers.DepthwiseConv2D(3, name=NEXT, use_bias=False)(x)
    x = layers.conv_bn(x, 16, 1, name="fourth")
    outputs = layers.conv_gap_head(x, 7)
    model = keras.Model(inputs, outputs, name="network")
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith("kernel"):
            inputs_each = np.prod(weight.shape[:2] if weight.path.startswith(NEXT) else weight.shape[:3])
            weight.assign(rng.normal(0, (2 / inputs_each) ** 0.5, weight.shape))
        elif weight.path.endswith(("beta", "moving_mean")):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    beta = np.array(model.get_layer("second_bn").beta)
    beta[CHANNEL] = 1.0  # never idle
    model.get_layer("second_bn").beta.assign(beta)
    kernel = model.get_layer("tail_conv").kernel
    kernel.assign(4 * np.array(kernel))  # so that probabilities are not all alike
    return model


def made_loud(model, factor=1000.0):
    """Enlarge one channel of a layer and reduce it again in the next one: the same function, another range."""
    norm = model.get_layer("second_bn")
    for weight in (norm.gamma, norm.beta):
        value = np.array(weight)
        value[CHANNEL] *= factor
        weight.assign(value)
    kernel = model.get_layer(NEXT).weights[0]
    value = np.array(kernel)
    value[:, :, CHANNEL] /= factor
    kernel.assign(value)
    return model


@pytest.fixture(scope="module")
def faces(ean):
    contract = ean.card.preprocessing.resized_to((SIDE, SIDE))
    return contract.scale(portrait_faces(contract, 32, 0))


@pytest.fixture(scope="module")
def float_file():
    return convert(network(), "float32")


@pytest.fixture(scope="module")
def loud(faces):
    """A float file with a bad layer, and its rounded one by TensorFlow's converter."""
    model = made_loud(network())
    return convert(model, "float32"), convert(model, "static_int8", faces)


def fine_tuned(model, faces):
    """Return the file that quantization-aware training gives before its first step."""
    learner, deployed = with_fake_quantization(model), with_fake_quantization(model, 1)
    for _ in range(4):
        learner.model(faces, training=True)
    deployed.model.set_weights(learner.model.get_weights())
    return convert_rounded(deployed)


ROUNDED = {
    "the converter's": lambda _, faces: convert(network(), "static_int8", faces),
    "ai-edge-quantizer's": to_static_int8,
    "with bytes outside": lambda data, faces: to_static_int8(data, faces, ends="uint8"),
    "fine-tuned": lambda _, faces: fine_tuned(network(), faces),
}


@pytest.mark.parametrize("rounded", ROUNDED.values(), ids=ROUNDED)
def test_every_kind_of_file_is_compared_layer_by_layer(float_file, faces, rounded):
    found = layer_errors(float_file, rounded(float_file, faces), faces[:8])
    names = [row.layer for row in found]
    assert names[:4] == ["first_conv", LOUD, NEXT, "fourth_conv"]
    assert names[-1] == "predictions"
    for row in found:
        assert 15 < row.sqnr_db < 80
        assert row.nrmse == pytest.approx(10 ** (-row.sqnr_db / 20))
        assert row.steps_sqnr_db > 20
        assert row.clipped < 0.02
    kernels = {row.layer: row.weight_error for row in found if row.weight_error is not None}
    assert {"first_conv", LOUD, NEXT, "fourth_conv"} <= set(kernels)
    assert all(0 < error < 0.05 for error in kernels.values())


def test_a_file_beside_itself_has_no_error(float_file, faces):
    for row in layer_errors(float_file, float_file, faces[:2]):
        assert row.sqnr_db == float("inf")
        assert (row.nrmse, row.steps_sqnr_db, row.clipped) == (0.0, None, None)


def test_weights_alone_show_errors_of_weights(float_file, faces):
    found = {row.layer: row for row in layer_errors(float_file, weights_to_int8(float_file), faces[:4])}
    assert 0 < found["first_conv"].weight_error < 0.05
    assert found["first_conv"].clipped is None
    assert 20 < found["first_conv"].sqnr_db < 80


def test_loudness_leaves_the_function_alone(faces):
    ours, theirs = (model.predict(faces, verbose=0) for model in (network(), made_loud(network())))
    assert np.abs(ours - theirs).max() < 1e-4


def test_the_bad_layer_comes_out_worst(loud, faces):
    report = layer_error_report(*loud, faces)
    # what lies between the two is bad, so each of them is when rounded alone
    assert set(report.worst(2)) == {LOUD, NEXT}
    assert report.alone[1].mean_difference > 5 * report.alone[2].mean_difference
    # in the whole file, errors begin there, and layers behind it inherit them
    found = {row.layer: row for row in report.layers}
    assert found["first_conv"].sqnr_db > 25
    assert found["fourth_conv"].sqnr_db < 10
    assert found["fourth_conv"].steps_sqnr_db > 25


def test_keeping_the_bad_layers_in_float_mends_the_outputs(loud, faces):
    data, _ = loud
    expected = InnerRunner(data).predict(faces)
    worst = [row.layer for row in rounded_alone(data, faces, faces)[:2]]

    def error(keep):
        return np.abs(InnerRunner(to_static_int8(data, faces, keep)).predict(faces) - expected).mean()

    assert error(worst) < 0.2 * error([])
    assert error(["first_conv", "fourth_conv"]) > 0.5 * error([])  # others do not mend it


def test_values_beyond_the_range_are_counted(float_file, faces):
    dark = to_static_int8(float_file, 0.2 * faces)
    found = {row.layer: row.clipped for row in layer_errors(float_file, dark, faces[:8])}
    honest = {row.layer: row.clipped for row in layer_errors(float_file, to_static_int8(float_file, faces), faces[:8])}
    assert found["first_conv"] > 0.05
    assert honest["first_conv"] == 0


def test_the_report_is_text_json_and_a_picture(loud, faces, tmp_path):
    report = layer_error_report(*loud, faces[:8])
    lines = report.table(2).splitlines()
    assert lines[4].split()[0] in (LOUD, NEXT)
    assert lines[-1].startswith("... and")
    assert LOUD in report.table(None)
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["worst_first"][0] in (LOUD, NEXT)
    assert [row["layer"] for row in plain["layers"]] == [row.layer for row in report.layers]
    path = tmp_path / "bars.png"
    layer_error_bars(report.rows(), path, "title")
    assert path.read_bytes()[1:4] == b"PNG"


def test_files_that_do_not_fit_are_refused(loud, faces):
    data, rounded = loud
    image = keras.Input((SIDE, SIDE, 3))
    other = keras.Model(
        image, keras.layers.Dense(2, name="one")(keras.layers.GlobalAveragePooling2D(name="mean")(image))
    )
    with pytest.raises(ValueError, match="Convert the Keras model anew"):
        layer_errors(data, slim(rounded), faces)
    with pytest.raises(ValueError, match="`inputs` must be"):
        layer_errors(data, rounded, faces[:, :20])
    with pytest.raises(ValueError, match="no layer in common"):
        layer_errors(data, convert(other, "float16"), faces)
