"""The papers' methods end to end: stages, rounds and sweeps."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small

import kerafer
from kerafer.data.samples import synthetic
from kerafer.training import (
    Distributions,
    distill,
    iterative,
    ldl,
    recipe,
    sweep_combo,
    sweep_distillation,
    sweeps,
    train_with_distributions,
)
from kerafer.training.record import weights_checksum

HARD = recipe("ean_paper", epochs=1, batch_size=35, learning_rate=0.1)
TAUGHT = recipe("ean_transfer", epochs=1, batch_size=35)
LFER = recipe("lfer_rafdb", epochs=1, batch_size=35, learning_rate=0.1)
QUIET = {"verbose": 0}


@pytest.fixture(scope="module", autouse=True)
def small_models():
    with small.registered(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerafer.training.loop.training_curves", lambda *arguments, **options: None)  # takes a third
        yield


@pytest.fixture(scope="module")
def splits():
    return synthetic(70), synthetic(35, seed=1, split="public")


def contents(folder):
    """When each file was written."""
    return {p.relative_to(folder): p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}


def checksum(run, which="best"):
    return weights_checksum(run.model(which))


def settings_in(folder):
    return json.loads((folder / "run.json").read_text())["settings"]


def settings_of(run):
    return settings_in(run.folder)


def not_again(*arguments, **options):
    raise AssertionError("trained again")


# Distributions


@pytest.fixture(scope="module")
def learned(splits, tmp_path_factory):
    """LFER-LDL's two losses, on distributions of a generator that was trained on hard labels first."""
    out = tmp_path_factory.mktemp("ldl")
    options = {"generator": small.NAME, "generator_recipe": HARD, "generator_size": (36, 36), **QUIET}
    run = train_with_distributions(small.GRAY, *splits, LFER, out, size=(32, 32), **options)
    return run, out, options


def test_a_student_learns_from_the_generators_best_epoch(learned, splits):
    run, out, _ = learned
    assert run.generator.folder == out / "generator"
    assert run.student.folder == out / "student"
    generator = kerafer.load_model(run.generator.path("best"))
    assert generator.model.input_shape == (None, 36, 36, 3)
    expected = generator.runner.predict(splits[0].inputs(generator.card.preprocessing))
    np.testing.assert_allclose(run.distributions.values, expected, atol=1e-6)
    settings = settings_of(run.student)
    assert settings["distributions"]["weights_sha256"] == checksum(run.generator)
    assert settings["distributions"]["sha256"] == run.distributions.source["sha256"]
    assert (settings["recipe"]["loss"], settings["recipe"]["combo_weight"]) == ("kl", 1.0)
    assert settings_of(run.generator)["recipe"] == HARD.to_dict()
    assert settings_of(run.generator)["distributions"] is None
    assert kerafer.load_model(run.student.folder).model.input_shape == (None, 32, 32, 3)


def test_the_best_epoch_generates_and_teaches(learned, transferred, splits, tmp_path):
    run, out, options = learned
    strange = transferred.teacher.path("best")  # differs from what the folders hold as best and as last
    shutil.copytree(out / "generator", tmp_path / "ldl" / "generator")
    shutil.copy(strange, tmp_path / "ldl" / "generator" / "best.keras")
    again = train_with_distributions(small.GRAY, *splits, LFER, tmp_path / "ldl", size=(32, 32), **options)
    assert again.distributions.source["weights_sha256"] == checksum(transferred.teacher)
    assert again.distributions.source["sha256"] != run.distributions.source["sha256"]
    for stage in ("teacher", "round-1"):
        shutil.copytree(transferred.folder / stage, tmp_path / "distill" / stage)
    shutil.copy(strange, tmp_path / "distill" / "round-1" / "best.keras")
    options = {"teacher": HARD, "rounds": 2, "seed": 5, "size": (36, 36), **QUIET}
    taught = distill(small.NAME, *splits, TAUGHT, tmp_path / "distill", **options)
    assert settings_of(taught.rounds[1])["teacher"][0]["weights_sha256"] == checksum(transferred.teacher)
    assert settings_of(taught.rounds[1])["weights"]["weights_sha256"] == checksum(transferred.teacher)


def test_finished_stages_are_not_repeated(learned, splits):
    run, out, options = learned
    before = contents(out)
    again = train_with_distributions(small.GRAY, *splits, LFER, out, size=(32, 32), **options)
    assert contents(out) == before
    assert again.student.record == run.student.record


def test_combo_changes_what_is_learned_and_a_given_generator_is_not_trained(learned, splits, tmp_path):
    run, _, _ = learned
    generator = kerafer.load_model(run.generator.path("best"))
    before = checksum(run.generator)
    options = {"generator": generator, "size": (32, 32), "cache": tmp_path / "cache", **QUIET}
    alone = replace(LFER, combo_weight=0.0)
    kl_only = train_with_distributions(small.GRAY, *splits, alone, tmp_path / "run", **options)
    assert kl_only.generator is None
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["student"]
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".npz"]
    np.testing.assert_array_equal(kl_only.distributions.values, run.distributions.values)
    assert checksum(kl_only.student, "last") != checksum(run.student, "last")
    assert weights_checksum(generator.model) == before


def test_soft_training_refuses_at_once(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(ldl, "train", not_again)
    with pytest.raises(ValueError, match=r"one of the losses label_distribution, kl.*'ean_paper'"):
        train_with_distributions(small.NAME, *splits, HARD, tmp_path, generator=small.NAME, **QUIET)
    with pytest.raises(ValueError, match=r"`generator` must be one of .*Received: 'resnet_1'"):
        train_with_distributions(small.NAME, *splits, LFER, tmp_path, generator="resnet_1", **QUIET)
    assert list(tmp_path.iterdir()) == []


# Rounds


@pytest.fixture(scope="module")
def transferred(splits, tmp_path_factory):
    out = tmp_path_factory.mktemp("distill")
    return distill(small.NAME, *splits, TAUGHT, out, teacher=HARD, rounds=2, seed=5, size=(36, 36), **QUIET)


def test_each_round_is_taught_by_the_one_before(transferred):
    first, second = transferred.rounds
    assert [r.folder.name for r in transferred.rounds] == ["round-1", "round-2"]
    assert settings_of(first)["teacher"] == [
        {"name": "best.keras", "weights_sha256": checksum(transferred.teacher)},
    ]
    assert settings_of(first)["weights"] is None
    assert settings_of(second)["teacher"][0]["weights_sha256"] == checksum(first)
    assert settings_of(second)["weights"]["weights_sha256"] == checksum(first)
    assert [settings_of(r)["seed"] for r in (transferred.teacher, first, second)] == [5, 6, 7]
    assert settings_of(transferred.teacher)["recipe"] == HARD.to_dict()


def test_the_summary_names_the_best_round(transferred):
    summary = json.loads((transferred.folder / "distillation.json").read_text())
    assert summary == transferred.summary
    accuracies = [row["val_accuracy"] for row in summary["rounds"]]
    assert accuracies == [r.record["result"]["best"]["val_accuracy"] for r in transferred.rounds]
    assert summary["best_round"] == 1 + int(np.argmax(accuracies))
    assert transferred.best is transferred.rounds[summary["best_round"] - 1]


def test_a_finished_transfer_is_returned_and_can_be_lengthened(transferred, splits):
    out = transferred.folder
    before = contents(out)
    del before[Path("distillation.json")]
    again = distill(small.NAME, *splits, TAUGHT, out, teacher=HARD, rounds=1, seed=5, size=(36, 36), **QUIET)
    assert len(again.rounds) == 1
    after = contents(out)
    assert {path: after[path] for path in before} == before


def test_without_weight_transfer_students_start_anew(splits, ean, tmp_path):
    options = {"rounds": 2, "weight_transfer": False, **QUIET}
    taught = distill(small.NAME, *splits, TAUGHT, tmp_path, teacher=[ean, ean], **options)
    assert taught.teacher is None
    assert [settings_of(r)["weights"] for r in taught.rounds] == [None, None]
    one = {"name": ean.name, "weights_sha256": weights_checksum(ean.model)}
    assert settings_of(taught.rounds[0])["teacher"] == [one, one]
    assert len(settings_of(taught.rounds[1])["teacher"]) == 1


class Rounds:
    """Stands for `train`: finished runs of given validation accuracies, and what they were asked for."""

    def __init__(self, accuracies, run):
        self.accuracies, self.run, self.asked = list(accuracies), run, []

    def __call__(self, name, data, validation, settings, out, **options):
        self.asked.append({"folder": Path(out).name, **options})
        result = {"best": {"val_accuracy": self.accuracies[len(self.asked) - 1]}}
        return replace(self.run, record={"result": result})


@pytest.mark.parametrize(
    ("accuracies", "rounds", "done", "best"),
    [
        ([0.5, 0.6, 0.7, 0.7, 0.9], None, 4, 3),
        ([0.5, 0.4], None, 2, 1),
        ([0.5, 0.4, 0.6], 3, 3, 3),
        ([0.1 * i for i in range(1, 12)], None, 10, 10),
    ],
)
def test_rounds_go_on_until_one_is_no_better(
    splits, ean, tmp_path, monkeypatch, transferred, accuracies, rounds, done, best
):
    trained = Rounds(accuracies, transferred.rounds[0])
    monkeypatch.setattr(iterative, "train", trained)
    run = distill(small.NAME, *splits, TAUGHT, tmp_path, teacher=ean, rounds=rounds, **QUIET)
    assert (len(run.rounds), run.best_round) == (done, best)
    assert [asked["folder"] for asked in trained.asked] == [f"round-{i + 1}" for i in range(done)]


def test_given_weights_are_those_of_whoever_starts_anew(splits, tmp_path, monkeypatch, transferred):
    for transfer, expected in ((True, ["w", "w", None]), (False, ["w", "w", "w"])):
        trained = Rounds([0.5] * 3, transferred.rounds[0])
        monkeypatch.setattr(iterative, "train", trained)
        options = {"rounds": 2, "weight_transfer": transfer, "weights": "w", **QUIET}
        distill(small.NAME, *splits, TAUGHT, tmp_path / str(transfer), teacher=HARD, **options)
        assert [asked["weights"] for asked in trained.asked] == expected


def test_transfer_refuses_at_once(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(iterative, "train", not_again)
    with pytest.raises(ValueError, match=r"`rounds` must be 1 or more, or None\. Received: rounds=0"):
        distill(small.NAME, *splits, TAUGHT, tmp_path, teacher=HARD, rounds=0)
    with pytest.raises(ValueError, match=r"`recipe` must have the loss distillation.*'ean_paper'"):
        distill(small.NAME, *splits, HARD, tmp_path, teacher=HARD)


# Sweeps


def test_table_2_is_the_papers():
    assert sweeps.TABLE_2 == ((0.3, 5), (0.3, 10), (0.5, 5), (0.5, 10), (0.7, 5), (0.7, 10))
    np.testing.assert_allclose(sweeps.BETAS, np.linspace(0, 1, 11))


def check_files(swept, constants):
    written = json.loads((swept.folder / "sweep.json").read_text())
    assert written["rows"] == [dict(row) for row in swept.rows]
    with open(swept.folder / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, line in zip(swept.rows, rows, strict=True):
        assert {key: float(line[key]) for key in constants} == {key: row[key] for key in constants}
        assert float(line["val_accuracy"]) == row["val_accuracy"]
        record = json.loads((swept.folder / row["folder"] / "run.json").read_text())
        assert {key: record["settings"]["recipe"][key] for key in constants} == {key: row[key] for key in constants}
        assert record["result"]["best"]["val_accuracy"] == row["val_accuracy"]
        assert record["result"]["last"]["val_accuracy"] == row["last_val_accuracy"]
    assert (swept.folder / "sweep.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert swept.best["val_accuracy"] == max(row["val_accuracy"] for row in swept.rows)


def test_a_sweep_of_alpha_and_temperature(splits, tmp_path):
    pairs = ((0.3, 5.0), (0.7, 10.0))
    options = {"teacher": HARD, "rounds": 1, **QUIET}
    swept = sweep_distillation(small.NAME, *splits, TAUGHT, tmp_path, pairs=pairs[:1], **options)
    before = contents(tmp_path)
    swept = sweep_distillation(small.NAME, *splits, TAUGHT, tmp_path, pairs=pairs, **options)
    after = contents(tmp_path)
    assert [(row["alpha"], row["temperature"]) for row in swept.rows] == list(pairs)
    assert [row["folder"] for row in swept.rows] == [
        "alpha-0.3-temperature-5/round-1",
        "alpha-0.7-temperature-10/round-1",
    ]
    check_files(swept, ("alpha", "temperature"))
    kept = [path for path in before if path.parts[0] == "teacher" or "round-1" in path.parts]
    assert kept
    assert all(after[path] == before[path] for path in kept)  # the second call trained the second pair alone
    teachers = {settings_in(tmp_path / row["folder"])["teacher"][0]["weights_sha256"] for row in swept.rows}
    assert len(teachers) == 1


def test_a_sweep_of_beta(splits, tmp_path):
    made = Distributions(np.full((70, 7), 1 / 7, np.float32), {"source": "even"})
    options = {"distributions": made, "betas": (0, 0.6), **QUIET}
    swept = sweep_combo(small.NAME, *splits, LFER, tmp_path, **options)
    assert [row["combo_beta"] for row in swept.rows] == [0.0, 0.6]
    check_files(swept, ("combo_beta",))
    one, other = (tmp_path / row["folder"] / "last.keras" for row in swept.rows)
    assert weights_checksum(kerafer.load_model(one).model) != weights_checksum(kerafer.load_model(other).model)


def test_sweeps_refuse_at_once(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "train", not_again)
    taught = (small.NAME, *splits, TAUGHT, tmp_path)
    with pytest.raises(ValueError, match=r"`alpha` of a recipe must be in \[0, 1\]\. Received: alpha=2"):
        sweep_distillation(*taught, teacher=HARD, pairs=((0.5, 5.0), (2.0, 5.0)))
    with pytest.raises(ValueError, match="`pairs` must hold one setting or more"):
        sweep_distillation(*taught, teacher=HARD, pairs=())
    with pytest.raises(ValueError, match="`rounds` must be 1 or more"):
        sweep_distillation(*taught, teacher=HARD, rounds=0)
    with pytest.raises(ValueError, match=r"`combo_beta` of a recipe must be in \[0, 1\]\. Received: combo_beta=1.5"):
        sweep_combo(small.NAME, *splits, LFER, tmp_path, betas=(0.1, 1.5))
    with pytest.raises(ValueError, match=r"`recipe` must have a `combo_weight` above 0.*'ean_paper' with 0"):
        sweep_combo(small.NAME, *splits, HARD, tmp_path)
    assert list(tmp_path.iterdir()) == []
