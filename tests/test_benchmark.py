"""Benchmarks: adb gets the right words, and this machine's runs fill the same table as a phone's.

The files `fixtures/benchmark_model_*.txt` follow the tool's format. They are no measurements of ours, nor of kerafer's
models; no phone's figure is claimed anywhere.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small

import kerafer
from kerafer.benchmarking import Phone, Plan, benchmark_here, benchmark_on_phone, read_log
from kerafer.benchmarking.report import BenchmarkReport, FileBenchmark, with_ratios
from kerafer.cli import benchmark as verb
from kerafer.loading import own_model

FIXTURES = Path(__file__).parent / "fixtures"

FAKE_ADB = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
with open(here / "said.jsonl", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
words = sys.argv[3:] if sys.argv[1] == "-s" else sys.argv[1:]
answers = json.loads((here / "answers.json").read_text())
if words == ["devices"]:
    print("List of devices attached")
    for row in answers["devices"]:
        print("\\t".join(row))
elif words[0] == "shell" and "getprop" in words[1]:
    print("Maker\\r\\nMaker Model 5\\r\\n15\\r")
elif words[0] == "shell" and words[1].startswith("test -x"):
    print(answers["tool"])
elif words[0] == "shell" and "--graph=" in words[1]:
    sys.stdout.write(pathlib.Path(answers["recording"]).read_text())
    sys.exit(answers.get("code", 0))
elif words[0] == "push" and answers.get("full"):
    sys.exit("adb: error: No space left on device")
"""


class FakeAdb:
    """An `adb` on the PATH that records its arguments and replays a recording."""

    def __init__(self, folder):
        self.folder = folder
        self.answers = {"devices": [["emu 1", "device"]], "tool": "yes", "recording": fixture("gpu")}
        (folder / "adb").write_text(FAKE_ADB.format(python=sys.executable))
        (folder / "adb").chmod(0o755)
        self.answer()

    def answer(self, **changes):
        self.answers |= changes
        (self.folder / "answers.json").write_text(json.dumps(self.answers, default=str))

    @property
    def said(self):
        record = self.folder / "said.jsonl"
        return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def fixture(name):
    return FIXTURES / f"benchmark_model_{name}.txt"


@pytest.fixture
def adb(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return FakeAdb(folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    model = small.build((44, 44, 3), 2, "softmax")
    folder = tmp_path_factory.mktemp("benchmark") / "a bundle"
    kerafer.export(own_model(model, ("yes", "no")), folder, recipes=("float32", "dynamic_int8"))
    return folder


@pytest.fixture
def odd_file(tmp_path):
    folder = tmp_path / "my models"
    folder.mkdir()
    path = folder / "it's $(mine) & 50%.tflite"
    path.write_bytes(b"\0" * 1500)
    return path


def command(*words):
    """Run the verb as `kerafer benchmark` does."""
    parser = argparse.ArgumentParser()
    verb.add(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["benchmark", *map(str, words)])
    return arguments.run(arguments)


def test_one_table_for_all_devices(bundle, adb):
    files = tuple(sorted(bundle.glob("*.tflite")))
    here = benchmark_here(files, runs=20, warmup=2)
    there = benchmark_on_phone(Plan(files))
    heads = [report.table().splitlines()[3].split() for report in (here, there)]
    assert heads[0] == heads[1]
    assert here.to_dict().keys() == there.to_dict().keys()
    assert here.to_dict()["files"][0].keys() == there.to_dict()["files"][0].keys()
    assert "8.407 to 8.982" in there.table()
    assert "58 of 58 TfLiteGpuDelegateV2" in there.table()
    assert "Maker Model 5, Android 15: CPU, 4 threads" in there.table()
    json.dumps(there.to_dict())


def test_this_machine(bundle):
    files = [bundle / "small_float32.tflite", bundle / "small_dynamic_int8.tflite"]
    report = benchmark_here(files, threads=2, runs=25, warmup=3, reference="small_dynamic_int8.tflite")
    for file, path in zip(report.files, files, strict=True):
        assert (file.name, file.bytes, file.runs, file.threads) == (path.name, path.stat().st_size, 25, 2)
        order = (file.minimum, file.p5, file.q1, file.median, file.q3, file.p95, file.maximum)
        assert order[0] > 0
        assert list(order) == sorted(order)
        assert file.minimum <= file.mean <= file.maximum
        assert file.init > 0
        assert file.first > 0
    first, second = report.files
    assert second.ratio == 1
    assert first.ratio == pytest.approx(first.median / second.median)
    assert report.passed
    assert benchmark_here(files[:1], runs=3, warmup=1).files[0].ratio is None


def test_every_run_is_counted_once(bundle, monkeypatch):
    from kerafer.benchmarking import desktop

    ticks = iter(np.arange(10_000) / 1000)  # each look at the clock is a millisecond after the one before
    monkeypatch.setattr(desktop.time, "perf_counter", lambda: float(next(ticks)))
    (file,) = benchmark_here([bundle / "small_float32.tflite"], runs=37, warmup=5).files
    assert file.runs == 37
    assert (file.median, file.mean, file.init, file.first) == pytest.approx((1, 1, 1, 1))
    assert next(ticks) == pytest.approx((1 + 5 + 37) * 2 / 1000)


def test_ratios():
    one, two, failed = (
        FileBenchmark(name, 1, "d", "cpu", 1, mean=mean) for name, mean in zip("abc", (2, 3, None), strict=True)
    )
    assert [file.ratio for file in with_ratios((one, two, failed))] == [1, 1.5, None]
    assert [file.ratio for file in with_ratios((one, two, failed), "b")] == [2 / 3, 1, None]
    assert with_ratios((replace(one, median=6), two))[1].ratio == 0.5
    with pytest.raises(ValueError, match="one of the files, a, b"):
        with_ratios((one, two), "z")
    table = BenchmarkReport((replace(one, failure="it fell"), two), "m").table()
    assert "FAILED   a: it fell" in table


def test_the_words_that_adb_gets(adb, odd_file):
    tool = odd_file.with_name("benchmark model")
    tool.write_bytes(b"\x7fELF")
    plan = Plan((odd_file,), processor="gpu", threads=2, runs=70, warmup=7, tool=tool, profile=True)
    benchmark_on_phone(plan)
    remote = f"/data/local/tmp/kerafer/{odd_file.name}"
    *before, prepare, push_tool, chmod, push, run, remove = adb.said
    assert before == [["devices"], ["-s", "emu 1", "shell", before[1][3]]]
    assert prepare == ["-s", "emu 1", "shell", "mkdir -p /data/local/tmp/kerafer"]
    assert push_tool == ["-s", "emu 1", "push", str(tool), "/data/local/tmp/kerafer/benchmark_model"]
    assert chmod[-1] == "chmod 755 /data/local/tmp/kerafer/benchmark_model"
    assert push == ["-s", "emu 1", "push", str(odd_file), remote]
    assert run[:3] == ["-s", "emu 1", "shell"]
    assert shlex.split(run[3]) == [
        "/data/local/tmp/kerafer/benchmark_model",
        f"--graph={remote}",
        *("--num_threads=2", "--num_runs=70", "--warmup_runs=7", "--max_secs=150"),
        *("--use_xnnpack=false", "--use_gpu=true", "--enable_op_profiling=true"),
    ]
    assert shlex.split(remove[3]) == ["rm", "-f", remote]
    # the phone's shell sees each word whole
    echoed = subprocess.run(["/bin/sh", "-c", f"printf '%s\\n' {run[3]}"], capture_output=True, text=True, check=True)
    assert echoed.stdout.splitlines()[1] == f"--graph={remote}"


def test_the_printed_commands_are_the_ones_that_run(adb, odd_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [odd_file, "--device", "android", "--processor", "gpu", "--serial", "emu 1"]
    assert command(*words) == 0
    text = capsys.readouterr().out
    assert adb.said == []  # printing runs nothing
    assert "downloads nothing" in text
    (tmp_path / "benchmark_model").write_bytes(b"\x7fELF")
    script, _, again = text.partition("\n# then, for the table:\n")
    subprocess.run(["/bin/sh", "-e", "-c", script], check=True, cwd=tmp_path, capture_output=True)
    typed = adb.said
    benchmark_on_phone(Plan((odd_file,), processor="gpu", serial="emu 1", tool=Path("benchmark_model")))
    assert typed == adb.said[len(typed) + 2 :]  # but for the two questions about the phone
    assert command(*shlex.split(again)[2:]) == 0
    assert "8.705" in capsys.readouterr().out


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path):
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files.append(tmp_path / name / "model.tflite")
        files[-1].write_bytes(b"")
    plan = Plan(tuple(files))
    assert [plan.remote(file).rpartition("/")[2] for file in files] == ["model.tflite", "model_1.tflite"]


@pytest.mark.parametrize(
    ("answers", "serial", "error", "words"),
    [
        ({"devices": []}, None, ValueError, "list a phone: attach it.*Received: none"),
        ({"devices": [["a", "device"], ["b", "device"]]}, None, ValueError, r"--serial.*a \(device\), b \(device\)"),
        ({"devices": [["a", "device"]]}, "b", ValueError, r"must list b.*a \(device\)"),
        ({"devices": [["a", "unauthorized"]]}, None, ValueError, "a is unauthorized, not ready. Unlock it"),
        ({"devices": [["a", "no permissions (see udev)"]]}, None, ValueError, "no permissions"),
        ({"tool": ""}, None, FileNotFoundError, "name it with --tool. benchmark_model is TensorFlow's"),
        ({"full": True}, None, OSError, "did not take it's.*No space left on device"),
    ],
)
def test_phones_that_are_not_ready(adb, odd_file, answers, serial, error, words):
    adb.answer(**answers)
    with pytest.raises(error, match=f"(?s){words}"):
        benchmark_on_phone(Plan((odd_file,), serial=serial))


def test_without_adb(odd_file, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no `adb` on the PATH.*leave out --run"):
        Phone.find()
    assert command(odd_file, "--device", "android") == 0  # printing needs none


def test_a_failure_of_one_file_is_told(adb, bundle, capsys):
    adb.answer(recording=fixture("gpu_failed"), code=1)
    assert command(bundle, "--device", "android", "--processor", "gpu", "--run") == 1
    out = capsys.readouterr().out
    assert "FAILED   small_float32.tflite: benchmark_model did not finish" in out
    assert "small_dynamic_int8.tflite is left out: dynamic_int8 is not meant for the GPU" in out
    assert "rm -f" in adb.said[-1][-1]
    adb.answer(recording=fixture("gpu_partial"), code=0)
    assert command(bundle, "--device", "android", "--processor", "gpu", "--run", "--json") == 1
    assert json.loads(capsys.readouterr().out)["files"][0]["warnings"]


def test_the_verb_here(bundle, capsys):
    assert command(bundle, "--runs", 5, "--warmup", 1, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"]
    assert [file["name"] for file in told["files"]] == ["small_float32.tflite", "small_dynamic_int8.tflite"]
    assert command(bundle / "small_float32.tflite", "--runs", 5, "--warmup", 1) == 0
    assert "wall-clock" in capsys.readouterr().out
    assert command(bundle, "--device", "android", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"prepare", "files"}


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--run"], ValueError, "--run goes with --device android"),
        (["--processor", "gpu"], ValueError, "--processor goes with --device android"),
        (["--threads", "0"], ValueError, "--threads"),
        (["--runs", "0"], ValueError, "`runs` must be a positive"),
        (["--reference", "other.tflite"], ValueError, "one of the files"),
        (["--device", "android", "--run", "--log", "x"], ValueError, "one of them"),
        (["--device", "android", "--log", "x", "--log", "y", "--log", "z"], ValueError, "one for each of the 2 files"),
        (["--device", "android", "--tool", "none"], FileNotFoundError, "no file none"),
        (["none.tflite"], FileNotFoundError, "no file or bundle none.tflite"),
    ],
)
def test_wrong_use(bundle, words, error, message):
    with pytest.raises(error, match=message):
        command(bundle, *words)


def test_wrong_arguments(odd_file, tmp_path):
    with pytest.raises(ValueError, match="`processor` must be one of cpu, gpu"):
        Plan((odd_file,), processor="npu")
    with pytest.raises(ValueError, match="`files` must name"):
        Plan(())
    with pytest.raises(ValueError, match="`files` must name"):
        benchmark_here([])
    with pytest.raises(FileNotFoundError):
        read_log(Plan((odd_file,)), [tmp_path / "none.log"])
    with pytest.raises(ValueError, match=r"not a \.tflite file"):
        benchmark_here([odd_file])
