"""Training: it learns, resumes exactly after SIGKILL, and keeps a record."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import kerafer
from kerafer.data.samples import synthetic, write_synthetic_csv
from kerafer.training import recipe, train
from kerafer.training.recipes import RECIPES

SHORT = {"batch_size": 35}


def weights_of(folder):
    return kerafer.load_model(folder).model.get_weights()


def assert_equal_weights(one, other):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def data():
    return synthetic(210), synthetic(70, seed=1, split="public")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "ean"
    settings = recipe("cosine", epochs=8, warmup_epochs=1, average_epochs=1.0, **SHORT)
    return train("ean", *data, settings, folder, seed=3, verbose=0)


def test_it_learns(finished):
    assert finished.record["result"]["last"]["val_accuracy"] > 0.8  # chance is 1/7


@pytest.mark.parametrize("name", ["lcnn", "efficientface"])
def test_other_systems_train_and_are_deployed_for_colour(name, tmp_path):
    data = synthetic(70), synthetic(35, seed=1, split="public")
    settings = recipe("cosine", epochs=1, warmup_epochs=0, average_epochs=0.5, learning_rate=0.01, batch_size=35)
    run = train(name, *data, settings, tmp_path / name, size=(48, 48), verbose=0)
    assert np.isfinite(run.record["result"]["last"]["loss"])
    loaded = kerafer.load_model(run.folder)
    as_built = kerafer.build_model(name, input_shape=(48, 48, kerafer.model_spec(name).input_shape[2]))
    assert loaded.card.flops == kerafer.profile(as_built).flops[loaded.card.ruler]
    assert loaded.model.input_shape == (None, 48, 48, 3)
    gray = data[1].images[:4]
    colour = np.repeat(gray[..., None], 3, axis=-1)
    contract = loaded.card.preprocessing
    as_gray, as_colour = (loaded.runner.predict(contract.batch(x)) for x in (gray, colour))
    np.testing.assert_allclose(as_gray, as_colour, atol=1e-6)
    measured = kerafer.evaluate(loaded, data[1]).accuracy
    np.testing.assert_allclose(measured, run.record["result"]["last"]["val_accuracy"], atol=0.03)
    kerafer.export(loaded, tmp_path / "bundle", recipes=("float32",))
    report = kerafer.verify(tmp_path / "bundle")
    assert report.passed, report.table()


def test_a_run_leaves_everything_a_reader_needs(finished, data):
    names = {p.name for p in finished.folder.iterdir()}
    assert names == {"last.keras", "best.keras", "card.json", "run.json", "history.csv", "curves.png", "state.npz"}
    record = json.loads((finished.folder / "run.json").read_text())
    assert record["state"] == "finished"
    assert (
        record["settings"]["recipe"]
        == recipe("cosine", epochs=8, warmup_epochs=1, average_epochs=1.0, **SHORT).to_dict()
    )
    assert record["settings"]["data"]["training"]["sha256"] == data[0].checksum()
    assert record["versions"]["kerafer"] == kerafer.__version__
    with open(finished.folder / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 9))
    assert float(rows[-1]["val_accuracy"]) == record["result"]["last"]["val_accuracy"]


def test_the_kept_model_is_the_one_that_was_measured(finished, data):
    measured = kerafer.evaluate(kerafer.load_model(finished.folder), data[1])
    assert measured.accuracy == pytest.approx(finished.record["result"]["last"]["val_accuracy"], abs=0.03)
    best = kerafer.load_model(finished.folder / "best.keras")
    expected = finished.record["result"]["best"]["val_accuracy"]
    assert kerafer.evaluate(best, data[1]).accuracy == pytest.approx(expected, abs=1e-6)


def test_a_finished_run_is_returned_and_other_settings_are_refused(finished, data):
    settings = recipe("cosine", epochs=8, warmup_epochs=1, average_epochs=1.0, **SHORT)
    again = train("ean", *data, settings, finished.folder, seed=3, verbose=0)
    assert again.record == finished.record
    with pytest.raises(ValueError, match="other settings: seed"):
        train("ean", *data, settings, finished.folder, seed=4, verbose=0)


def test_a_folder_with_other_things_is_refused(data, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not empty"):
        train("ean", *data, recipe("ean_paper", **SHORT), tmp_path, verbose=0)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_colour_pictures_give_what_their_gray_gives(finished):
    model = kerafer.load_model(finished.folder).model
    rng = np.random.default_rng(0)
    colour = rng.random((3, 44, 44, 3), np.float32)
    gray = np.repeat(colour @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=-1)
    np.testing.assert_allclose(model.predict(colour, verbose=0), model.predict(gray, verbose=0), atol=1e-5)


# The plateau patience of 1 makes the schedule's counters matter to what follows an interruption.
RESUMED = {
    "plateau": ["--recipe", "ean_paper", "--epochs", "5", "--learning-rate", "0.3"],
    "averaged": ["--recipe", "cosine", "--epochs", "5"],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", RESUMED)
def test_sigkill_mid_epoch_changes_nothing(kind, tmp_path):
    csv_file = write_synthetic_csv(tmp_path / "fer2013.csv", train=700, public=35)

    def start(out):
        command = [sys.executable, "-m", "kerafer", "train", "ean", "--data", f"fer2013:{csv_file}", "--json"]
        options = [*RESUMED[kind], "--batch-size", "35", "--seed", "5", "--out", str(out)]
        return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = start(whole)
    assert first.wait() == 0, first.stderr.read()
    kills = 0
    for epoch in (1, 3):
        process = start(killed)
        history = killed / "history.csv"
        while process.poll() is None and not (history.exists() and len(history.read_text().splitlines()) > epoch):
            time.sleep(0.02)
        if process.poll() is None:  # the next epoch is under way
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills > 0
    assert not (killed / "last.keras").exists()
    last = start(killed)
    assert last.wait() == 0, last.stderr.read()
    assert_equal_weights(whole, killed)
    assert (whole / "history.csv").read_text() == (killed / "history.csv").read_text()


def test_a_damaged_state_is_named(data, tmp_path, finished):
    folder = tmp_path / "run"
    folder.mkdir()
    record = {**finished.record, "state": "running"}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "state.npz").write_bytes((finished.folder / "state.npz").read_bytes()[:5000])
    settings = recipe("cosine", epochs=8, warmup_epochs=1, average_epochs=1.0, **SHORT)
    with pytest.raises(ValueError, match=r"state\.npz is damaged"):
        train("ean", *data, settings, folder, seed=3, verbose=0)


def test_a_run_stopped_before_its_record_is_completed(data, tmp_path, finished):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "state.npz").write_bytes((finished.folder / "state.npz").read_bytes())
    (folder / "run.json").write_text(json.dumps({**finished.record, "state": "running"}))
    settings = recipe("cosine", epochs=8, warmup_epochs=1, average_epochs=1.0, **SHORT)
    train("ean", *data, settings, folder, seed=3, verbose=0)
    assert_equal_weights(folder, finished.folder)
    assert (folder / "history.csv").read_text() == (finished.folder / "history.csv").read_text()


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_have_a_source_and_plain_values(name):
    chosen = recipe(name)
    assert chosen.source
    assert json.loads(json.dumps(chosen.to_dict())) == chosen.to_dict()


@pytest.mark.parametrize(
    "changes", [{"epochs": 0}, {"learning_rate": -1.0}, {"schedule": "step"}, {"augmentation": ("blur",)}, {"lr": 1.0}]
)
def test_wrong_recipes_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        recipe("ean_paper", **changes)


def test_another_size_goes_into_model_and_card(data, tmp_path):
    settings = recipe("ean_paper", epochs=1, batch_size=70)
    train("ean", *data, settings, tmp_path / "run", size=(32, 32), weights="fer2013", verbose=0)
    loaded = kerafer.load_model(tmp_path / "run")
    assert loaded.model.input_shape == (None, 32, 32, 3)
    assert (loaded.card.preprocessing.size, loaded.card.preprocessing.resize) == ((32, 32), (35, 35))
    assert loaded.card.training["weights"]["name"] == "fer2013"


def test_wrong_arguments_leave_no_folder(data, tmp_path):
    with pytest.raises(ValueError, match="batch_size"):
        train("ean", *data, recipe("ean_paper", batch_size=9999), tmp_path / "run", verbose=0)
    with pytest.raises(ValueError, match="classes"):
        train("ean", data[0], replace(data[1], class_names=("a", "b")), recipe("ean_paper"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unknown_recipe():
    with pytest.raises(ValueError, match="one of ean_paper"):
        recipe("sgd")


def test_no_environment_is_left_changed(finished):
    assert "TF_USE_LEGACY_KERAS" not in os.environ
