"""Exported files: clean graphs, right types, safe folders."""

import json

import keras
import numpy as np
import pytest

import kerafer
from kerafer.exporting import Bundle, convert
from kerafer.exporting.bundle import read_golden
from kerafer.files import sha256
from kerafer.quantization import EXPORT_RECIPES, UNTRAINED_RECIPES, export_recipe
from kerafer.quantization.twin import to_twin
from kerafer.runtime import LiteRTRunner
from kerafer.verification.oplint import inspect_operators

SHAPE_ARITHMETIC = {"SHAPE", "PACK", "STRIDED_SLICE", "FILL", "CAST", "GATHER"}


@pytest.mark.parametrize("recipe", UNTRAINED_RECIPES)
def test_graphs_are_clean(bundle_folder, recipe):
    found = inspect_operators(bundle_folder / f"ean_{recipe}.tflite")
    assert not SHAPE_ARITHMETIC & set(found.operators)
    convolutions = found.operators["CONV_2D"] + found.operators["DEPTHWISE_CONV_2D"]
    assert convolutions == 26  # stem, 3 in each of 6 blocks, 6 of the attention, tail: no batch norm is left over
    assert found.operators["MUL"] == 6  # the attention's scaling, and nothing of a batch norm
    assert "RELU" not in found.operators  # fused into the convolutions


def test_static_int8_has_no_float_tensor_and_takes_camera_bytes(bundle_folder):
    path = bundle_folder / "ean_static_int8.tflite"
    assert inspect_operators(path).float_tensors == 0
    runner = LiteRTRunner(path)
    scale, zero = runner.input["quantization"]
    assert runner.input["dtype"] == np.uint8
    assert scale == pytest.approx(1 / 255, rel=1e-6)
    assert zero == 0
    assert runner.output["dtype"] == np.uint8


@pytest.mark.parametrize("recipe", UNTRAINED_RECIPES)
def test_batch_one_and_named_tensors(bundle_folder, recipe):
    runner = LiteRTRunner(bundle_folder / f"ean_{recipe}.tflite")
    assert runner.input["shape"].tolist() == [1, 44, 44, 3]
    assert runner.output["shape"].tolist() == [1, 7]
    assert runner.interpreter.get_signature_list()["serving_default"] == {
        "inputs": ["image"],
        "outputs": ["predictions"],
    }


def test_sizes_fall_with_precision(bundle_folder):
    sizes = [
        (bundle_folder / f"ean_{recipe}.tflite").stat().st_size for recipe in ("float32", "float16", "static_int8")
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < 200_000


def test_the_bundle_says_what_it_holds(bundle_folder, ean):
    bundle = Bundle.open(bundle_folder)
    assert set(bundle.tflite_files) == {f"ean_{recipe}.tflite" for recipe in UNTRAINED_RECIPES}
    assert (bundle_folder / "labels.txt").read_text().splitlines() == list(ean.card.labels)
    for name, entry in bundle.card.files.items():
        assert sha256(bundle_folder / name) == entry["sha256"]
        assert (bundle_folder / name).stat().st_size == entry["bytes"]
    card = json.loads((bundle_folder / "card.json").read_text())
    assert card["preprocessing"] == kerafer.model_spec("ean").preprocessing.to_dict()
    assert card["files"]["ean_static_int8.tflite"]["calibration"]["pictures"] == 300


def test_golden_vectors_are_real_and_differ(bundle_folder, ean):
    inputs, outputs = read_golden(Bundle.open(bundle_folder))
    assert inputs.shape == (16, 44, 44, 3)
    expected = ean.runner.predict(ean.card.preprocessing.scale(inputs))
    np.testing.assert_allclose(outputs["model.keras"], expected, atol=1e-5)
    assert np.abs(np.diff(expected, axis=0)).max() > 0.05


def test_calibration_pictures_decide_ranges(ean, faces, tmp_path):
    folder = tmp_path / "ean"
    bundle = kerafer.export(ean, folder, recipes=("static_int8",), calibration=faces)
    note = bundle.card.files["ean_static_int8.tflite"]["calibration"]
    assert note == {"pictures": 28, "from": "synthetic train", "seed": 0}


def test_nothing_is_overwritten_unless_told(ean, tmp_path):
    folder = tmp_path / "ean"
    kerafer.export(ean, folder, recipes=("float16",))
    before = sha256(folder / "ean_float16.tflite")
    with pytest.raises(FileExistsError, match="exists already"):
        kerafer.export(ean, folder, recipes=("float32",))
    assert sha256(folder / "ean_float16.tflite") == before
    kerafer.export(ean, folder, recipes=("float32",), overwrite=True)
    assert not (folder / "ean_float16.tflite").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["ean"]


def test_a_folder_that_is_no_bundle_is_never_replaced(ean, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="no bundle"):
        kerafer.export(ean, tmp_path, overwrite=True)
    assert (tmp_path / "photo.jpg").read_bytes() == b"precious"


def test_a_failed_export_leaves_nothing(ean, tmp_path, monkeypatch):
    from kerafer.exporting import bundle

    def broken(*_):
        raise RuntimeError("disk full")

    monkeypatch.setattr(bundle, "_write_golden", broken)
    with pytest.raises(RuntimeError, match="disk full"):
        kerafer.export(ean, tmp_path / "out" / "ean", recipes=("float32",))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"recipes": ("int4",)}, ValueError, "one of float32"),
        ({"source": "ean"}, ValueError, "weights"),
        ({"source": "ean", "weights": "imagenet"}, ValueError, "fer2013"),
        ({"source": "nothing.keras"}, FileNotFoundError, "no model or file"),
    ],
)
def test_wrong_arguments(ean, tmp_path, arguments, error, words):
    with pytest.raises(error, match=words):
        kerafer.export(arguments.pop("source", ean), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_tflite_file_cannot_be_exported(bundle_folder, tmp_path):
    with pytest.raises(ValueError, match="must be a Keras model"):
        kerafer.export(bundle_folder / "ean_float32.tflite", tmp_path / "out")


def test_calibration_of_the_wrong_shape_is_refused(ean):
    for pictures in (None, np.zeros((0, 44, 44, 3)), np.zeros((4, 48, 48, 3))):
        with pytest.raises(ValueError, match="calibration"):
            convert(ean.model, "static_int8", pictures)


def test_the_twin_refuses_what_it_cannot_translate():
    @keras.saving.register_keras_serializable(package="tests")
    class Odd(keras.layers.Layer):
        def call(self, x):
            return x * 2

    inputs = keras.Input((8, 8, 3))
    with pytest.raises(TypeError, match="Odd"):
        to_twin(keras.Model(inputs, Odd()(inputs)))
    two = keras.Input((8, 8, 3))
    with pytest.raises(TypeError, match="one input"):
        to_twin(keras.Model([inputs, two], keras.layers.Add()([inputs, two])))


def test_recipes_are_described():
    for name in EXPORT_RECIPES:
        assert export_recipe(name).description
