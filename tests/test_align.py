"""Aligned data sets: what becomes of every kind of file, and runs that were stopped and go on."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import kerafer
from kerafer.cli.main import main
from kerafer.data import load_data
from kerafer.data.align import align_faces
from kerafer.data.align.faces import choose_face
from kerafer.data.samples import PORTRAIT_FACE, portrait
from kerafer.images import read_image
from kerafer.vision import Face, MTCNNDetector

CONTRACT = kerafer.model_spec("ean").preprocessing
LEVEL = {"left_eye": (20, 30), "right_eye": (40, 30)}


class Bright:
    """Finds one level face in every picture that is not dark, fast: its box is the picture's middle half."""

    def detect(self, images):
        return [self._faces(image) for image in images]

    @staticmethod
    def _faces(image):
        height, width = image.shape[:2]
        if image.mean() < 40:
            return []
        eyes = {"left_eye": (width // 3, height // 2), "right_eye": (2 * width // 3, height // 2)}
        return [Face((width // 4, height // 4, width // 2, height // 2), 0.99, eyes)]


@pytest.fixture(scope="module")
def mtcnn():
    return MTCNNDetector(batch=16)


def rotated(angle):
    """Return the portrait turned clockwise."""
    image = portrait()
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1)
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def manifest(folder):
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def noise(folder, count):
    """Write small pictures of noise, every fifth one dark, in two classes and two splits."""
    rng = np.random.default_rng(0)
    for i in range(count):
        image = rng.integers(0, 40 if i % 5 == 4 else 256, (60 + i % 3, 50, 3), dtype=np.uint8)
        write(folder / ("train", "test")[i % 2] / ("happy", "sad")[i // 2 % 2] / f"{i}.png", image)


def test_every_kind_of_file_gets_its_row(tmp_path, mtcnn):
    src, dst = tmp_path / "src", tmp_path / "dst"
    write(src / "train/happy/plain.png", portrait())
    write(src / "train/happy/turned.jpg", rotated(20))
    write(src / "train/happy/turned.png", rotated(-15))
    write(src / "test/sad/nobody.png", np.full((90, 120, 3), 128, np.uint8))
    (src / "train/happy/text.jpg").write_text("no picture", encoding="ascii")
    (src / "test/sad/broken.jpg").write_bytes((src / "train/happy/turned.jpg").read_bytes()[:9000])
    (src / "readme.txt").write_text("about these", encoding="ascii")
    report = align_faces(src, dst, contract=CONTRACT, detector=mtcnn)
    assert (report.pictures, report.aligned, report.no_face, report.unreadable) == (6, 3, 1, 2)
    assert (report.errors, report.other_files) == (0, 1)
    assert [p.partition(" ")[0] for p in report.problems] == ["test/sad/broken.jpg", "train/happy/text.jpg"]
    rows = manifest(dst)
    assert {k: row["status"] for k, row in rows.items()} == {
        "test/sad/broken.jpg": "unreadable",
        "test/sad/nobody.png": "no_face",
        "train/happy/plain.png": "aligned",
        "train/happy/text.jpg": "unreadable",
        "train/happy/turned.jpg": "aligned",
        "train/happy/turned.png": "aligned",
    }
    assert rows["train/happy/turned.jpg"]["output"] == "train/happy/turned.jpg.png"
    assert float(rows["train/happy/turned.jpg"]["angle"]) == pytest.approx(20, abs=4)
    box = [int(rows["train/happy/plain.png"][f"box_{name}"]) for name in ("x", "y", "width", "height")]
    np.testing.assert_allclose(box, PORTRAIT_FACE, atol=3)
    written = {row["output"] for row in rows.values() if row["output"]}
    assert {str(p.relative_to(dst)) for p in dst.rglob("*") if p.is_file()} == {
        *written,
        *("manifest.csv", "align.json", "journal.jsonl"),
    }
    assert not (dst / ".partial").exists()
    face = mtcnn.detect([portrait()])[0][0]
    crop = CONTRACT.crop_aligned(portrait(), face.box, face.landmarks["left_eye"], face.landmarks["right_eye"])
    expected = replace(CONTRACT, size=CONTRACT.resize).pixels(crop)
    difference = np.abs(read_image(dst / "train/happy/plain.png").astype(int) - expected)
    assert difference.mean() < 6  # the box may differ by a few pixels, searched beside others


def test_the_result_is_read_as_a_data_set(tmp_path):
    noise(tmp_path / "src", 40)
    align_faces(tmp_path / "src", tmp_path / "dst", contract=CONTRACT, detector=Bright())
    data = load_data(f"folder:{tmp_path / 'dst'}", "train")
    assert data.counts()["happy"] == data.counts()["sad"] == 8
    assert data.pixels(np.arange(16), CONTRACT).shape == (16, 48, 48, 3)


@pytest.mark.parametrize(("size", "suffix"), [(None, "png"), (96, "jpg")])
def test_size_format_and_whole_pictures(tmp_path, size, suffix):
    noise(tmp_path / "src", 10)
    dst = tmp_path / "dst"
    report = align_faces(
        tmp_path / "src", dst, contract=CONTRACT, detector=Bright(), size=size, format=suffix, no_face="whole"
    )
    assert (report.aligned, report.no_face) == (8, 2)
    rows = manifest(dst)
    assert len({row["output"] for row in rows.values()}) == 10
    for row in rows.values():
        side = size or 48
        assert read_image(dst / row["output"]).shape == (side, side, 3)
        assert row["output"].endswith(suffix)
    dark = next(name for name, row in rows.items() if row["status"] == "no_face")
    if suffix == "png":
        whole = replace(CONTRACT, size=CONTRACT.resize).pixels(read_image(tmp_path / "src" / dark))
        np.testing.assert_array_equal(read_image(dst / rows[dark]["output"]), whole)


KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[1:3]
from test_align import Bright, CONTRACT
from kerafer.data.align import align_faces
import kerafer.data.align.folder as folder
fsync, calls = os.fsync, []

def stop(number):
    calls.append(number)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(number)

os.fsync = stop
align_faces(sys.argv[4], sys.argv[5], contract=CONTRACT, detector=Bright())
"""


@pytest.mark.parametrize("moment", [1, 2, 9, 15, 29, 33])
def test_a_killed_run_goes_on_and_ends_with_the_same_files(tmp_path, moment):
    src, dst, whole = tmp_path / "src", tmp_path / "dst", tmp_path / "whole"
    noise(src, 36)
    align_faces(src, whole, contract=CONTRACT, detector=Bright())
    tests = Path(__file__).parent
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tests), str(tests.parent), str(moment), str(src), str(dst)],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (dst / "manifest.csv").exists()
    report = align_faces(src, dst, contract=CONTRACT, detector=Bright())
    assert report.aligned == 29
    assert content(dst) == content(whole)


def test_going_on_repeats_nothing_that_was_finished(tmp_path):
    src, dst = tmp_path / "src", tmp_path / "dst"
    noise(src, 36)
    align_faces(src, dst, contract=CONTRACT, detector=Bright())
    before = content(dst)
    journal = dst / "journal.jsonl"
    first, second, _ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first + second[:100])  # a line that was not finished
    lost = json.loads(first)[3]["output"]
    assert lost
    (dst / lost).unlink()
    seen = []

    class Counting(Bright):
        def detect(self, images):
            seen.append(len(images))
            return super().detect(images)

    Counting.__name__ = "Bright"
    align_faces(src, dst, contract=CONTRACT, detector=Counting())
    assert seen == [16, 16, 4]  # the first part again for the lost picture, and what the journal lacks
    assert {k: v for k, v in content(dst).items() if k != "journal.jsonl"} == {
        k: v for k, v in before.items() if k != "journal.jsonl"
    }
    seen.clear()
    align_faces(src, dst, contract=CONTRACT, detector=Counting())
    assert seen == []


def test_a_damaged_journal_is_named(tmp_path):
    noise(tmp_path / "src", 3)
    align_faces(tmp_path / "src", tmp_path / "dst", contract=CONTRACT, detector=Bright())
    (tmp_path / "dst" / "journal.jsonl").write_text("[]\n{no\n", encoding="ascii")
    with pytest.raises(ValueError, match=r"journal.jsonl, line 2.*Remove the file"):
        align_faces(tmp_path / "src", tmp_path / "dst", contract=CONTRACT, detector=Bright())


@pytest.mark.slow
def test_two_workers_equal_one(tmp_path):
    src = tmp_path / "src"
    for i, angle in enumerate((0, 20, -15, 8)):
        for j in range(2):
            image = Image.fromarray(rotated(angle)).resize((200 + 40 * (j % 2), 240))
            write(src / "train/happy" / f"{i}{j}.png", np.asarray(image))
    (src / "train/happy/text.jpg").write_text("no picture", encoding="ascii")
    reports = [align_faces(src, tmp_path / str(n), contract=CONTRACT, workers=n) for n in (1, 2)]
    assert reports[0].aligned == reports[1].aligned == 8
    assert content(tmp_path / "1") == content(tmp_path / "2")


def test_the_face_that_is_chosen():
    large, middle, sure = (
        Face(box, confidence, LEVEL)
        for box, confidence in (((0, 0, 60, 60), 0.95), ((80, 80, 40, 40), 0.93), ((150, 0, 20, 20), 0.99))
    )
    faces = sorted((large, middle, sure), key=lambda face: -face.confidence)
    chosen = {how: choose_face(faces, (200, 200), how) for how in ("largest", "surest", "center")}
    assert chosen == {"largest": large, "surest": sure, "center": middle}


def test_one_failing_picture_does_not_stop_those_beside_it(tmp_path):
    noise(tmp_path / "src", 8)

    class Failing(Bright):
        def detect(self, images):
            if any(image.shape[0] == 61 for image in images):
                raise RuntimeError("out of luck")
            return super().detect(images)

    class Blind(Bright):
        @staticmethod
        def _faces(image):
            return [Face((1, 1, 9, 9), 0.9, {"left_eye": (3, 3), "right_eye": (3, 3)} if image.mean() > 40 else {})]

    report = align_faces(tmp_path / "src", tmp_path / "a", contract=CONTRACT, detector=Failing())
    assert (report.aligned, report.no_face, report.errors) == (5, 0, 3)
    assert all("RuntimeError: out of luck" in problem for problem in report.problems)
    report = align_faces(tmp_path / "src", tmp_path / "b", contract=CONTRACT, detector=Blind())
    assert (report.aligned, report.errors) == (0, 8)
    assert sum("two different places" in problem for problem in report.problems) == 7
    assert sum("gives no 'left_eye'" in problem for problem in report.problems) == 1


def test_wrong_folders_and_settings_are_refused(tmp_path):
    src, dst = tmp_path / "src", tmp_path / "dst"
    noise(src, 3)

    def run(source=src, target=dst, **options):
        return align_faces(source, target, **{"contract": CONTRACT, "detector": Bright(), **options})

    for target in (src, src / "faces", tmp_path):
        with pytest.raises(ValueError, match="must not lie in one another"):
            run(target=target)
    with pytest.raises(FileNotFoundError, match="no folder"):
        run(source=tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold pictures"):
        run(source=tmp_path / "empty")
    foreign = tmp_path / "foreign" / "photo.png"
    write(foreign, portrait())
    before = foreign.read_bytes()
    with pytest.raises(ValueError, match=r"must be new, empty.*'photo.png'"):
        run(target=foreign.parent)
    assert [p.name for p in foreign.parent.iterdir()] == ["photo.png"]
    assert foreign.read_bytes() == before
    for options, words in (
        ({"choose": "best"}, "`choose` must be one of center, largest, surest"),
        ({"no_face": "keep"}, "`no_face` must be"),
        ({"format": "gif"}, "`format` must be"),
        ({"size": 0}, "`size` must be"),
        ({"workers": 0}, "`workers` must be"),
    ):
        with pytest.raises(ValueError, match=words):
            run(**options)
    assert not dst.exists()
    run()
    for options, words in (
        ({"choose": "surest"}, "choose was 'center'. Received: 'surest'"),
        ({"size": 64}, r"size was \[48, 48\]. Received: \[64, 64\]"),
        ({"detector": MTCNNDetector()}, "detector was"),
        ({"contract": replace(CONTRACT, face_scale=2.0)}, "face_scale was"),
    ):
        with pytest.raises(ValueError, match=words):
            run(**options)
    write(src / "train/happy/new.png", portrait())
    with pytest.raises(ValueError, match="pictures was"):
        run()


def test_other_versions_are_warned_of(tmp_path):
    noise(tmp_path / "src", 3)
    align_faces(tmp_path / "src", tmp_path / "dst", contract=CONTRACT, detector=Bright())
    path = tmp_path / "dst" / "align.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**kept, "versions": {**kept["versions"], "mtcnn": "0.1"}}), encoding="utf-8")
    with pytest.warns(UserWarning, match=r"begun with.*'mtcnn': '0.1'"):
        align_faces(tmp_path / "src", tmp_path / "dst", contract=CONTRACT, detector=Bright())


@pytest.mark.skipif(os.name != "posix", reason="names that are no text exist on POSIX only")
def test_a_name_that_is_no_text_in_any_encoding(tmp_path):
    write(tmp_path / "src" / "plain.png", portrait())
    os.rename(tmp_path / "src" / "plain.png", os.fsencode(tmp_path / "src") + b"/\xff,\n.png")
    report = align_faces(tmp_path / "src", tmp_path / "dst", contract=CONTRACT, detector=Bright())
    assert report.aligned == 1
    assert b'"\xff,\n.png"' in (tmp_path / "dst" / "manifest.csv").read_bytes()
    assert align_faces(tmp_path / "src", tmp_path / "dst", contract=CONTRACT, detector=Bright()) == report


def test_the_command_aligns_and_tells(tmp_path, capsys):
    src = tmp_path / "src"
    write(src / "happy/a.png", portrait())
    write(src / "happy/b.png", np.zeros((60, 60, 3), np.uint8))
    assert main(["data", "align", str(src), str(tmp_path / "dst"), "--workers", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["aligned"], told["no_face"], told["problems"]) == (1, 1, [])
    (src / "happy/c.jpg").write_text("no picture", encoding="ascii")
    options = ("--workers", "1", "--size", "64", "--no-face", "whole")
    assert main(["data", "align", str(src), str(tmp_path / "other"), *options]) == 1
    captured = capsys.readouterr()
    assert "happy/c.jpg is not a picture" in captured.err
    assert "no face     1 (whole)" in captured.out
    assert read_image(tmp_path / "other/happy/b.png").shape == (64, 64, 3)
    assert main(["data", "align", str(src), str(tmp_path / "other"), "--workers", "1"]) == 2
    assert "with other settings" in capsys.readouterr().err
