"""The documents' numbers are those of the result files, and the result files say where theirs come from."""

import re
import runpy
import subprocess
import sys

import pytest
from conftest import ROOT

import kerafer
from kerafer import weights
from kerafer.files import read_json
from kerafer.training import PLANS

FILES = sorted((ROOT / "results").glob("*.json"))


def test_the_documents_show_what_was_measured():
    ran = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "readme.py", "--check"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_every_figure_of_the_papers_stands_in_one_table(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    readme = runpy.run_path(str(ROOT / "benchmarks" / "readme.py"))
    parts = [readme["part"](row) for row in readme["counts"]()]
    assert {f"counts-{part}" for part in parts} <= set(readme["DOCUMENTS"]["docs/papers.md"])
    assert min(parts.count(part) for part in set(parts)) >= 10


def test_the_documents_show_pictures_that_are_there():
    drawn = runpy.run_path(str(ROOT / "benchmarks" / "papers.py"))
    names = {drawn["file_name"](model, block) for model, block, _ in drawn["FIGURES"]}
    shown = re.findall(r'src="figures/([^"]+)"', (ROOT / "docs" / "papers.md").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(names)
    assert {path.name for path in (ROOT / "docs" / "figures").iterdir()} == names
    assert max(path.stat().st_size for path in (ROOT / "docs" / "figures").iterdir()) < 100_000


def test_counts_name_command_and_versions():
    command, versions = (ROOT / "results" / "counts.csv").read_text(encoding="utf-8").splitlines()[:2]
    assert command == "# command: python -m benchmarks.counts"
    assert versions.startswith("# versions: kerafer ")
    assert "keras" in versions.removeprefix("# versions: kerafer ")


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


def test_cards_table_and_plans_say_the_same(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    rows = {
        (row["model"], row["weights"], row["views"]): row["accuracy"]
        for row in runpy.run_path(str(ROOT / "benchmarks" / "common.py"))["read_table"]("accuracy")
    }
    found = {}
    for name in kerafer.list_models():
        for label, card in weights.shipped(name).items():
            found |= {(name, label, result["views"]): result for result in card["results"]}
            training = card["training"]
            if training["plan"]:
                stage, result = PLANS[training["plan"]].stages[-1], PLANS[training["plan"]].result
                assert training["chosen"].split()[0] == result
                assert (stage.recipe.to_dict(), stage.model) == (training["recipe"], name)
            for picture in ("confusion", "calibration"):
                assert (ROOT / "docs" / "weights" / f"{name}-{label}-{picture}.png").stat().st_size > 5_000
        for label, entry in weights.shipped_files(name).items():
            found |= {(name, label, result["views"]): result for result in entry["results"]}
    ours = {key: accuracy for key, accuracy in rows.items() if "==" not in key[1]}
    assert ours == {key: f"{result['accuracy']:.4f}" for key, result in found.items()}


def test_weights_are_shipped_under_the_plan_that_made_them_only():
    planned = runpy.run_path(str(ROOT / "tools" / "ship_weights.py"))["_planned"]
    made = read_json(ROOT / "results" / "runs" / "lfer-fer2013" / "run.json")["settings"]
    assert planned(PLANS["lfer_best"], made)["name"] == PLANS["lfer_best"].stages[-1].recipe.name
    with pytest.raises(ValueError, match="'model': "):
        planned(PLANS["efficientface_best"], made)
    with pytest.raises(ValueError, match=r"'epochs': \(11, 12\)"):
        planned(PLANS["lfer_best"], {**made, "recipe": {**made["recipe"], "epochs": 11}})


def test_what_is_shipped_is_small():
    assert sum(path.stat().st_size for path in weights.FOLDER.iterdir()) < 12_000_000


def test_the_face_square_lies_within_the_measured_quartiles():
    framing = read_json(ROOT / "results" / "face_framing.json")
    for name in ("face_scale", "face_shift"):
        low, _, high = framing[f"{name}_quartiles"]
        assert low < framing["used"][name] < high
