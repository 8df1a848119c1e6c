"""The browser rungs give the CPU's numbers, and fail where LiteRT.js itself would not."""

import dataclasses
import functools
import os

import keras
import numpy as np
import pytest

from kerafer.data.samples import portrait_faces
from kerafer.exporting import convert
from kerafer.quantization.recipes import EXPORT_RECIPES, export_recipe
from kerafer.runtime import LiteRTRunner
from kerafer.verification import browser
from kerafer.verification.browser import WasmRung, WebGpuRung
from kerafer.verification.ladder import TOOLS, Job

BOTH = pytest.mark.parametrize("rung", [WasmRung(), WebGpuRung()], ids=lambda rung: rung.name)
LABELS = tuple("abcdefg")


@pytest.fixture
def fetched():
    """Skip where the tool was not fetched, unless it is required."""
    lacking = WasmRung().missing()
    if lacking and not os.environ.get("KERAFER_REQUIRE_RUNGS"):
        pytest.skip(lacking)
    assert not lacking


@pytest.fixture(scope="module")
def ean_job(ean, ean_converter, tmp_path_factory):
    """Return a job for EAN, exported by a recipe."""
    contract = ean.card.preprocessing
    pixels = portrait_faces(contract, 3, seed=2)
    inputs = contract.scale(pixels)
    folder = tmp_path_factory.mktemp("ean")

    @functools.cache
    def make(recipe):
        path = folder / f"{recipe}.tflite"
        path.write_bytes(ean_converter.convert(recipe, contract.scale(portrait_faces(contract, 20, seed=3))))
        return Job(path, export_recipe(recipe), ean.card.labels, pixels, inputs, LiteRTRunner(path).predict(inputs))

    return make


def job_of(path, layers):
    """Return a job for a model of some layers, converted to a file."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers, keras.layers.Flatten(), keras.layers.Dense(7)])
    path.write_bytes(convert(model, "float32"))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8)
    inputs = pixels.astype(np.float32) / 255
    return Job(path, export_recipe("float32"), LABELS, pixels, inputs, LiteRTRunner(path).predict(inputs))


def small_job(path):
    return job_of(path, [keras.layers.Conv2D(4, 3, activation="relu")])


def no_model(path):
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    inputs = np.zeros((1, 8, 8, 3), np.float32)
    return Job(path, export_recipe("float32"), LABELS, inputs.astype(np.uint8), inputs, np.zeros((1, 7), np.float32))


def ran(rung, *jobs):
    runs = rung.run(jobs)
    assert [run.rung for run in runs] == [rung.name] * len(jobs)
    return runs


# --- without a browser ---


@BOTH
def test_what_is_missing_is_named(rung, monkeypatch, tmp_path):
    monkeypatch.setenv(TOOLS, str(tmp_path))
    assert "Chromium" in rung.missing()
    assert "make browser" in rung.missing()
    with pytest.raises(FileNotFoundError, match="make browser"):
        rung.run([])
    folder = tmp_path / "browser"
    for part in ("ready", *browser.PARTS):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).touch()
    assert rung.missing() == ""
    (folder / "node").unlink()
    assert "lacks node:" in rung.missing()


def test_who_is_fit():
    assert {name for name, recipe in EXPORT_RECIPES.items() if not WasmRung().unfit(recipe)} >= {
        "float32",
        "float16",
        "dynamic_int8",
        "static_int8",
    }
    signed = dataclasses.replace(export_recipe("static_int8"), input_type="int8")
    assert "Element type INT8 is not supported" in WasmRung().unfit(signed)
    assert WebGpuRung().unfit(export_recipe("float16")) == ""
    assert "static_int8" in WebGpuRung().unfit(export_recipe("static_int8"))


@BOTH
def test_a_browser_that_does_not_start_is_said_once_for_all(rung, monkeypatch, tmp_path):
    folder = tmp_path / "browser"
    (folder / "node_modules/@litertjs/core").mkdir(parents=True)
    (folder / "node_modules/@litertjs/core/package.json").write_text('{"version": "0"}')
    (folder / "ready").touch()
    (folder / "node").write_text('#!/bin/sh\necho start >>"$HOME/../starts"\necho libX is not there >&2\nexit 127\n')
    (folder / "node").chmod(0o755)
    monkeypatch.setenv(TOOLS, str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    jobs = [no_model(tmp_path / "a.tflite"), no_model(tmp_path / "b.tflite")]
    runs = ran(rung, *jobs)
    assert [run.status for run in runs] == ["cannot run", "cannot run"]
    assert "libX is not there" in runs[1].message
    assert (tmp_path / "starts").read_text() == "start\n"


def test_what_stays_on_the_cpu_is_seen_in_every_sign_of_it():
    whole = {"stage": "done", "log": ["INFO: fine"], "accelerator": "webgpu", "fully": True, "buffers": [26]}
    assert browser._left_on_cpu(whole) == ""
    said = "2 operations will run on the GPU, and the remaining 4 operations will run on the CPU."
    assert "left on the CPU" in browser._left_on_cpu({**whole, "log": [said]})
    refusal = ["ERROR: Following operations are not supported by GPU delegate:", "GATHER: no", "WARNING: else"]
    assert browser._left_on_cpu({**whole, "log": refusal}) == "GATHER: no"
    assert "on wasm" in browser._left_on_cpu({**whole, "accelerator": "wasm"})
    assert "not all of it" in browser._left_on_cpu({**whole, "fully": False})
    assert "CPU's memory" in browser._left_on_cpu({**whole, "buffers": [1]})


# --- in the browser ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rung", "recipes"),
    [
        (WasmRung(), ("float32", "float16", "dynamic_int8", "static_int8")),
        (WebGpuRung(), ("float32", "float16")),
    ],
    ids=["wasm", "webgpu"],
)
def test_ean_gives_the_cpus_numbers(fetched, rung, recipes, ean_job):
    jobs = [ean_job(recipe) for recipe in recipes]
    assert all(np.ptp(job.expected, axis=0).max() > 0.01 for job in jobs), "these faces do not tell right from wrong"
    for run in ran(rung, *jobs):
        assert run.status == "ok", run
        assert "Chromium 1" in run.device
        assert "LiteRT.js 2" in run.device
        assert ("swiftshader in float32" in run.device) == (rung.name == "web_webgpu")


@pytest.mark.slow
@BOTH
def test_a_file_that_is_no_model_is_refused_and_the_next_one_runs(fetched, rung, tmp_path):
    bad, good = ran(rung, no_model(tmp_path / "bad.tflite"), small_job(tmp_path / "good.tflite"))
    assert bad.status == "refused", bad
    assert "Failed to load model" in bad.message
    assert good.status == "ok", good


@pytest.mark.slow
@BOTH
def test_other_numbers_are_caught(fetched, rung, tmp_path):
    job = small_job(tmp_path / "model.tflite")
    wrong = job.expected.copy()
    wrong[1, 3] += 0.001
    (run,) = ran(rung, dataclasses.replace(job, expected=wrong))
    assert run.status == "wrong numbers", run
    assert run.max_difference == pytest.approx(0.001, rel=0.05)


@pytest.mark.slow
def test_what_webgpu_does_not_take_is_refused_though_wasm_takes_it(fetched, tmp_path):
    conv = keras.layers.Conv2D(6, 3, padding="same")
    five = job_of(
        tmp_path / "five.tflite", [conv, keras.layers.Reshape((4, 2, 8, 6)), keras.layers.Permute((2, 1, 3, 4))]
    )
    # the only operators of this one are left on the CPU, and LiteRT.js says that it is fully accelerated
    six = job_of(
        tmp_path / "six.tflite", [keras.layers.Reshape((4, 2, 4, 2, 3)), keras.layers.Permute((1, 3, 5, 2, 4))]
    )
    for run in ran(WebGpuRung(), five, six):
        assert run.status == "refused", run
        assert "RESHAPE: Tensor" in run.message
    assert [run.status for run in ran(WasmRung(), five, six)] == ["ok", "ok"]


@pytest.mark.slow
def test_a_model_whose_values_must_come_back_from_the_gpu_is_refused(fetched, ean_job):
    (run,) = ran(WebGpuRung(), ean_job("static_int8"))
    assert run.status == "refused", run
    assert "left on the CPU" in run.message


@pytest.mark.slow
def test_validation_errors_of_webgpu_are_read(fetched, tmp_path):
    convs = [keras.layers.Conv2D(8, 3, padding="same"), keras.layers.Conv2D(8, 3, groups=4, padding="same")]
    (run,) = ran(WebGpuRung(), job_of(tmp_path / "grouped.tflite", convs))
    assert run.status == "wrong numbers", run
    assert "Binding size" in run.message


@pytest.mark.slow
@BOTH
def test_numbers_that_are_not_finite_are_caught(fetched, rung, tmp_path):
    job = job_of(tmp_path / "model.tflite", [keras.layers.Conv2D(4, 3)])
    beyond = np.full_like(job.inputs, np.finfo(np.float32).max)
    (run,) = ran(rung, dataclasses.replace(job, inputs=beyond))
    assert run.status == "wrong numbers", run
    assert "not finite" in run.message


@pytest.mark.slow
def test_without_an_adapter_webgpu_cannot_run(fetched, monkeypatch, tmp_path):
    monkeypatch.setitem(browser.ARGUMENTS, "webgpu", browser.ARGUMENTS["wasm"])
    (run,) = ran(WebGpuRung(), small_job(tmp_path / "model.tflite"))
    assert run.status == "cannot run", run
    assert "no WebGPU adapter" in run.message
    assert "no adapter" in run.device


TROUBLE = """
  const real = window.runJob;
  window.runJob = job => {
    while (job.model.endsWith('hangs.tflite'));
    if (job.model.endsWith('loses.tflite')) {
      setInterval(() => { try { getWebGpuDevice().destroy(); } catch { /* not there yet */ } }, 1);
    }
    if (job.model.endsWith('crashes.tflite')) for (const all = []; ;) all.push(new Array(1 << 18).fill(all.length / 3));
    return real(job);
  };
  window.ready = true;
"""


@pytest.fixture
def trouble(monkeypatch, tmp_path):
    """Serve a page that fails at certain files."""
    page = tmp_path / "page.html"
    page.write_text(browser.PAGE.read_text().replace("  window.ready = true;\n", TROUBLE))
    assert "loses" in page.read_text()
    monkeypatch.setattr(browser, "PAGE", page)


@pytest.mark.slow
def test_a_lost_device_takes_no_other_job_with_it(fetched, trouble, tmp_path):
    lost, last = ran(WebGpuRung(), small_job(tmp_path / "loses.tflite"), small_job(tmp_path / "last.tflite"))
    assert lost.status == "crashed", lost
    assert "device was lost" in lost.message
    assert last.status == "ok", last


@pytest.mark.slow
def test_a_tab_that_crashes_or_hangs_takes_no_other_job_with_it(fetched, trouble, monkeypatch, tmp_path):
    monkeypatch.setattr(browser, "JOB_SECONDS", 15)
    monkeypatch.setitem(browser.ARGUMENTS, "wasm", (*browser.ARGUMENTS["wasm"], "--js-flags=--max-old-space-size=64"))
    jobs = [small_job(tmp_path / f"{name}.tflite") for name in ("first", "crashes", "hangs", "last")]
    first, crashed, hung, last = ran(WasmRung(), *jobs)
    assert (first.status, last.status) == ("ok", "ok")
    assert (crashed.status, hung.status) == ("crashed", "crashed")
    assert "tab crashed" in crashed.message
    assert "no answer within 15 s" in hung.message
