"""Several hosts: two processes that share the batches of a training on JAX end where one ends."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

import kerafer
from kerafer.training import join_hosts


def start(folder, number=0, count=1, port=0):
    cluster = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
        "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
    }
    return subprocess.Popen(
        [sys.executable, ROOT / "tests/host.py", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",  # a few steps: compile fast
            **(cluster if count > 1 else {}),
            "PYTHONPATH": str(ROOT),
        },
    )


def finish(processes):
    """Wait for all; one that fails ends the others, which would wait for it."""
    outputs = [""] * len(processes)
    try:
        for i, process in enumerate(processes):
            outputs[i] = process.communicate(timeout=400)[0]
            assert process.returncode == 0, outputs[i][-3000:]
    finally:
        for process in processes:
            process.kill()
    return outputs


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(tmp_path):
    finish([start(tmp_path / "one")])
    port = free_port()
    outputs = finish([start(tmp_path / "two", number, 2, port) for number in range(2)])
    assert "host 0 of 2" in outputs[0]
    assert "host 1 of 2" in outputs[1]
    untrained = kerafer.load_model("ean", weights="fer2013")
    one, two = (kerafer.load_model(tmp_path / name / "student") for name in ("one", "two"))
    moved = 0.0
    for a, b, before in zip(*(m.model.get_weights() for m in (one, two, untrained)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)
        moved = max(moved, float(np.abs(a - before).max()))
    assert moved > 0.01  # they agree because they learned the same, not because they learned nothing
    histories = (tmp_path / name / "student" / "history.csv" for name in ("one", "two"))
    np.testing.assert_allclose(*(np.genfromtxt(h, delimiter=",", skip_header=1) for h in histories), atol=1e-3)


def test_one_host_needs_nothing(monkeypatch):
    assert join_hosts() == (0, 1)
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "127.0.0.1:1")
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax"):
        join_hosts()
