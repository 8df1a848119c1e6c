"""Rounding by ai-edge-quantizer: what is rounded, what a pattern leaves out, and what reaches the screen."""

import keras
import numpy as np
import pytest

from kerafer.data.samples import portrait_faces, synthetic
from kerafer.exporting import convert
from kerafer.litert.slim import slim
from kerafer.quantization.inner import KERNELS, InnerRunner, operators
from kerafer.quantization.selective import kept_operators, ranges, to_static_int8, weights_to_int8
from kerafer.runtime import LiteRTRunner
from kerafer.verification.oplint import inspect_operators


@pytest.fixture(scope="module")
def float_file(ean_converter):
    return ean_converter.convert("float32")


@pytest.fixture(scope="module")
def pictures(ean):
    return ean.card.preprocessing.scale(portrait_faces(ean.card.preprocessing, 32, 0))


@pytest.fixture(scope="module")
def converters_own(ean_converter, pictures):
    """static_int8 by TensorFlow's converter."""
    return ean_converter.convert("static_int8", pictures)


def runner(data, folder):
    path = folder / "model.tflite"
    path.write_bytes(data)
    return LiteRTRunner(path)


def kernel_types(data):
    """Return the stored type of each layer's kernel: what it is unpacked from, where it is unpacked."""
    run, found = InnerRunner(data), operators(data)
    source = {op.output: op.inputs[0] for op in found if op.kind == "DEQUANTIZE"}
    kernels = {op.layer: op.inputs[1] for op in found if op.kind in KERNELS}
    return {layer: run.details[source.get(i, i)]["dtype"].__name__ for layer, i in kernels.items()}


def test_weights_alone_are_rounded(ean, float_file, pictures, tmp_path):
    rounded = weights_to_int8(float_file)
    assert set(kernel_types(rounded).values()) == {"int8"}
    assert len(kernel_types(rounded)) == 26
    assert len(rounded) < 0.5 * len(float_file)
    run = runner(rounded, tmp_path)
    assert run.input["dtype"] == run.output["dtype"] == np.float32
    difference = np.abs(run.predict(pictures) - ean.runner.predict(pictures))
    assert 1e-5 < difference.mean() < 0.01


@pytest.mark.parametrize("layer", ["dense", "multiplying"])
def test_what_the_gpu_does_not_take_stays_in_float(layer):
    image = keras.Input((12, 12, 4), name="image")
    x = keras.layers.Conv2D(8, 3, name="conv")(image)
    if layer == "multiplying":
        x = keras.layers.DepthwiseConv2D(3, depth_multiplier=4, name="multiplying")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(7, name="dense")(x) if layer == "dense" else x
    data = convert(keras.Model(image, keras.layers.Softmax(name="predictions")(x)), "float32")
    assert kernel_types(weights_to_int8(data)) == {"conv": "int8", layer: "float32"}
    assert kernel_types(weights_to_int8(data, for_gpu=False)) == {"conv": "int8", layer: "int8"}


def test_a_pattern_leaves_its_layers_weights_alone(float_file):
    types = kernel_types(weights_to_int8(float_file, keep_float=["stem_conv", r"block6_.*_conv"]))
    kept = {layer for layer, kind in types.items() if kind == "float32"}
    names = {"stem_conv"} | {f"block6_{part}_conv" for part in ("expand", "depthwise", "project", "eca")}
    assert kept == names


def test_a_pattern_means_whole_names_and_whatever_went_into_an_operator(float_file):
    (by_convolution,) = kept_operators(float_file, ["block1_expand_conv"])
    assert kept_operators(float_file, ["block1_expand_relu"]) == (by_convolution,)
    assert kept_operators(float_file, ["block1_expand_bn"]) == (by_convolution,)
    (last,) = kept_operators(float_file, ["predictions"])
    assert last.kind == "SOFTMAX"


@pytest.mark.parametrize("pattern", ["block1", "block1_expand_con", "BLOCK1_.*", "ean/.*"])
def test_a_pattern_that_fits_nothing_is_refused_with_the_layers(float_file, pattern):
    with pytest.raises(ValueError, match="block1_expand_conv") as refusal:
        weights_to_int8(float_file, keep_float=["stem_.*", pattern])
    assert repr(pattern) in str(refusal.value)


def test_other_mistakes_are_named(float_file, pictures):
    with pytest.raises(ValueError, match="no regular expression"):
        weights_to_int8(float_file, keep_float=["stem_("])
    with pytest.raises(ValueError, match="must be a list"):
        weights_to_int8(float_file, keep_float="stem_.*")
    with pytest.raises(ValueError, match="`ends` must be"):
        to_static_int8(float_file, pictures, ends="int8")
    with pytest.raises(ValueError, match="`calibration` must be"):
        to_static_int8(float_file, pictures[:, :40])


def test_a_slimmed_file_has_no_layers_to_name(float_file):
    with pytest.raises(ValueError, match="Convert the Keras model anew"):
        weights_to_int8(slim(float_file), keep_float=["stem_conv"])


@pytest.mark.parametrize("ends", ["float32", "uint8"])
def test_static_int8_is_as_good_as_the_converters(ean, float_file, pictures, converters_own, ends, tmp_path):
    run = runner(to_static_int8(float_file, pictures, ends=ends), tmp_path)
    assert run.input["dtype"].__name__ == run.output["dtype"].__name__ == ends
    expected = ean.runner.predict(pictures)
    difference = np.abs(run.predict(pictures) - expected).mean()
    theirs = np.abs(InnerRunner(converters_own).predict(pictures) - expected).mean()
    assert difference < 1.5 * theirs
    if ends == "uint8":
        assert inspect_operators(tmp_path / "model.tflite").float_tensors == 0
        assert run.input["quantization"] == (pytest.approx(1 / 255, rel=1e-6), 0)
        assert run.output["quantization"] == (pytest.approx(1 / 256, rel=1e-6), 0)


def test_kept_layers_compute_in_float_between_integer_ones(ean, float_file, pictures, tmp_path):
    data = to_static_int8(float_file, pictures, ["stem_.*", "block5_.*", "predictions"], ends="uint8")
    run = InnerRunner(data)
    kinds = {op.layer: run.details[op.output]["dtype"].__name__ for op in operators(data) if op.kind == "CONV_2D"}
    assert kinds["block5_project_conv"] == "float32"
    assert kinds["block4_project_conv"] == kinds["block6_project_conv"] == "int8"
    whole = runner(data, tmp_path)  # float at both ends, bytes outside
    assert whole.input["dtype"] == whole.output["dtype"] == np.uint8
    assert np.abs(whole.predict(pictures) - ean.runner.predict(pictures)).mean() < 0.02


def test_ranges_do_not_depend_on_order(ean, float_file):
    x = synthetic(12).inputs(ean.card.preprocessing)
    there, back = ranges(float_file, x), ranges(float_file, x[::-1])
    assert there == {name: {end: pytest.approx(value[end]) for end in value} for name, value in back.items()}
    (given,) = (value for name, value in there.items() if "image" in name)
    assert (given["min"].item(), given["max"].item()) == (0.0, 1.0)


def test_nothing_reaches_the_screen(float_file, pictures, capfd):
    to_static_int8(float_file, pictures[:2], ["stem_.*"])
    weights_to_int8(float_file)
    out, err = capfd.readouterr()
    assert out == ""
    assert [line for line in err.splitlines() if "XNNPACK" not in line] == []
