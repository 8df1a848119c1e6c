"""Pictures nobody sane would make, full disks, forbidden folders, odd names, two at once: each ends as it should."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

import kerafer
from kerafer.cli.main import main
from kerafer.data.samples import portrait, write_synthetic_csv
from kerafer.exporting import Bundle
from kerafer.exporting.bundle import read_golden
from kerafer.files import exclusively, sha256
from kerafer.images import read_image
from kerafer.vision import BlazeFaceDetector, MTCNNDetector


def damaged(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def test_a_damaged_archive_of_pictures_is_named(tmp_path):
    path = tmp_path / "train.npz"
    np.savez(path, images=np.zeros((2, 48, 48), np.uint8), labels=np.arange(2))
    damaged(path, b"PK\x01\x02", b"PK\x01\x03")
    with pytest.raises(ValueError, match=r"train\.npz is not a readable"):
        kerafer.load_data(f"fer2013:{path}")
    np.savez(path, images=np.zeros((2, 48, 48), np.uint8), labels=np.array(["a", "b"]))
    with pytest.raises(ValueError, match="whole numbers"):
        kerafer.load_data(f"fer2013:{path}")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("golden.json", b'"inputs": "', b'"inputs": 3, "x": "'),
        ("golden.json", b'"shape": [', b'"shape": ["a", '),
        ("golden.json", b'"outputs": {', b'"outputs": {"x": null, '),
        ("model.keras", b"model.weights.h5", b"model.weights.h6"),
    ],
)
def test_a_damaged_bundle_is_refused(name, old, new, bundle_folder, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(bundle_folder, folder)
    damaged(folder / name, old, new)
    with pytest.raises(ValueError, match=name.replace(".", r"\.") + "|file name must be a text"):
        read_golden(Bundle.open(folder)) if name == "golden.json" else kerafer.load_model(folder)


ODD = "Überraschung 表情 (1) 'x' &"


def png(width, height):
    """Return a PNG of one gray value that is tiny however many pixels it has."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = b"\0" * (1 + width)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused(tmp_path, capsys):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(20_000, 20_000))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match=r"bomb\.png.*pixels"):
        read_image(path)
    assert main(["predict", str(path), "--no-files", "--detector", "blazeface"]) == 2
    assert "bomb.png" in capsys.readouterr().err


@pytest.mark.parametrize("detector", [MTCNNDetector(runtime="litert"), BlazeFaceDetector()], ids=["mtcnn", "blazeface"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (13, 11)])
def test_a_picture_of_a_pixel_holds_no_face(detector, shape, tmp_path):
    path = tmp_path / "pixel.png"
    Image.fromarray(np.full((*shape, 3), 200, np.uint8)).save(path)
    assert detector.detect([read_image(path)]) == [[]]


def test_a_picture_of_a_pixel_can_be_learned_from(tmp_path):
    for name in ("happy", "sad"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((1, 1), 90, np.uint8)).save(tmp_path / name / "1.png")
    data = kerafer.load_data(f"folder:{tmp_path}", progress=False)
    contract = kerafer.model_spec("ean").preprocessing
    assert data.inputs(contract).shape == (2, 44, 44, 3)


def test_names_with_spaces_and_other_alphabets(tmp_path, capsys):
    folder = tmp_path / ODD
    folder.mkdir()
    photo = folder / f"{ODD}.png"
    Image.fromarray(portrait()).save(photo)
    assert main(["predict", str(photo), "--out", str(folder / "out")]) == 0
    assert (folder / "out" / f"{ODD}.annotated.png").is_file()
    bundle = kerafer.export("ean", folder / "bundle", weights="fer2013", recipes=("float32",))
    loaded = kerafer.load_model(folder / "bundle" / bundle.tflite_files[0])
    assert loaded.runner.predict(np.zeros((1, 44, 44, 3), np.float32)).shape == (1, 7)
    csv = write_synthetic_csv(folder / f"{ODD}.csv", train=14, public=7)
    assert main(["data", "check", f"fer2013:{csv}"]) == 0
    arguments = ["--recipe", "ean_paper", "--epochs", "1", "--batch-size", "7", "--out", str(folder / "run")]
    assert main(["train", "ean", "--data", f"fer2013:{csv}", *arguments]) == 0
    assert main(["evaluate", str(folder / "run"), "--data", f"fer2013:{csv}", "--split", "public"]) == 0
    told = capsys.readouterr().out
    assert ODD in told
    assert "\x1b" not in told  # colours are for terminals


@pytest.mark.skipif(not os.path.isdir("/sys/kernel"), reason="needs a folder that not even root may write to")
@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "PHOTO", "--detector", "blazeface", "--out", "/sys/kerafer"],
        ["export", "ean", "--weights", "fer2013", "--out", "/sys/kerafer"],
        ["train", "ean", "--data", "fer2013:CSV", "--epochs", "1", "--out", "/sys/kerafer"],
        ["data", "preview", "fer2013:CSV", "--out", "/sys/kerafer.png"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_folder_that_may_not_be_written_is_named(arguments, tmp_path, capsys):
    photo, csv = tmp_path / "photo.png", write_synthetic_csv(tmp_path / "faces.csv", train=14, public=7)
    Image.fromarray(portrait()).save(photo)
    given = {"PHOTO": str(photo), "fer2013:CSV": f"fer2013:{csv}"}
    assert main([given.get(word, word) for word in arguments]) in (1, 2)
    told = capsys.readouterr().err
    assert "/sys/" in told
    assert "Traceback" not in told


FULL = """
import json, os, sys
from pathlib import Path
from PIL import Image
from kerafer.cli.main import main
from kerafer.data.samples import portrait, write_synthetic_csv

disk, elsewhere = map(Path, sys.argv[1:])
sys.path.insert(0, "tests")
from moving import pictures, write
clip = write(elsewhere / "talk.mp4", pictures(20))
Image.fromarray(portrait()).save(elsewhere / "photo.png")
csv = write_synthetic_csv(elsewhere / "faces.csv", train=14, public=7)
training = ["train", "ean", "--data", f"fer2013:{csv}", "--recipe", "ean_paper", "--batch-size", "7"]
found = {}
for arguments in (
    ["predict", str(elsewhere / "photo.png"), "--detector", "blazeface", "--out", str(disk / "faces")],
    ["export", "ean", "--weights", "fer2013", "--recipe", "float32", "--out", str(disk / "bundle")],
    [*training, "--epochs", "1", "--out", str(disk / "run")],
    ["video", str(clip), "--weights", "fer2013_qat_int8", "--detector", "blazeface", "--out", str(disk / "talk.mp4")],
):
    code = main(arguments)
    found[arguments[0]] = [code, sorted(str(p.relative_to(disk)) for p in disk.rglob("*") if p.is_file())]
print()
print(json.dumps(found))
"""


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    """On a real file system of 64 KB, in a mount namespace of its own; nothing is left of it."""
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    elsewhere.mkdir()
    command = f'mount -t tmpfs -o size=64k tmpfs "{disk}" && exec "{sys.executable}" -c "$0" "{disk}" "{elsewhere}"'
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a file system of their own")
    ran = subprocess.run([*unshare, "sh", "-c", command, FULL], capture_output=True, text=True, cwd=ROOT, check=False)
    if "mount:" in ran.stderr:
        pytest.skip("this system lets nobody mount a file system of their own")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert ran.stderr.count("No space left on device") >= 3
    assert "talk.mp4 could not be written whole: it holds 0 of 20 pictures. Is the disk full?" in ran.stderr
    for verb, (code, files) in found.items():
        assert code in (1, 2), verb
        left = [name for name in files if name.split("/")[-1].startswith(".") or name.endswith((".png", ".mp4"))]
        assert not left, verb
    assert not any(name.startswith("bundle") for name in found["export"][1])


HOLD = "import sys; from kerafer.files import exclusively\nwith exclusively(sys.argv[1]): print(1, flush=True); input()"


def test_two_processes_do_not_write_one_run(tmp_path, capsys):
    csv, run = write_synthetic_csv(tmp_path / "faces.csv", train=14, public=7), tmp_path / "run"
    arguments = ["train", "ean", "--data", f"fer2013:{csv}", "--recipe", "ean_paper", "--epochs", "1"]
    arguments += ["--batch-size", "7", "--out", str(run)]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as other:
        other.stdout.readline()
        assert main(arguments) == 2
        assert "Another process is writing" in capsys.readouterr().err
        assert not any(run.iterdir())
        other.kill()  # as when the machine loses it: the folder is free at once
    assert main(arguments) == 0
    assert (run / "last.keras").is_file()


def started(*arguments):
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "kerafer", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.exhaustive
@pytest.mark.usefixtures("ctrl_c")
def test_two_trainings_do_not_write_one_run(tmp_path):
    csv, run = write_synthetic_csv(tmp_path / "faces.csv", train=140, public=7), tmp_path / "run"
    arguments = ["train", "ean", "--data", f"fer2013:{csv}", "--recipe", "ean_paper", "--batch-size", "7"]
    arguments += ["--out", run, "--epochs"]
    first = started(*arguments, 2000)
    try:
        while not (run / "history.csv").exists():
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.1)
        second = started(*arguments, 2000)
        _, told = second.communicate(timeout=600)
        assert second.returncode == 2
        assert "Another process is writing" in told
        assert told.count("\n") == 1
        assert first.poll() is None
        first.send_signal(signal.SIGINT)
        _, told = first.communicate(timeout=600)
        assert first.returncode == 130
        assert "it goes on from its last epoch" in told
    finally:
        first.kill()
    assert not list(run.glob(".*"))
    with exclusively(run):  # free again
        assert kerafer.load_model(run / "best.keras").model is not None


@pytest.mark.slow
def test_two_exports_into_one_folder_leave_one_whole_bundle(tmp_path):
    arguments = ["export", "ean", "--weights", "fer2013", "--recipe", "float32", "--out", tmp_path / "bundle"]
    both = [started(*arguments) for _ in range(2)]
    told = [one.communicate()[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 2]
    assert sum("exists already. Choose another folder" in text for text in told) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    bundle = Bundle.open(tmp_path / "bundle")
    read_golden(bundle)
    for name, entry in bundle.card.files.items():
        assert sha256(bundle.folder / name) == entry["sha256"]


def test_a_bundle_that_came_to_be_meanwhile_is_not_replaced(ean, tmp_path, monkeypatch):
    from kerafer.exporting import bundle as module

    def overtaken(self, recipe):
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "card.json").write_text("another's")

    monkeypatch.setattr(module.BundleWriter, "add", overtaken)
    with pytest.raises(FileExistsError, match="bundle exists already"):
        kerafer.export(ean, tmp_path / "bundle", recipes=("float32",))
    assert (tmp_path / "bundle" / "card.json").read_text() == "another's"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_two_predicts_into_one_folder_leave_whole_files(tmp_path):
    photos = []
    for number in range(6):
        photos.append(tmp_path / f"{number}.png")
        Image.fromarray(portrait()[:, :: 1 if number % 2 else -1]).save(photos[-1])
    options = ["--weights", "fer2013_qat_int8", "--detector", "blazeface", "--out", tmp_path / "out"]
    both = [started("predict", *photos, *options) for _ in range(2)]
    assert [(one.communicate()[1], one.returncode) for one in both] == [("", 0)] * 2
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == sorted(f"{n}{end}" for n in range(6) for end in (".json", ".annotated.png"))
    for number in range(6):
        assert read_image(tmp_path / "out" / f"{number}.annotated.png").shape == (600, 512, 3)
        assert len(json.loads((tmp_path / "out" / f"{number}.json").read_text())["faces"]) == 1


def test_a_held_folder_is_free_again_and_an_empty_one_goes(tmp_path):
    folder = tmp_path / "run"
    for _ in range(2):
        with exclusively(folder):
            assert folder.is_dir()
        assert not folder.exists()
    folder.mkdir()
    with exclusively(folder):
        pass
    assert folder.is_dir()  # it was there before
