"""What is converted once is kept, made anew where it was damaged, and does without a folder that may not be written."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

import kerafer
from kerafer import cache
from kerafer.cache import kept
from kerafer.data.samples import portrait, portrait_faces
from kerafer.exporting import cached, load_exported
from kerafer.vision import MTCNNDetector, mtcnn_litert

FORBIDDEN = pytest.mark.skipif(
    not os.path.isdir("/sys/kernel"), reason="needs a folder that not even root may write to"
)


class Making:
    """Makes two files, and counts how often."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return {"a.bin": b"first", "b.bin": b"second"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_TEMPORARY", [])
    return tmp_path / "cache" / "kerafer"


def test_files_are_made_once(folder):
    make = Making()
    for _ in range(2):
        files = kept("things", ["a.bin", "b.bin"], make)
        assert {name: path.read_bytes() for name, path in files.items()} == make()
        assert {path.parent for path in files.values()} == {folder / "things"}
    assert make.count == 1 + 2  # and twice to compare


@pytest.mark.parametrize("damage", [b"firs", b"", b"first and more", None])
def test_a_damaged_file_is_made_anew(folder, damage):
    make = Making()
    path = kept("things", ["a.bin", "b.bin"], make)["a.bin"]
    path.unlink() if damage is None else path.write_bytes(damage)
    assert kept("things", ["a.bin", "b.bin"], make)["a.bin"].read_bytes() == b"first"
    assert make.count == 2


@FORBIDDEN
def test_a_folder_that_may_not_be_written_is_done_without(folder, monkeypatch):
    make = Making()
    monkeypatch.setenv("XDG_CACHE_HOME", "/sys/kernel")
    with pytest.warns(UserWarning, match=r"cannot be kept .*/sys/kernel.* Set XDG_CACHE_HOME to a folder"):
        first = kept("things", ["a.bin", "b.bin"], make)
    assert kept("things", ["a.bin", "b.bin"], make) == first
    assert first["b.bin"].read_bytes() == b"second"
    assert make.count == 1


def test_nobodys_home_is_done_without(folder, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(cache.Path, "home", homeless)
    with pytest.warns(UserWarning, match=r"Could not determine home directory\. Set XDG_CACHE_HOME"):
        assert kept("things", ["a.bin", "b.bin"], Making())["a.bin"].is_file()


@FORBIDDEN
def test_the_default_detector_works_where_nothing_can_be_kept(folder, monkeypatch):
    contents = mtcnn_litert._convert()
    calls = []
    monkeypatch.setattr(mtcnn_litert, "_convert", lambda: calls.append(1) or contents)
    monkeypatch.setenv("XDG_CACHE_HOME", "/sys/kernel")
    for _ in range(2):
        assert len(MTCNNDetector(runtime="litert").detect([portrait()])[0]) == 1
    assert calls == [1]


def test_shipped_weights_as_a_file_say_what_keras_says(folder, ean, monkeypatch):
    loaded = load_exported("ean", "fer2013")
    assert (loaded.name, loaded.card, loaded.model) == (ean.name, ean.card, None)
    x = ean.card.preprocessing.scale(portrait_faces(ean.card.preprocessing, 6, seed=2))
    np.testing.assert_allclose(loaded.runner.predict(x), ean.runner.predict(x), atol=1e-5)
    monkeypatch.setattr(cached, "convert", None)  # not needed again
    np.testing.assert_array_equal(load_exported("ean", "fer2013", threads=2).runner.predict(x).argmax(1).shape, (6,))
    assert load_exported("ean", "fer2013_qat_int8").runner.input["dtype"] == np.uint8
    with pytest.raises(ValueError, match=r"must be None, a \.npz file, or one of"):
        load_exported("ean", "fer2014")


def test_predict_loads_no_tensorflow(tmp_path):
    photo = tmp_path / "photo.png"
    Image.fromarray(portrait()).save(photo)
    code = (
        "import sys; from kerafer.cli.main import main\n"
        f"main(['predict', {str(photo)!r}, '--no-files', '--json'])\n"
        "print([m for m in ('tensorflow', 'keras', 'mtcnn') if m in sys.modules])"
    )
    load_exported("ean", "fer2013")  # both are converted at the first use, which needs TensorFlow
    mtcnn_litert.converted()
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    told, _, last = ran.stdout.rstrip().rpartition("\n")
    assert json.loads(told)["model"] == "ean (fer2013)"
    assert len(json.loads(told)["pictures"][0]["faces"]) == 1
    assert last == "[]"


def test_threads_reach_detector_and_model(monkeypatch, tmp_path):
    from kerafer import runtime

    asked = []
    before = runtime.LiteRTRunner.__init__

    def watched(self, path, threads=1, **options):
        asked.append(threads)
        before(self, path, threads, **options)

    monkeypatch.setattr(runtime.LiteRTRunner, "__init__", watched)
    from kerafer.cli.main import main

    photo = tmp_path / "photo.png"
    Image.fromarray(portrait()).save(photo)
    detectors = []
    monkeypatch.setattr(
        mtcnn_litert.LiteRTMTCNN, "detect_faces", lambda self, *_, **__: detectors.append(self.threads) or []
    )
    for model in (["--weights", "fer2013"], ["--weights", "fer2013_qat_int8"]):
        assert main(["predict", str(photo), "--no-files", "--threads", "3", *model]) == 0
    assert asked == [3, 3]
    assert detectors == [3, 3]
    assert main(["predict", str(photo), "--no-files", "--threads", "0"]) == 2
    assert kerafer.load_model("ean", weights="fer2013_qat_int8", threads=2).runner.interpreter is not None
