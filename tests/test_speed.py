"""The benchmark of speed: its scenes, its processes, and the tables that are made of its file."""

import importlib
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT

import kerafer
from kerafer.vision import MTCNNDetector


@pytest.fixture
def scripts(monkeypatch, tmp_path):
    """The benchmark's modules, with results in a folder of their own."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    names = ("common", "speed", "speed_scenes", "speed_systems", "speed_tables")
    modules = {name: importlib.import_module(name) for name in names}
    monkeypatch.setattr(modules["common"], "RESULTS", tmp_path)
    monkeypatch.setattr(modules["common"], "ROOT", tmp_path)
    return modules


def test_scenes_hold_as_many_faces_as_they_say(scripts, tmp_path):
    scenes = scripts["speed_scenes"]
    photo = tmp_path / "wide.png"
    cv2.imwrite(str(photo), scenes.scene(1)[:100])
    written = scenes.write_scenes(tmp_path, [photo])
    pictures = {name: cv2.imread(str(path)) for name, path in written.items()}
    assert {picture.shape for picture in pictures.values()} == {(480, 640, 3)}
    detector = MTCNNDetector(runtime="litert")
    for count in scenes.PLACES:
        name = f"{count} face{'s'[: count > 1]}"
        assert len(detector.detect([pictures[name][:, :, ::-1].copy()])[0]) == count
    with pytest.raises(ValueError, match="`--photo` must be a picture"):
        scenes.write_scenes(tmp_path, [tmp_path / "none.png"])


def test_the_video_moves_and_holds_what_it_says(scripts, tmp_path):
    count = scripts["speed_scenes"].write_video(tmp_path / "v.mp4", 1, 0.5)
    capture = cv2.VideoCapture(str(tmp_path / "v.mp4"))
    assert count == 15 == capture.get(cv2.CAP_PROP_FRAME_COUNT)
    first, last = scripts["speed_scenes"].scene(1), scripts["speed_scenes"].scene(1, shift=7)
    assert (first[:, 200:500] != last[:, 200:500]).any(axis=-1).mean() > 0.1


@pytest.mark.parametrize("name", ["detect:blazeface", "kerafer:blazeface", "video:blazeface,0.33", "litert"])
def test_a_system_in_a_process_of_its_own_answers(scripts, name, tmp_path, bundle_folder):
    scenes = scripts["speed_scenes"]
    model = str(next(bundle_folder.glob("*_float32.tflite")))
    path = scenes.write_scenes(tmp_path)["4 faces"]
    if name.startswith("video"):
        path = tmp_path / "v.mp4"
        scenes.write_video(path, 1, 0.2)
    system = scripts["speed"].System(name, 1, sys.executable, model)
    answer = system.run(path, 3)
    system.close()
    assert len(answer["seconds"]) == 3
    assert min(answer["seconds"]) > 0
    assert answer["found"] == {"litert": 0, "video:blazeface,0.33": 6}.get(name, 4)
    assert 20 < system.peak < 4000
    assert system.process.returncode == 0


def test_memory_is_a_systems_own(scripts, bundle_folder):
    mine = np.ones(10**8)  # 800 MB, which a process would take along that is forked from this one
    system = scripts["speed"].System("litert", 1, sys.executable, str(next(bundle_folder.glob("*_float32.tflite"))))
    system.close()
    assert 20 < system.peak < mine.nbytes / 1e6 * 0.75


def test_a_system_that_dies_says_why(scripts):
    with pytest.raises(RuntimeError, match=r"(?s)kerafer:none ended: .*KeyError"):
        scripts["speed"].System("kerafer:none", 1, sys.executable, "ean")


class Turns:
    """A system that takes as long as it is told, and slower in the first round."""

    def __init__(self, name, milliseconds):
        self.name, self.version, self.peak = name, "kerafer 1", None
        self.seconds, self.asked = milliseconds / 1000, 0

    def run(self, path, runs):
        self.asked += 1
        return {"seconds": [self.seconds * (10 if self.asked <= 2 else 1)] * runs, "found": 1}

    def close(self):
        self.peak = 400.0


def test_ratios_are_to_the_first_and_leave_the_warm_up_out(scripts):
    speed = scripts["speed"]
    systems = [Turns("detect:mtcnn", 300), Turns("detect:mtcnn_litert", 30)]
    rows = speed.measured("detect", systems, {"1 face": "a.png", "4 faces": "b.png"}, 4, threads=1)
    assert [(row["what"], row["system"], row["median_ms"], row["times_as_fast"]) for row in rows] == [
        ("1 face", "detect:mtcnn", "300", "1.00"),
        ("1 face", "detect:mtcnn_litert", "30", "10.00"),
        ("4 faces", "detect:mtcnn", "300", "1.00"),
        ("4 faces", "detect:mtcnn_litert", "30", "10.00"),
    ]
    assert {row["runs"] for row in rows} == {4}


def test_the_tables_show_every_system_and_network(scripts):
    speed, tables, common = scripts["speed"], scripts["speed_tables"], scripts["common"]
    rows = []
    for part, names, things in (
        ("detect", ("detect:mtcnn", "detect:mtcnn_litert", "detect:blazeface"), ("1 face", "4 faces")),
        ("recognize", ("fer:", "kerafer:mtcnn_litert"), ("1 face", "4 faces")),
        ("video", ("video:mtcnn,0", "video:mtcnn_litert,0.33"), ("100 pictures, 1 face",)),
    ):
        for threads in speed.THREADS:
            systems = [Turns(name, 300 / (n + 1)) for n, name in enumerate(names)]
            rows += speed.measured(part, systems, dict.fromkeys(things, "x"), 4, threads)
    for number, what in enumerate(["nothing", *speed.NETWORKS]):
        row = {"part": "files", "what": what, "threads": 1, "system": "litert", "peak_mb": 50 + number}
        if what != "nothing":
            row |= {"median_ms": f"{number}", "parameters": 1000 * number, "macs": 10**6 * number}
        rows.append(row)
    common.write_table("speed", speed.FIELDS, rows, command="python benchmarks/speed.py")
    assert "| MTCNN on LiteRT (`mtcnn_litert`) | 150 ms, 2.00x | 150 ms, 2.00x |" in tables.detectors()
    assert "**kerafer**, as `kerafer predict` does it | 150 ms, 2.00x" in tables.end_to_end()
    assert (
        "**as `kerafer video` does it**: every 0.33 s, tracked between | 1 | 1.5 ms | 2.00x | 400 MB" in tables.video()
    )
    shown = tables.networks()
    for name in tables.NETWORKS.values():
        assert f"| {name} |" in shown
    assert "| **EAN** | 44 | 1,000 | 1.00 M | 1 ms | 1.0 | 1.0 | 1.0 MB |" in shown


def test_the_networks_of_the_benchmark_are_those_of_its_table(scripts):
    speed, tables = scripts["speed"], scripts["speed_tables"]
    assert set(speed.NETWORKS) == set(tables.NETWORKS)
    assert set(tables.PRINTED) <= set(tables.NETWORKS)
    assert {model for model, _, _ in speed.NETWORKS.values()} <= set(kerafer.list_models())


def test_readers_that_were_fuzzed_are_counted(scripts):
    rows = [{"reader": name, "inputs": 1000, "read": 400, "refused": 600, "crashes": 0, "hangs": 0} for name in "ab"]
    scripts["common"].write_table("fuzz", tuple(rows[0]), rows, command="python fuzz/run.py")
    shown = scripts["speed_tables"].fuzzing()
    assert "| `a` | 1,000 | 400 | 600 |" in shown
    assert "2,000 whole files changed at random (atheris, guided by coverage): 0 crashes" in shown
