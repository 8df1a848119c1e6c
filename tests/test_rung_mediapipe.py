"""The rungs in MediaPipe: what they let pass, and that they can fail."""

import os
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from kerafer.card import ModelCard
from kerafer.data.samples import portrait_faces
from kerafer.exporting import convert
from kerafer.litert.metadata import add_metadata
from kerafer.preprocess import Preprocessing
from kerafer.quantization.recipes import EXPORT_RECIPES, export_recipe
from kerafer.runtime import LiteRTRunner
from kerafer.verification import mediapipe
from kerafer.verification.ladder import TOOLS, Job
from kerafer.verification.mediapipe import GlDelegateRung, ImageClassifierRung, broken_means

RUNGS_ARE_REQUIRED = bool(os.environ.get("KERAFER_REQUIRE_RUNGS"))
LABELS = ("calm", "glad", "cross")
CONTRACT = Preprocessing(size=(12, 12), resize=(12, 12))
CARD = ModelCard("small", "Small", "none", LABELS, CONTRACT, parameters=1, flops=1, ruler="macs")


def job_of(path, recipe, labels, contract, faces=4):
    pixels = portrait_faces(contract, faces, seed=3)
    inputs = contract.scale(pixels)
    return Job(path, export_recipe(recipe), labels, pixels, inputs, LiteRTRunner(path).predict(inputs))


@pytest.fixture(scope="module")
def jobs(bundle_folder, ean):
    """One job per recipe, on the shipped EAN as it is exported."""
    return {
        path.stem.removeprefix("ean_"): job_of(
            path, path.stem.removeprefix("ean_"), ean.card.labels, ean.card.preprocessing
        )
        for path in sorted(bundle_folder.glob("*.tflite"))
    }


@pytest.fixture
def small(tmp_path):
    """Return a job on a float32 file with metadata, of a small model around a block whose outputs really differ."""

    def make(block, contract=CONTRACT, labels=LABELS):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((*contract.size, 3))
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
        x = keras.layers.GlobalAveragePooling2D()(block(x))
        model = keras.Model(inputs, keras.layers.Dense(len(LABELS), activation="softmax")(x))
        rng = np.random.default_rng(0)
        for weight in model.weights:
            weight.assign(rng.normal(0, 2.0 / np.sqrt(np.prod(weight.shape[:-1])), weight.shape))
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.tflite"
        card = replace(CARD, labels=labels, preprocessing=contract)
        path.write_bytes(add_metadata(convert(model, "float32"), card, "float32"))
        return job_of(path, "float32", LABELS, contract)

    return make


def rung_or_skip(rung):
    lacking = rung.missing()
    if lacking and not RUNGS_ARE_REQUIRED:
        pytest.skip(lacking)
    assert not lacking
    return rung


@pytest.fixture
def classifier():
    return rung_or_skip(ImageClassifierRung())


@pytest.fixture
def gl():
    return rung_or_skip(GlDelegateRung())


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Make a tool folder whose Python is this one, running a guest script of the given text."""

    def make(script):
        folder = tmp_path / "tools" / "mediapipe"
        (folder / "venv" / "bin").mkdir(parents=True)
        python = folder / "venv" / "bin" / "python"
        # no link: a linked Python forgets the virtual environment it belongs to
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        (folder / "ready").touch()
        guest = tmp_path / "guest.py"
        guest.write_text(f"import json, os, sys\nfrom pathlib import Path\n{script}", encoding="utf-8")
        monkeypatch.setenv(TOOLS, str(tmp_path / "tools"))
        monkeypatch.setattr(mediapipe, "GUEST", guest)

    return make


@pytest.fixture
def bare_job(tmp_path):
    """A job whose file no stand-in reads."""
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not read")
    pixels = np.zeros((2, 12, 12, 3), np.uint8)
    expected = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], np.float32)
    return Job(path, export_recipe("float32"), LABELS, pixels, CONTRACT.scale(pixels), expected)


@pytest.mark.slow
def test_the_image_classifier_gives_our_probabilities_with_nothing_but_the_file(classifier, jobs):
    runs = classifier.run(list(jobs.values()))
    assert {run.status for run in runs} == {"ok"}, runs
    found = dict(zip(jobs, runs, strict=True))
    assert found["float32"].max_difference < 1e-5
    assert found["static_int8"].max_difference <= 1 / 256
    assert found["float32"].device == "MediaPipe 0.10.21, CPU"


@pytest.mark.slow
def test_the_opengl_delegate_gives_our_probabilities_in_float16(gl, jobs):
    runs = gl.run([jobs["float32"], jobs["float16"]])
    assert [run.status for run in runs] == ["ok", "ok"], runs
    # it really was the delegate: the CPU is closer
    assert all(1e-5 < run.max_difference < 2e-2 for run in runs)
    assert all("llvmpipe" in run.device for run in runs)


@pytest.mark.slow
@pytest.mark.parametrize("rung", [ImageClassifierRung(), GlDelegateRung()], ids=lambda rung: rung.name)
def test_labels_in_the_wrong_order_and_wrong_numbers_are_caught(rung, small):
    rung = rung_or_skip(rung)
    good, turned = small(lambda x: x), small(lambda x: x, labels=("glad", "calm", "cross"))
    others = small(lambda x: x, labels=("calm", "glad", "angry"))
    no_metadata = replace(good, path=good.path.with_name("none.tflite"))
    no_metadata.path.write_bytes(b"not a model at all")
    wrong = replace(good, expected=good.expected[:, ::-1].copy())
    runs = rung.run([turned, others, no_metadata, wrong, good])
    assert [r.status for r in runs] == ["wrong numbers", "wrong numbers", "refused", "wrong numbers", "ok"], runs
    assert runs[0].message == "its metadata names the classes in the order glad/calm/cross, not calm/glad/cross"
    assert runs[0].max_difference > 0.1
    assert "calm/glad/angry" in runs[1].message
    assert "not a valid Flatbuffer" in runs[2].message
    assert runs[3].max_difference > 0.1


@pytest.mark.slow
def test_a_file_without_metadata_is_refused(classifier, small):
    job = small(lambda x: x)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inputs)))
    job.path.write_bytes(convert(model, "float32"))
    (run,) = classifier.run([job])
    assert run.status == "refused"
    assert "NormalizationOptions" in run.message


def reshaped_to_five_axes(x):
    x = keras.layers.Permute((1, 2, 4, 3))(keras.layers.Reshape((12, 12, 2, 2))(x))
    return keras.layers.Reshape((12, 12, 4))(x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block", "named"),
    [
        (keras.layers.Permute((2, 1, 3)), "transpose"),
        (reshaped_to_five_axes, "TRANSPOSE (OP is supported, but tensor type/shape isn't compatible.)"),
        (keras.layers.Conv2D(8, 3, groups=2), "split"),
        (keras.layers.GlobalMaxPooling2D(keepdims=True), "reduce_maximum"),
    ],
    ids=["transpose", "five axes", "grouped convolution", "reduce_max"],
)
def test_operators_that_the_delegate_does_not_take_are_named(gl, classifier, small, block, named):
    job = small(block)
    assert classifier.run([job])[0].status == "ok"
    (run,) = gl.run([job])
    assert run.status == "refused"
    assert named in run.message


@pytest.mark.slow
def test_overflow_of_float16_is_caught(gl, classifier, small):
    # pooling reads what was stored; operators on single values are fused, and overflow nowhere
    job = small(lambda x: keras.layers.Rescaling(1e-6)(keras.layers.MaxPooling2D()(keras.layers.Rescaling(1e6)(x))))
    assert classifier.run([job])[0].status == "ok"
    assert gl.run([job])[0].status == "wrong numbers"


@pytest.mark.slow
def test_an_average_that_the_delegate_computes_with_a_broken_shader_is_refused(gl, classifier, small):
    job = small(lambda x: x, contract=Preprocessing(size=(16, 16), resize=(16, 16)))
    assert broken_means(job.path) == ("MEAN over 16x16x4 (operator 1)",)
    assert broken_means(small(lambda x: x).path) == ()
    assert broken_means(small(lambda x: x, contract=Preprocessing(size=(64, 64), resize=(64, 64))).path) == ()
    assert classifier.run([job])[0].status == "ok"
    (run,) = gl.run([job])
    assert run.status == "refused"
    assert "MEAN over 16x16x4" in run.message


def test_a_tool_that_was_not_fetched_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(TOOLS, str(tmp_path))
    for rung in (ImageClassifierRung(), GlDelegateRung()):
        assert "run `make mediapipe`" in rung.missing()
    (tmp_path / "mediapipe").mkdir()
    (tmp_path / "mediapipe" / "ready").touch()
    assert "is gone" in ImageClassifierRung().missing()


def test_which_recipes_fit():
    assert not any(ImageClassifierRung().unfit(recipe) for recipe in EXPORT_RECIPES.values())
    unfit = {name: GlDelegateRung().unfit(recipe) for name, recipe in EXPORT_RECIPES.items()}
    assert [name for name, why in unfit.items() if not why] == ["float32", "float16"]
    assert "DEQUANTIZE" in unfit["weight_int8"]
    assert "nothing quantized" in unfit["static_int8"]


@pytest.mark.slow
def test_a_crash_or_a_hang_costs_one_job_only(stand_in, bare_job, monkeypatch):
    monkeypatch.setattr(mediapipe, "START_SECONDS", 6)
    monkeypatch.setattr(mediapipe, "JOB_SECONDS", 0)
    stand_in(
        "for job in json.loads(Path(sys.argv[1]).read_text())['jobs']:\n"
        "    number = Path(job['result']).name\n"
        "    Path(job['result'] + '.log').write_text(f'INFO: noise\\nwords of {number}\\n')\n"
        "    if number == '1': os.abort()\n"
        "    if number == '3': import time; time.sleep(60)\n"
        "    Path(job['result'] + '.json').write_text(json.dumps({'error': f'ValueError: {number}'}))\n"
    )
    runs = ImageClassifierRung().run([bare_job] * 5)
    assert [run.status for run in runs] == ["refused", "crashed", "refused", "crashed", "refused"]
    assert runs[1].message == "ended by signal 6; words of 1"
    assert runs[3].message.startswith("no answer within ")
    assert runs[4].message == "ValueError: 4"


def test_a_guest_that_cannot_start_is_no_crash_of_the_file(stand_in, bare_job):
    stand_in("import a_module_that_is_not_there\n")
    (run,) = ImageClassifierRung().run([bare_job])
    assert run.status == "cannot run"
    assert "a_module_that_is_not_there" in run.message


GIVES = (
    "import numpy as np\n"
    "for job in json.loads(Path(sys.argv[1]).read_text())['jobs']:\n"
    "    Path(job['result'] + '.log').write_text({log!r})\n"
    "    np.save(job['result'] + '.npy', np.array({scores}, np.float32))\n"
    "    Path(job['result'] + '.json').write_text(json.dumps({{'names': {names}}}))\n"
)
DELEGATED = "INFO: Created TensorFlow Lite delegate for GPU.\n"
RENDERER = "I0000 gl_context.cc:369] GL version: 3.2, renderer: llvmpipe (LLVM 15)\n"


@pytest.mark.parametrize(
    ("scores", "log", "status", "said"),
    [
        ("[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]", RENDERER + DELEGATED, "ok", ""),
        ("[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]", RENDERER, "refused", "on the CPU: no delegate was made"),
        (
            "[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]",
            RENDERER + DELEGATED + "GELU: Operation is not supported.\n9 operations will run on the CPU.\n",
            "refused",
            "not taken: GELU (Operation is not supported.). 9 operations will run on the CPU.",
        ),
        ("[[0, 0, 0], [0, 0, 0]]", RENDERER + DELEGATED, "wrong numbers", "the same outputs"),
        ("[[np.nan, 0.2, 0.1], [0.1, 0.3, 0.6]]", RENDERER + DELEGATED, "wrong numbers", "not finite"),
        ("[[0.7, 0.2, 0.1]]", RENDERER + DELEGATED, "wrong numbers", "gave (1, 3) values"),
    ],
)
def test_what_makes_a_run_on_the_delegate_worthless(stand_in, bare_job, scores, log, status, said):
    stand_in(GIVES.format(log=log, scores=scores, names=list(LABELS)))
    (run,) = GlDelegateRung().run([bare_job])
    assert run.status == status
    assert said in run.message
    assert run.device == "MediaPipe 0.10.21, llvmpipe (LLVM 15), float16"
