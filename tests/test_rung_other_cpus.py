"""The rungs on other CPU kernels: what they let pass, and that they can fail."""

import os
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerafer
from kerafer.data.samples import portrait_faces
from kerafer.exporting import convert
from kerafer.quantization.recipes import EXPORT_RECIPES, export_recipe
from kerafer.runtime import LiteRTRunner
from kerafer.verification import other_cpus, other_pythons
from kerafer.verification.ladder import TOOLS, Job
from kerafer.verification.oplint import inspect_operators
from kerafer.verification.other_cpus import Arm64Rung, OldRuntimeRung
from kerafer.verification.other_pythons import Guest, Order, run_in

RUNGS_ARE_REQUIRED = bool(os.environ.get("KERAFER_REQUIRE_RUNGS"))
RECIPES = ("float32", "float16", "dynamic_int8", "static_int8")
FACES = 6


def job_of(path, recipe, contract):
    pixels = portrait_faces(contract, FACES, seed=3)
    inputs = contract.scale(pixels)
    return Job(path, export_recipe(recipe), kerafer.labels.LABELS_7, pixels, inputs, LiteRTRunner(path).predict(inputs))


@pytest.fixture(scope="module")
def jobs(bundle_folder, ean):
    """One job per recipe, on the shipped EAN."""
    contract = ean.card.preprocessing
    return {recipe: job_of(bundle_folder / f"ean_{recipe}.tflite", recipe, contract) for recipe in RECIPES}


@pytest.fixture
def no_model(tmp_path, jobs):
    """A job whose file is none."""
    path = tmp_path / "none.tflite"
    path.write_bytes(b"not a model at all")
    return replace(jobs["float32"], path=path)


def rung_or_skip(rung):
    lacking = rung.missing()
    if lacking and not RUNGS_ARE_REQUIRED:
        pytest.skip(lacking)
    assert not lacking
    return rung


@pytest.fixture
def arm64():
    return rung_or_skip(Arm64Rung())


@pytest.fixture
def old_runtime():
    return rung_or_skip(OldRuntimeRung())


@pytest.mark.slow
def test_arm_gives_the_same_numbers_and_tells_wrong_ones(arm64, jobs, no_model):
    quantized = jobs["static_int8"]
    scale = LiteRTRunner(quantized.path).output["quantization"][0]
    off = quantized.expected.copy()
    off[0, 0] += 2 * scale
    spoilt = [
        no_model,
        replace(quantized, expected=off),
        replace(jobs["float32"], expected=jobs["float32"].expected + 1e-3),
        replace(jobs["dynamic_int8"], expected=jobs["dynamic_int8"].expected[::-1]),
    ]
    runs = arm64.run([*spoilt, *jobs.values()])
    assert [run.status for run in runs[:4]] == ["refused", *["wrong numbers"] * 3], runs[:4]
    assert "not a valid Flatbuffer" in runs[0].message
    assert "up to 2 steps" in runs[1].message
    assert runs[1].max_difference == pytest.approx(2 * scale)
    assert "in mean" in runs[3].message
    for recipe, run in zip(jobs, runs[4:], strict=True):
        assert run.status == "ok", (recipe, run)
        assert f"ai-edge-litert {metadata.version('ai-edge-litert')} on aarch64" in run.device
    found = dict(zip(jobs, runs[4:], strict=True))
    assert found["static_int8"].max_difference <= 1.001 * scale
    assert found["static_int8"].message == "", "EAN's logits are the same bits"
    assert found["float32"].max_difference < 2e-6


@pytest.mark.slow
def test_the_old_runtime_gives_the_same_numbers_and_tells_wrong_ones(old_runtime, jobs, no_model):
    spoilt = [
        no_model,
        *(replace(job, expected=job.expected[::-1]) for job in (jobs["float32"], jobs["static_int8"])),
    ]
    runs = old_runtime.run([*spoilt, *jobs.values()])
    assert [run.status for run in runs[:3]] == ["refused", "wrong numbers", "wrong numbers"], runs[:3]
    for recipe, run in zip(jobs, runs[3:], strict=True):
        assert run.status == "ok", (recipe, run)
        assert run.device.startswith("tflite-runtime 2.14.0 on ")
    assert runs[3 + list(jobs).index("float32")].max_difference < 5e-6


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "status"), [(1, "ok"), (2, "wrong numbers")])
def test_arm_should_give_the_same_bits_up_to_softmax(arm64, jobs, monkeypatch, steps, status):
    run_for_real = other_cpus.run_in

    def spoilt(guest, orders):
        answers = run_for_real(guest, orders)
        if guest.command[0] == sys.executable:  # what this machine gives in a process of its own
            answers[0].outputs[0, 0] += steps * answers[0].scale
        return answers

    monkeypatch.setattr(other_cpus, "run_in", spoilt)
    (run,) = arm64.run([jobs["static_int8"]])
    assert run.status == status
    assert "before SOFTMAX" in run.message
    assert f"up to {steps} steps" in run.message


def test_a_file_is_cut_before_its_softmax(tmp_path, jobs):
    job = jobs["static_int8"]
    other_cpus.cut_softmax(job.path, tmp_path / "cut.tflite")
    cut = LiteRTRunner(tmp_path / "cut.tflite")
    assert "SOFTMAX" not in inspect_operators(tmp_path / "cut.tflite").operators
    scores = np.exp(cut.predict(job.inputs))
    steps = LiteRTRunner(job.path).output["quantization"][0]
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), job.expected, atol=1.5 * steps)


@pytest.mark.slow
def test_the_old_runtime_refuses_operators_that_it_does_not_know(old_runtime, jobs, tmp_path, ean):
    inputs = keras.Input((44, 44, 3))
    hidden = keras.layers.Conv2D(256, 3, strides=4)(inputs)  # smaller dense layers stay in float
    outputs = keras.layers.Dense(7, "softmax")(keras.layers.GlobalAveragePooling2D()(hidden))
    path = tmp_path / "dense.tflite"
    # as TensorFlow writes it unasked: a scale for each row of a dense layer, which kerafer does without
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, outputs))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path.write_bytes(converter.convert())
    own = tmp_path / "own.tflite"
    own.write_bytes(convert(keras.Model(inputs, outputs), "dynamic_int8"))
    given = [job_of(file, "dynamic_int8", ean.card.preprocessing) for file in (path, own)]
    refused, taken, ok = old_runtime.run([*given, jobs["float32"]])
    assert taken.status == "ok"
    assert refused.status == "refused"
    assert "'FULLY_CONNECTED' version '12'" in refused.message
    assert ok.status == "ok"


def test_a_crash_costs_one_file_and_a_refusal_none(tmp_path, jobs, no_model, monkeypatch):
    crashing = tmp_path / "interpret.py"
    script = other_pythons.SCRIPT.read_text(encoding="utf-8")
    crashing.write_text(
        script.replace(
            "    interpreter = Interpreter(",
            "    if model.endswith('crash.tflite'):\n        os.kill(os.getpid(), signal.SIGSEGV)\n"
            "    if model.endswith('hang.tflite'):\n        signal.pause()\n    interpreter = Interpreter(",
        )
    )
    monkeypatch.setattr(other_pythons, "SCRIPT", crashing)
    job = jobs["static_int8"]
    paths = [no_model.path, tmp_path / "crash.tflite", job.path, tmp_path / "hang.tflite", jobs["float32"].path]
    answers = run_in(Guest.this_python(5), [Order(path, job.inputs) for path in paths])
    assert [answer.status for answer in answers] == ["refused", "crashed", "ok", "crashed", "ok"]
    assert "signal 11" in answers[1].message
    assert answers[3].message == "no answer within 5 s"
    np.testing.assert_array_equal(answers[2].outputs, job.expected)
    np.testing.assert_array_equal(answers[4].outputs, jobs["float32"].expected)


def test_a_python_that_does_not_start_is_told(jobs):
    order = Order(jobs["float32"].path, jobs["float32"].inputs)
    guest = Guest((sys.executable, "-S"), {}, 10)
    answers = run_in(guest, [order, order])
    assert [answer.status for answer in answers] == ["cannot run", "cannot run"]
    assert "ModuleNotFoundError" in answers[0].message


@pytest.mark.parametrize("rung", [Arm64Rung(), OldRuntimeRung()], ids=lambda rung: rung.name)
def test_a_tool_that_was_not_fetched_is_named(rung, tmp_path, monkeypatch, jobs):
    monkeypatch.setenv(TOOLS, str(tmp_path))
    assert f"make {rung.name}" in rung.missing()
    with pytest.raises(FileNotFoundError, match=f"make {rung.name}"):
        rung.run([jobs["static_int8"]])
    folder = tmp_path / rung.name
    folder.mkdir()
    (folder / "version").write_text(metadata.version("ai-edge-litert") + "\n")
    assert rung.missing(), "without the file `ready` it is only half there"
    (folder / "ready").touch()
    assert rung.missing() == ""


def test_another_version_of_litert_is_no_proof(tmp_path, monkeypatch):
    monkeypatch.setenv(TOOLS, str(tmp_path))
    (tmp_path / "arm64").mkdir()
    for name, text in {"ready": "", "version": "1.0.0\n"}.items():
        (tmp_path / "arm64" / name).write_text(text)
    assert "version 1.0.0" in Arm64Rung().missing()


@pytest.mark.parametrize("rung", [Arm64Rung(), OldRuntimeRung()], ids=lambda rung: rung.name)
def test_files_of_every_recipe_are_meant_for_a_cpu(rung):
    assert not any(rung.unfit(recipe) for recipe in EXPORT_RECIPES.values())


def test_the_guest_imports_nothing_of_kerafer():
    assert "kerafer" not in Path(other_pythons.SCRIPT).read_text(encoding="utf-8").split('"""', 2)[2]
