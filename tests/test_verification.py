"""Verification finds what is wrong, and nothing where nothing is."""

import json
import os
import shutil

import keras
import numpy as np
import pytest

import kerafer
from kerafer.exporting import convert
from kerafer.files import sha256, write_json
from kerafer.verification.gpu import run_on_gpu
from kerafer.verification.oplint import inspect_operators
from kerafer.verification.report import GpuRun

GPU_IS_REQUIRED = bool(os.environ.get("KERAFER_REQUIRE_GPU"))


@pytest.fixture
def bundle(bundle_folder, tmp_path):
    """A bundle that a test may spoil."""
    return shutil.copytree(bundle_folder, tmp_path / "ean")


@pytest.fixture(scope="module")
def report(bundle_folder):
    return kerafer.verify(bundle_folder, require_gpu=GPU_IS_REQUIRED)


def test_a_good_bundle_passes(report):
    assert report.passed, report.table()
    assert [file.recipe for file in report.files] == ["float32", "float16", "dynamic_int8", "static_int8"]
    assert report.files[0].parity.max_difference < 1e-5
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True
    assert "all files passed" in report.table()


def test_float_files_run_on_the_gpu_accelerator(report):
    for file in report.files[:2]:
        assert not file.refused
        if GPU_IS_REQUIRED:
            assert file.gpu.status == "ok", file.gpu
            assert file.gpu.max_difference < 1e-4
            assert file.gpu.device
        else:
            assert file.gpu.status in ("ok", "no device"), file.gpu


def test_accuracy_is_measured_on_a_split(bundle_folder, faces):
    report = kerafer.verify(bundle_folder, data=faces)
    right = kerafer.evaluate(kerafer.load_model(bundle_folder), faces).accuracy
    assert report.accuracy == pytest.approx(right)
    assert report.files[0].accuracy == pytest.approx(right)
    assert report.files[0].accuracy_change == 0


def test_a_changed_file_is_found(bundle):
    path = bundle / "ean_float32.tflite"
    path.write_bytes(path.read_bytes() + b"x")
    report = kerafer.verify(bundle)
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
    assert any("labels.txt" in failure for failure in kerafer.verify(bundle).failures)


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


def test_a_required_gpu_that_is_missing_is_a_failure(bundle, monkeypatch):
    monkeypatch.setattr("kerafer.verification.checks.run_on_gpu", lambda *_: GpuRun("no device"))
    assert kerafer.verify(bundle).passed
    assert not kerafer.verify(bundle, require_gpu=True).passed


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
