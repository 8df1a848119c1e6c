"""Training whose pictures stay on a device is the training by batches, also when it was stopped."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT

from kerafer.training.callbacks import read_history

NAMES = ("taught", "soft", "hard")
TOLERANCE = {"soft": 2e-3}  # half precision; the others differ by rounding alone


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    ran = subprocess.run(
        [sys.executable, ROOT / "tests/device_training.py", folder],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",  # a few steps: compile fast
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),  # and what is the same only once
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "PYTHONPATH": str(ROOT),
        },
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return folder


def weights(run, which):
    return keras.models.load_model(run / f"{which}.keras").get_weights()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_ends_where_batches_end(runs, name):
    by_batches, on_device = (runs / kind / name for kind in ("by_batches", "on_device"))
    tolerance = TOLERANCE.get(name, 1e-5)
    histories = [read_history(run / "history.csv") for run in (by_batches, on_device)]
    assert len(histories[0]) == 3
    for one, other in zip(*histories, strict=True):
        assert other == pytest.approx(one, rel=tolerance)
    for which in ("best", "last"):
        pairs = list(zip(weights(by_batches, which), weights(on_device, which), strict=True))
        assert len(pairs) == 7
        for one, other in pairs:
            np.testing.assert_allclose(other, one, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_one_goes_on_exactly(runs, name):
    whole, stopped = (runs / kind / name for kind in ("on_device", "stopped"))
    assert (stopped / "history.csv").read_text() == (whole / "history.csv").read_text()
    for which in ("best", "last"):
        for one, other in zip(weights(whole, which), weights(stopped, which), strict=True):
            np.testing.assert_array_equal(other, one)
