"""What benchmark_model prints is read, from its first releases to today's.

The files `fixtures/benchmark_model_*.txt` follow the tool's format. They are no measurements of ours, nor of kerafer's
models; no phone's figure is claimed anywhere.
"""

from pathlib import Path

import pytest

from kerafer.benchmarking.parsing import parse_output

FIXTURES = Path(__file__).parent / "fixtures"
KNOWN = {"name": "small.tflite", "bytes": 1000, "device": "a phone", "processor": "gpu", "threads": 4}


def fixture(name):
    return FIXTURES / f"benchmark_model_{name}.txt"


def parsed(name, **changes):
    return parse_output(fixture(name).read_text(), **{**KNOWN, **changes})


def test_a_run_on_the_cpu():
    found = parsed("cpu", processor="cpu")
    assert (found.runs, found.mean, found.std, found.minimum, found.maximum) == (1222, 0.806314, 0.051, 0.733, 1.604)
    assert (found.p5, found.median, found.p95, found.q1, found.q3) == (0.748, 0.799, 0.884, None, None)
    assert (found.init, found.first, found.warmup) == (4.118, 2.19, 0.81572)
    assert (found.memory_init, found.memory) == (3.75, 5.01562)
    (delegation,) = found.delegations
    assert (delegation.delegate, delegation.taken, delegation.nodes, delegation.partitions) == (
        "TfLiteXNNPackDelegate", 58, 58, 1,
    )  # fmt: skip
    assert not found.warnings
    assert not found.failure
    assert found.on_asked_processor


def test_an_old_tools_words_and_its_profile():
    found = parsed("old", processor="cpu")
    assert (found.runs, found.mean, found.minimum, found.median, found.p5) == (50, 2950.34, 2727.568, None, None)
    assert found.typical == found.mean
    assert (found.init, found.first, found.warmup) == (17.187, 3512.391, 3512.39)
    assert (found.memory_init, found.memory) == (4.21094, 46.0859)
    assert found.operators == {"CONV_2D": 1500.957, "DEPTHWISE_CONV_2D": 1249.87, "SOFTMAX": 147.808}
    earliest = "count=9 curr=5\nAverage inference timings in us: Warmup: 83235, Init: 38467, Inference: 79760.9"
    assert parse_output(earliest, **KNOWN).init == 38.467


def test_a_run_on_the_gpu():
    found = parsed("gpu")
    assert found.on_asked_processor
    assert not found.warnings
    assert (found.runs, found.median, found.first) == (208, 8.705, 45.401)  # of the runs, not of the warm-up


def test_work_that_stays_on_the_cpu_is_told():
    found = parsed("gpu_partial")
    assert not found.on_asked_processor
    assert found.median == 20.805
    assert [(d.taken, d.nodes, d.partitions) for d in found.delegations] == [(54, 58, 3)]
    told = " | ".join(found.warnings)
    assert "partially executed by the delegate w/ 2 delegate kernels" in told
    assert "54 operations will run on the GPU, and the remaining 4 operations will run on the CPU" in told
    assert "ARG_MAX: Tensor type(INT64) is not supported.; GATHER_ND: Operation is not supported." in told
    assert len(found.warnings) == 3


def test_a_gpu_that_does_nothing_is_told():
    found = parsed("not_delegated")
    assert not found.on_asked_processor
    assert found.warnings == (
        "Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.",
    )
    assert found.memory is None
    silent = parse_output(fixture("cpu").read_text(), **KNOWN)  # nothing was said, and the CPU did it
    assert silent.warnings == (
        "the GPU was asked for, and did not take every node: TfLiteXNNPackDelegate took 58 of 58 nodes",
    )


def test_a_run_that_failed():
    found = parsed("gpu_failed")
    assert found.mean is None
    assert "FULLY_CONNECTED: Amount of input data should match weights width" in found.failure
    assert found.failure.endswith("Benchmarking failed.")
    assert parse_output("", **KNOWN).failure == "benchmark_model did not finish: it printed nothing"
    stopped = fixture("gpu").read_text().partition("Inference timings")[0]
    assert parse_output(stopped, **KNOWN).mean is None  # the warm-up's figures are not taken for the run's
    missing = parse_output("/system/bin/sh: /data/local/tmp/kerafer/benchmark_model: not found", **KNOWN)
    assert "not found" in missing.failure


@pytest.mark.parametrize("form", ["time", "threadtime", "tag", "carriage returns"])
def test_logcat(form):
    text = fixture("logcat").read_text()
    if form == "threadtime":
        text = text.replace("I/tflite  ( 5395): ", " 4242  4260 I tflite  : ")
    elif form == "tag":
        text = "\n".join(f"I tflite  : {line.partition('): ')[2]}" for line in text.splitlines())
    elif form == "carriage returns":
        text = text.replace("\n", "\r\n")
    found = parse_output(text, **KNOWN)
    assert (found.runs, found.mean, found.median, found.init, found.memory) == (10, 2719.85, 2709.263, 458.883, 337)
    assert found.warnings == ("GPU acceleration is unsupported on this platform.",)
