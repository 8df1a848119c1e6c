"""A method killed in any of its stages ends with the weights of one that was not."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import small
from conftest import ROOT

import kerafer
from kerafer.data.samples import synthetic, write_synthetic_csv
from kerafer.training import recipe


def kill_in(command, history):
    """Start a command, and kill it when a run has one epoch behind it: its second is under way."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    while process.poll() is None and not (history.exists() and len(history.read_text().splitlines()) > 1):
        time.sleep(0.02)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(history.read_text().splitlines()) < 4  # it was killed before its third and last epoch had ended
    assert not (history.parent / "last.keras").exists()


ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
GENERATOR = (
    f"--generator {small.NAME} --generator-recipe ean_paper --generator-set epochs=3 --generator-set batch_size=35"
)
METHODS = {
    "ldl": (GENERATOR, ["generator", "student"]),
    "distill": ("--rounds 2 --teacher", ["round-1", "round-2"]),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=pytest.mark.exhaustive) if m == "distill" else m for m in METHODS]
)
def test_killed_in_both_stages_it_ends_as_if_nothing_had_happened(method, tmp_path):
    data = write_synthetic_csv(tmp_path / "fer2013.csv", train=700, public=35)
    options, stages = METHODS[method][0].split(), METHODS[method][1]
    if method == "distill":
        with small.registered():
            settings, faces = recipe("ean_paper", epochs=1, batch_size=35), (synthetic(70), synthetic(35, seed=1))
            kerafer.train(small.NAME, *faces, settings, tmp_path / "teacher", size=(32, 32), verbose=0)
        options = [*options, str(tmp_path / "teacher")]

    def command(out):
        common = ["--data", f"fer2013:{data}", "--epochs", "3", "--batch-size", "35", "--size", "32", "--json"]
        return [sys.executable, "-m", "small", method, small.NAME, *options, *common, "--out", str(tmp_path / out)]

    whole = subprocess.run(command("whole"), capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert whole.returncode == 0, whole.stderr
    for stage in stages:
        kill_in(command("killed"), tmp_path / "killed" / stage / "history.csv")
    last = subprocess.run(command("killed"), capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert last.returncode == 0, last.stderr
    for stage in stages:
        one, other = (tmp_path / out / stage for out in ("whole", "killed"))
        assert (one / "history.csv").read_text() == (other / "history.csv").read_text()
        for which in ("last.keras", "best.keras"):
            models = [kerafer.load_model(folder / which).model.get_weights() for folder in (one, other)]
            for a, b in zip(*models, strict=True):
                np.testing.assert_array_equal(a, b)
