"""The README's numbers are those of the result files, and the result files say where theirs come from."""

import subprocess
import sys

import pytest
from conftest import ROOT

from kerafer.files import read_json

FILES = sorted((ROOT / "results").glob("*.json"))


def test_the_readme_shows_what_was_measured():
    ran = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "readme.py", "--check"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_there_are_results():
    assert {path.stem for path in FILES} >= {"ean_fer2013", "latency", "face_framing", "throughput"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_results_name_command_versions_and_split(path):
    result = read_json(path)
    assert result["command"].startswith("python benchmarks/")
    assert "/" not in result["command"].removeprefix("python benchmarks/")
    assert {"kerafer", "tensorflow", "keras", "ai-edge-litert"} <= set(result["versions"])
    assert any(key == "seed" or key.endswith("_seed") for key in result)
    if "data" in result:
        assert result["split"] in ("train", "public")


def test_the_shipped_accuracy_is_the_measured_one():
    measured = read_json(ROOT / "results" / "ean_fer2013.json")["keras"]
    card = read_json(ROOT / "kerafer" / "pretrained" / "ean-fer2013.json")
    assert card["results"][0]["accuracy"] == pytest.approx(measured["accuracy"], abs=5e-4)
    assert measured["accuracy"] >= 0.64


def test_the_face_square_lies_within_the_measured_quartiles():
    framing = read_json(ROOT / "results" / "face_framing.json")
    for name in ("face_scale", "face_shift"):
        low, _, high = framing[f"{name}_quartiles"]
        assert low < framing["used"][name] < high
