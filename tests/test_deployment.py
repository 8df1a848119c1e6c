"""`kerafer.quantize`: one call for every recipe, exact to go on with, and honest about what it was given."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from parity import fill

import kerafer
from kerafer.cli.main import main
from kerafer.data.samples import synthetic, write_synthetic_csv
from kerafer.deployment import comparison, explain_rounding, quantizing
from kerafer.deployment import layers as explaining
from kerafer.labels import LABELS_7
from kerafer.loading import own_model
from kerafer.runtime import LiteRTRunner
from kerafer.training import quantization_aware as training
from kerafer.training import recipe

SETTINGS = recipe("qat", epochs=3, batch_size=14, learning_rate=1e-3)


@pytest.fixture(scope="module")
def small():
    """A model of a few layers, with dropout, whose layers all matter."""
    x = inputs = keras.Input((16, 16, 3), name="picture")
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="first")(x)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="second")(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    outputs = keras.layers.Dense(7, activation="softmax", name="last")(x)
    return own_model(fill(keras.Model(inputs, outputs, name="small")), LABELS_7)


@pytest.fixture(scope="module")
def data():
    return synthetic(28)


@pytest.fixture(scope="module")
def validation():
    return synthetic(14, seed=1, split="public")


@pytest.fixture(scope="module")
def tuned(small, data, validation, tmp_path_factory):
    """A bundle with a fine-tuned file; do not change it."""
    out = tmp_path_factory.mktemp("tuned") / "small"
    return kerafer.quantize(small, data=data, validation=validation, training=SETTINGS, out=out, verbose=0)


@pytest.fixture
def csv(tmp_path):
    return f"fer2013:{write_synthetic_csv(tmp_path / 'fer2013.csv', train=14, public=0)}"


def state(folder):
    with np.load(folder / "state.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_an_interrupted_fine_tuning_goes_on_exactly(small, data, validation, tuned, tmp_path, monkeypatch):
    measured, measure = [], training._measure

    def stopped(*arguments):
        measured.append(1)
        if len(measured) == 2:  # in the second epoch, trained but not saved
            raise KeyboardInterrupt
        return measure(*arguments)

    given = {"data": data, "validation": validation, "training": SETTINGS, "out": tmp_path / "small", "verbose": 0}
    monkeypatch.setattr(training, "_measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        kerafer.quantize(small, **given)
    assert json.loads((tmp_path / "small" / "run.json").read_text())["state"] == "running"
    (tmp_path / "small" / "history.csv").unlink()  # as if the first epoch's had not been written either
    bundle = kerafer.quantize(small, **given)
    assert len(measured) == 4, "the first epoch was repeated"
    expected, found = state(tuned.folder), state(bundle.folder)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    for name in ("history.csv", *tuned.tflite_files):
        assert (bundle.folder / name).read_bytes() == (tuned.folder / name).read_bytes()


def test_fine_tuning_changes_the_weights_and_is_recorded(small, tuned):
    record = json.loads((tuned.folder / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["settings"]["recipe"]["epochs"] == 3
    assert {"tf_keras", "tensorflow-model-optimization", "tensorflow"} <= set(record["versions"])
    lines = (tuned.folder / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3"]
    last = training.read_fine_tuned(tuned.folder, small).model.get_layer("quant_last")
    before = small.model.get_layer("last").get_weights()[0]
    kernel = next(w.numpy() for w in last.weights if w.shape == before.shape)
    assert 1e-4 < np.abs(kernel - before).max() < 0.5


def test_a_finished_one_is_returned_untouched(small, data, validation, tuned):
    before = times(tuned.folder)
    again = kerafer.quantize(small, data=data, validation=validation, training=SETTINGS, out=tuned.folder, verbose=0)
    assert times(tuned.folder) == before
    assert again.card == tuned.card


def test_one_that_was_stopped_while_it_was_converted_is_not_trained_again(
    small, data, validation, tmp_path, monkeypatch
):
    def stopped(model):
        raise KeyboardInterrupt

    short = dataclasses.replace(SETTINGS, epochs=1)
    given = {"data": data, "validation": validation, "training": short, "out": tmp_path / "small", "verbose": 0}
    with monkeypatch.context() as patch:
        patch.setattr(quantizing, "convert_rounded", stopped)
        with pytest.raises(KeyboardInterrupt):
            kerafer.quantize(small, **given)
    assert [path.name for path in tmp_path.iterdir()] == ["small"], "something half-made was left"
    monkeypatch.setattr(training, "_epoch", stopped)
    assert kerafer.quantize(small, **given).tflite_files == ("small_qat_int8.tflite",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed differ"),
        ({"training": dataclasses.replace(SETTINGS, epochs=4)}, "recipe differ"),
        ({"data": synthetic(28, seed=9)}, "data differ"),
    ],
)
def test_other_settings_are_refused(change, words, small, data, validation, tuned):
    before = times(tuned.folder)
    given = {"data": data, "validation": validation, "training": SETTINGS, "out": tuned.folder, "verbose": 0}
    with pytest.raises(ValueError, match=words):
        kerafer.quantize(small, **given | change)
    assert times(tuned.folder) == before


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"data": None}, ValueError, "data=None"),
        ({"validation": None}, ValueError, "validation=None"),
        ({"recipe": "int4"}, ValueError, "static_int8, qat_int8"),
        ({"recipe": ()}, ValueError, "at least one recipe"),
        ({"keep_float": ("first",)}, ValueError, "weight_int8 and static_int8"),
        ({"recipe": ("qat_int8", "weight_int8"), "keep_float": ("frist",)}, ValueError, "'frist'"),
        ({"training": recipe("lcnn_paper")}, ValueError, "schedule"),
        ({"training": recipe("qat", batch_size=64)}, ValueError, "batch_size"),
        ({"out": "."}, ValueError, "working folder"),
        ({"out": "file/small"}, PermissionError, "written"),
        ({"data": dataclasses.replace(synthetic(28), class_names=LABELS_7[::-1])}, ValueError, "model's classes"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    change, error, words, small, data, validation, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    given = {"data": data, "validation": validation, "training": SETTINGS, "out": "small", "verbose": 0}
    with pytest.raises(error, match=words):
        kerafer.quantize(small, **given | change)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_existing_folder_is_never_replaced(small, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="mine exists already"):
        kerafer.quantize(small, recipe="float16", out=tmp_path / "mine")


@pytest.mark.parametrize("loss", ["distillation", "cross_entropy"])
def test_it_learns_from_the_teacher_or_from_the_labels(loss, small, data, tmp_path):
    # one batch of all faces and no step worth speaking of: the loss is that of the rounded model as it is
    settings = recipe("qat", epochs=1, batch_size=28, learning_rate=1e-9, augmentation=(), loss=loss)
    plain = dataclasses.replace(small, model=without_dropout(small.model))
    run = training.fine_tune(plain, data, data, settings, tmp_path / "run", verbose=0)
    last = run.record["result"]["last"]
    if loss == "cross_entropy":
        assert last["loss"] == pytest.approx(last["val_loss"], rel=0.05)
        assert last["accuracy"] == pytest.approx(last["val_accuracy"], abs=0.04)
    else:
        assert 0 <= last["loss"] < 0.02 < last["val_loss"]


def without_dropout(model):
    x = model.input
    for layer in model.layers[1:]:
        x = x if isinstance(layer, keras.layers.Dropout) else layer(x)
    return keras.Model(model.input, x, name=model.name)


@pytest.mark.slow
def test_further_recipes_join_the_bundle_and_nothing_is_left_that_the_card_does_not_list(
    small, data, validation, tmp_path
):
    short = dataclasses.replace(SETTINGS, epochs=1)
    given = {"data": data, "validation": validation, "training": short, "out": tmp_path / "small", "verbose": 0}
    kerafer.quantize(small, recipe=("qat_int8", "weight_int8"), **given)
    weights = state(tmp_path / "small")
    bundle = kerafer.quantize(small, recipe=("float16", "qat_int8"), **given)
    made = {"small_float16.tflite", "small_qat_int8.tflite", "small_weight_int8.tflite"}
    assert set(bundle.tflite_files) == {path.name for path in bundle.folder.glob("*.tflite")} == made
    assert all(np.array_equal(value, weights[name]) for name, value in state(bundle.folder).items())
    assert bundle.card.files["small_qat_int8.tflite"]["against_fine_tuned"]["count"] == 14
    before = (bundle.folder / "small_weight_int8.tflite").read_bytes()
    kept = kerafer.quantize(small, recipe=("qat_int8", "weight_int8"), keep_float=("first",), **given)
    assert kept.card.files["small_weight_int8.tflite"]["kept_float"] == ["first"]
    assert (kept.folder / "small_weight_int8.tflite").read_bytes() != before


def test_a_fine_tuned_bundle_is_verified_and_compared(small, data, tmp_path):
    validation = synthetic(28, seed=1, split="public")
    settings = recipe("qat", epochs=1, batch_size=14, learning_rate=1e-6)
    recipes = ("float32", "static_int8", "qat_int8")
    bundle = kerafer.quantize(
        small, recipe=recipes, data=data, validation=validation, training=settings, out=tmp_path / "small", verbose=0
    )
    assert bundle.tflite_files == tuple(f"small_{name}.tflite" for name in recipes)
    note = bundle.card.files["small_qat_int8.tflite"]["against_fine_tuned"]
    assert note["faces"] == "28 of synthetic public"
    assert note["mean_steps"] < 2
    assert note["agreement"] >= 27 / 28 - 1e-4
    report = kerafer.verify(bundle.folder, data=validation, rungs=())
    assert report.passed, report.table()
    found = kerafer.compare_recipes(bundle, validation, rungs=())
    assert [row.recipe for row in found.rows] == list(recipes)
    float32, static, tuned = found.rows
    assert (float32.latency_ratio, float32.agreement, float32.accuracy_change) == (1, 1, 0)
    assert static.mean_difference > 100 * float32.mean_difference
    assert tuned.accuracy == pytest.approx(found.keras_accuracy + tuned.accuracy_change)
    assert [row.verified for row in found.rows] == [True, True, True]
    assert json.loads((bundle.folder / comparison.TABLE_FILE).read_text()) == json.loads(json.dumps(found.to_dict()))
    assert (bundle.folder / comparison.PICTURE_FILE).read_bytes()[:4] == b"\x89PNG"


def test_a_comparison_tells_why_a_recipe_failed_and_what_was_not_tried():
    row = comparison.RecipeRow("float16", 9000, 0.5, 0.0, 1.0, 0.0, None, {}, verified=False, failures=("it is bad",))
    told = comparison.RecipeComparison("small", "14 faces", 0.5, (row,)).table().splitlines()
    assert told[-1] == "FAILED  float16: it is bad"
    assert told[4].split() == ["float16", "9", "0.5000", "+0.0000", "100.0%", "-", "-", "FAILED"]


@pytest.fixture
def rounded_file(monkeypatch, tmp_path):
    """Where the file that `explain_rounding` looks at is kept."""
    report = explaining.layer_error_report

    def spied(reference, rounded, x, **options):
        (tmp_path / "rounded.tflite").write_bytes(rounded)
        return report(reference, rounded, x, **options)

    monkeypatch.setattr(explaining, "layer_error_report", spied)
    return tmp_path / "rounded.tflite"


@pytest.mark.parametrize("kept", [(), ("second",)])
def test_the_rounding_of_the_very_file_is_explained(kept, small, data, validation, rounded_file, tmp_path):
    bundle = kerafer.quantize(small, recipe="static_int8", data=data, keep_float=kept, seed=3, out=tmp_path / "small")
    report = explain_rounding(bundle, small, validation, calibration=data)
    x = validation.inputs(small.card.preprocessing.camera())
    expected = LiteRTRunner(bundle.folder / "small_static_int8.tflite").predict(x)
    np.testing.assert_array_equal(LiteRTRunner(rounded_file).predict(x), expected)
    in_float = {row["layer"] for row in report.rows() if row["steps_sqnr_db"] is None}
    assert in_float == set(kept)
    written = json.loads((bundle.folder / explaining.TABLE_FILE).read_text())
    assert written["inputs"] == 14
    assert written["together"]["mean_difference"] > 0
    assert (bundle.folder / explaining.PICTURE_FILE).read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="synthetic train"):
        explain_rounding(bundle, small, validation)


def test_the_rounding_of_a_fine_tuned_file_is_explained(small, validation, tuned, rounded_file):
    explain_rounding(tuned, small, validation)
    x = validation.inputs(small.card.preprocessing.camera())
    expected = LiteRTRunner(tuned.folder / "small_qat_int8.tflite").predict(x)
    np.testing.assert_array_equal(LiteRTRunner(rounded_file).predict(x), expected)


def test_only_integer_files_are_explained(small, tmp_path):
    bundle = kerafer.quantize(small, recipe="float16", out=tmp_path / "small")
    with pytest.raises(ValueError, match="Received: float16"):
        explain_rounding(bundle, small)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "qat_int9"], "static_int8, qat_int8"),
        (["--recipe", "qat_int8"], "--data"),
        (["--compare", "--recipe", "float32"], "--data"),
        (["--recipe", "float16", "--layers"], "--layers"),
        (["--recipe", "float16", "--epochs", "3", "--plain-loss"], "--epochs, --plain-loss"),
        (["--recipe", "float16", "--keep-float", "stem"], "weight_int8 and static_int8"),
        (["--recipe", "float16", "--validation", "public"], "--data"),
    ],
)
def test_the_command_refuses_what_it_would_ignore(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["quantize", "ean", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_needs_no_held_out_split_to_calibrate_and_prints_only_json(csv, tmp_path, capsys):
    out = tmp_path / "ean"
    given = ["--data", csv, "--json", "--out", str(out)]
    assert main(["quantize", "ean", "--recipe", "static_int8", *given]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["card"]["files"]["ean_static_int8.tflite"]["calibration"]["from"] == "fer2013 train"
    assert told["folder"] == str(out)
