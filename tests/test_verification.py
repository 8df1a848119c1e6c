"""Verification finds what is wrong, and nothing where nothing is."""

import dataclasses
import json
import os
import shutil

import keras
import numpy as np
import pytest

import kerafer
from kerafer.exporting import convert
from kerafer.files import sha256, write_json
from kerafer.litert.metadata import add_metadata
from kerafer.litert.slim import slim
from kerafer.quantization import UNTRAINED_RECIPES, export_recipe
from kerafer.verification import RUNGS, RungRun
from kerafer.verification.gpu import run_on_gpu
from kerafer.verification.ladder import TOOLS
from kerafer.verification.oplint import inspect_operators

RUNGS_ARE_REQUIRED = bool(os.environ.get("KERAFER_REQUIRE_RUNGS"))


@pytest.fixture
def bundle(bundle_folder, tmp_path):
    """A bundle that a test may spoil."""
    return shutil.copytree(bundle_folder, tmp_path / "ean")


@pytest.fixture(scope="module")
def report(bundle_folder):
    return kerafer.verify(bundle_folder, rungs=("all",), require=RUNGS_ARE_REQUIRED)


def test_a_good_bundle_passes(report):
    assert report.passed, report.table()
    assert [file.recipe for file in report.files] == list(UNTRAINED_RECIPES)
    assert report.files[0].parity.max_difference < 1e-5
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True
    assert "all files passed" in report.table()


def test_ean_climbs_the_whole_ladder(report):
    for file in report.files:
        assert [run.rung for run in file.rungs] == list(RUNGS)
        for run in file.rungs:
            if RUNGS[run.rung].unfit(export_recipe(file.recipe)):
                assert run.status == "not meant for it"
            elif RUNGS_ARE_REQUIRED:
                assert run.status == "ok", run
                assert run.device
            else:
                assert run.status in ("ok", "cannot run"), run
        if export_recipe(file.recipe).runs_on_gpu:
            assert not file.refused


@pytest.mark.parametrize(("rung", "tolerance"), [("gpu_float32", 1e-4), ("gpu_float16", 2e-2)])
def test_float_files_give_the_cpus_numbers_on_the_gpu_accelerator(report, rung, tolerance):
    runs = [file.run(rung) for file in report.files[:3]]
    if not RUNGS_ARE_REQUIRED and all(run.status == "cannot run" for run in runs):
        pytest.skip(runs[0].message)
    assert all(run.max_difference is not None and run.max_difference < tolerance for run in runs), runs


def test_accuracy_is_measured_on_a_split(bundle_folder, faces):
    report = kerafer.verify(bundle_folder, data=faces, rungs=())
    right = kerafer.evaluate(kerafer.load_model(bundle_folder), faces).accuracy
    assert report.accuracy == pytest.approx(right)
    assert report.files[0].accuracy == pytest.approx(right)
    assert report.files[0].accuracy_change == 0


def test_a_changed_file_is_found(bundle):
    path = bundle / "ean_float32.tflite"
    path.write_bytes(path.read_bytes() + b"x")
    report = kerafer.verify(bundle, rungs=())
    assert not report.passed
    assert any("checksum" in failure for failure in report.failures)


def test_a_damaged_file_is_reported_and_the_others_still_checked(bundle):
    path = bundle / "ean_float32.tflite"
    path.write_bytes(path.read_bytes()[:1000])
    report = kerafer.verify(bundle)
    assert "LiteRT can run" in report.files[0].failures[0]
    assert not report.files[1].failures
    assert "FAILED" in report.table()


def test_a_file_with_other_weights_is_found_even_with_its_own_checksum(bundle, ean):
    other = keras.models.clone_model(ean.model)
    other.set_weights([w * 1.02 for w in ean.model.get_weights()])
    path = bundle / "ean_float32.tflite"
    path.write_bytes(convert(other, "float32"))
    card = json.loads((bundle / "card.json").read_text())
    card["files"][path.name]["sha256"] = sha256(path)
    write_json(bundle / "card.json", card)
    report = kerafer.verify(bundle)
    assert report.failures == ()
    assert any("differs by" in failure for failure in report.files[0].failures)
    assert any("recorded" in failure for failure in report.files[0].failures)
    assert "FAILED" in report.table()


def test_labels_in_another_order_are_found(bundle):
    (bundle / "labels.txt").write_text("\n".join(reversed((bundle / "labels.txt").read_text().splitlines())) + "\n")
    assert any("labels.txt" in failure for failure in kerafer.verify(bundle, rungs=()).failures)


def test_a_card_with_labels_in_another_order_is_found(bundle):
    assert kerafer.verify(bundle, rungs=()).passed
    card = json.loads((bundle / "card.json").read_text())
    card["labels"][:2] = card["labels"][1::-1]
    write_json(bundle / "card.json", card)
    report = kerafer.verify(bundle, rungs=())
    assert not report.passed
    assert "labels.txt does not list the card's labels" in report.failures
    for file in report.files:
        assert any("its metadata lists the labels ('angry', 'disgust'" in failure for failure in file.failures)


def test_missing_things_are_named(bundle, tmp_path):
    (bundle / "ean_float16.tflite").unlink()
    with pytest.raises(FileNotFoundError, match="ean_float16"):
        kerafer.verify(bundle)
    with pytest.raises(FileNotFoundError, match=r"card\.json"):
        kerafer.verify(tmp_path)


def test_a_card_cannot_point_outside_its_folder(bundle):
    card = json.loads((bundle / "card.json").read_text())
    card["files"]["../../secret.tflite"] = card["files"]["ean_float32.tflite"]
    write_json(bundle / "card.json", card)
    with pytest.raises(ValueError, match="inside its folder"):
        kerafer.verify(bundle)


def test_a_rung_that_cannot_run_is_told_and_where_required_a_failure(bundle, monkeypatch, tmp_path):
    monkeypatch.setenv(TOOLS, str(tmp_path))
    report = kerafer.verify(bundle, rungs=("arm64",))
    assert report.passed
    assert {run.status for file in report.files for run in file.rungs} == {"cannot run"}
    assert "make arm64" in report.table()
    assert not kerafer.verify(bundle, rungs=("arm64",), require=True).passed


def test_an_unknown_rung_is_refused(bundle):
    with pytest.raises(ValueError, match="gpu_float16"):
        kerafer.verify(bundle, rungs=("gpu_float64",))


def test_a_rung_sees_only_fit_files_and_its_verdict_counts(bundle, monkeypatch):
    class Strict:
        name = proves = "strict"

        def missing(self):
            return ""

        def unfit(self, recipe):
            return "only float32" * (recipe.name != "float32")

        def run(self, jobs):
            assert [job.recipe.name for job in jobs] == ["float32"]
            return [RungRun("strict", "wrong numbers", "a device", 0.25)]

    monkeypatch.setitem(RUNGS, "strict", Strict())
    report = kerafer.verify(bundle, rungs=("strict",))
    assert [file.rungs[0].status for file in report.files] == ["wrong numbers"] + ["not meant for it"] * 4
    assert [bool(file.failures) for file in report.files] == [True] + [False] * 4
    assert "2.5e-01" in report.files[0].failures[0]


def test_metadata_in_another_order_is_found(bundle, ean):
    path = bundle / "ean_float32.tflite"
    turned = dataclasses.replace(ean.card, labels=tuple(reversed(ean.card.labels)))
    path.write_bytes(add_metadata(slim(convert(ean.model, "float32")), turned, "float32"))
    card = json.loads((bundle / "card.json").read_text())
    card["files"][path.name]["sha256"] = sha256(path)
    write_json(bundle / "card.json", card)
    assert any("labels" in failure for failure in kerafer.verify(bundle, rungs=()).files[0].failures)


def tflite_of(block, shape, tmp_path):
    import tensorflow as tf

    inputs = keras.Input(shape, batch_size=1)
    path = tmp_path / "model.tflite"
    model = keras.Model(inputs, block(inputs))
    signature = tf.TensorSpec((1, *shape), tf.float32)
    function = tf.function(model.call, input_signature=[signature]).get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert())
    return path


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            lambda x: keras.layers.Reshape((7,))(keras.ops.sum(keras.ops.reshape(x, (1, 2, 2, 1, 4, 7)), (1, 2, 3, 4))),
            "more than 4 axes",
        ),
        (lambda x: keras.ops.cast(keras.ops.cast(x, "int32") + 1, "float32"), "INT"),
        (keras.layers.Conv2D(14, 1, groups=7), "grouped"),
    ],
    ids=["six axes", "integers", "grouped convolution"],
)
def test_the_lint_refuses_what_the_gpu_refuses(block, words, tmp_path):
    refused = inspect_operators(tflite_of(block, (2, 8, 7), tmp_path)).refused
    assert any(words in reason for reason in refused), refused


def test_the_lint_refuses_what_is_no_model(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"not a model at all")
    with pytest.raises(ValueError, match="TFL3"):
        inspect_operators(tmp_path / "a.tflite")


def test_the_gpu_run_tells_a_refusal_from_success(bundle_folder):
    # a file with uint8 input cannot be fed floats: whatever the machine has, this is no success
    x = np.zeros((1, 44, 44, 3), np.float32)
    assert run_on_gpu(bundle_folder / "ean_static_int8.tflite", x).status != "ok"
