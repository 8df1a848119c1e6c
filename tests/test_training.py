"""Training: it learns, resumes exactly, starts from given weights, and keeps a record."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
import small
from conftest import ROOT

import kerafer
from kerafer.data.samples import synthetic, write_synthetic_csv
from kerafer.training import Distributions, recipe, train
from kerafer.training import loop as module

SETTINGS = recipe("cosine", epochs=7, warmup_epochs=1, average_epochs=1.0, batch_size=35)
QUICK = recipe("ean_paper", epochs=2, batch_size=35, learning_rate=0.1)
SIZE = (32, 32)


@pytest.fixture(scope="module", autouse=True)
def small_models():
    with small.registered():
        yield


@pytest.fixture(scope="module")
def data():
    return synthetic(140), synthetic(70, seed=1, split="public")


@pytest.fixture(scope="module")
def few():
    return synthetic(70), synthetic(35, seed=1, split="public")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "ean"
    return train("ean", *data, SETTINGS, folder, seed=3, size=SIZE, verbose=0)


@pytest.fixture(scope="module")
def base(few, tmp_path_factory):
    """A finished run of each small network."""
    folder = tmp_path_factory.mktemp("base")
    return {name: train(name, *few, QUICK, folder / name, verbose=0) for name in (small.NAME, small.GRAY)}


def assert_equal_weights(one, other, which="last.keras"):
    pairs = zip(*(kerafer.load_model(f / which).model.get_weights() for f in (one, other)), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def history(folder):
    with open(folder / "history.csv") as file:
        return list(csv.DictReader(file))


def test_it_learns(finished):
    assert finished.record["result"]["last"]["val_accuracy"] > 0.8  # chance is 1/7


@pytest.mark.parametrize(
    "name",
    [
        small.GRAY,
        pytest.param("lcnn", marks=pytest.mark.exhaustive),
        pytest.param("efficientface", marks=pytest.mark.exhaustive),
    ],
)
def test_other_systems_train_and_are_deployed_for_colour(name, few, tmp_path):
    settings = recipe("cosine", epochs=1, warmup_epochs=0, average_epochs=0.5, learning_rate=0.01, batch_size=35)
    run = train(name, *few, replace(settings, normalization="data"), tmp_path / name, size=(48, 48), verbose=0)
    assert np.isfinite(run.record["result"]["last"]["loss"])
    loaded = kerafer.load_model(run.folder)
    as_built = kerafer.build_model(name, input_shape=(48, 48, kerafer.model_spec(name).input_shape[2]))
    assert loaded.card.flops == kerafer.profile(as_built).flops[loaded.card.ruler]
    assert loaded.model.input_shape == (None, 48, 48, 3)
    gray = few[1].images[:4]
    colour = np.repeat(gray[..., None], 3, axis=-1)
    contract = loaded.card.preprocessing
    as_gray, as_colour = (loaded.runner.predict(contract.batch(x)) for x in (gray, colour))
    np.testing.assert_allclose(as_gray, as_colour, atol=1e-6)
    kerafer.export(loaded, tmp_path / "bundle", recipes=("float32",))
    report = kerafer.verify(tmp_path / "bundle")
    assert report.passed, report.table()


def test_a_run_leaves_everything_a_reader_needs(finished, data):
    names = {p.name for p in finished.folder.iterdir()}
    assert names == {"last.keras", "best.keras", "card.json", "run.json", "history.csv", "curves.png", "state.npz"}
    record = json.loads((finished.folder / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["settings"]["recipe"] == SETTINGS.to_dict()
    assert record["settings"]["data"]["training"]["sha256"] == data[0].checksum()
    assert record["versions"]["kerafer"] == kerafer.__version__
    rows = history(finished.folder)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 8))
    assert float(rows[-1]["val_accuracy"]) == record["result"]["last"]["val_accuracy"]


def test_another_size_goes_into_model_and_card(finished):
    loaded = kerafer.load_model(finished.folder)
    assert loaded.model.input_shape == (None, 32, 32, 3)
    assert (loaded.card.preprocessing.size, loaded.card.preprocessing.resize) == ((32, 32), (35, 35))


def test_the_kept_model_is_the_one_that_was_measured(finished, data):
    measured = kerafer.evaluate(kerafer.load_model(finished.folder), data[1])
    assert measured.accuracy == pytest.approx(finished.record["result"]["last"]["val_accuracy"], abs=0.03)
    best = kerafer.load_model(finished.folder / "best.keras")
    expected = finished.record["result"]["best"]["val_accuracy"]
    assert kerafer.evaluate(best, data[1]).accuracy == pytest.approx(expected, abs=1e-6)


def test_a_finished_run_is_returned_and_other_settings_are_refused(finished, data):
    again = train("ean", *data, SETTINGS, finished.folder, seed=3, size=SIZE, verbose=0)
    assert again.record == finished.record
    with pytest.raises(ValueError, match="other settings: seed"):
        train("ean", *data, SETTINGS, finished.folder, seed=4, size=SIZE, verbose=0)


def test_a_folder_with_other_things_is_refused(data, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not empty"):
        train("ean", *data, QUICK, tmp_path, verbose=0)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_colour_pictures_give_what_their_gray_gives(finished):
    model = kerafer.load_model(finished.folder).model
    rng = np.random.default_rng(0)
    colour = rng.random((3, *SIZE, 3), np.float32)
    gray = np.repeat(colour @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=-1)
    np.testing.assert_allclose(model.predict(colour, verbose=0), model.predict(gray, verbose=0), atol=1e-5)


# Going on after an interruption


def interrupted_state(folder, finished):
    """A folder as the run left it after its last epoch and before its record."""
    folder.mkdir()
    (folder / "state.npz").write_bytes((finished.folder / "state.npz").read_bytes())
    (folder / "run.json").write_text(json.dumps({**finished.record, "state": "running"}))
    return folder


def test_a_damaged_state_is_named(data, tmp_path, finished):
    folder = interrupted_state(tmp_path / "run", finished)
    (folder / "state.npz").write_bytes((finished.folder / "state.npz").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"state\.npz is damaged"):
        train("ean", *data, SETTINGS, folder, seed=3, size=SIZE, verbose=0)


def test_a_run_stopped_before_its_record_is_completed(data, tmp_path, finished):
    folder = interrupted_state(tmp_path / "run", finished)
    train("ean", *data, SETTINGS, folder, seed=3, size=SIZE, verbose=0)
    assert_equal_weights(folder, finished.folder)
    assert (folder / "history.csv").read_text() == (finished.folder / "history.csv").read_text()


SOFT = np.random.default_rng(0).dirichlet(np.ones(7), 70).astype(np.float32)
INTERRUPTED = {
    "adam": {"optimizer": "adam", "learning_rate": 0.01, "plateau_patience": 1, "sampling": "balanced", "mixup": 0.4},
    "half precision": {
        "dtype_policy": "mixed_float16",
        "average_epochs": 1.0,
        "schedule": "steps",
        "step_epochs": 2,
        "loss": "kl",
        "combo_weight": 1.0,
    },
}


@pytest.mark.parametrize("kind", INTERRUPTED)
def test_stopped_after_an_epoch_it_ends_as_if_nothing_had_happened(kind, few, tmp_path, monkeypatch):
    settings = replace(QUICK, epochs=3, **INTERRUPTED[kind])
    options = {"verbose": 0, "filters": (4, 8), "size": SIZE}  # a tuple becomes a list in the record
    if settings.loss == "kl":
        options["distributions"] = Distributions(SOFT, {"source": "chance"})
    whole = train(small.NAME, *few, settings, tmp_path / "whole", **options)
    killed = tmp_path / "killed"
    draw = module.training_curves

    def stop(*arguments, **changes):
        draw(*arguments, **changes)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "training_curves", stop)
    with pytest.raises(KeyboardInterrupt):
        train(small.NAME, *few, settings, killed, **options)
    monkeypatch.undo()
    assert len(history(killed)) == 1
    assert json.loads((killed / "run.json").read_text())["state"] == "running"
    resumed = train(small.NAME, *few, settings, killed, **options)
    assert resumed.record["result"] == whole.record["result"]
    for which in ("last.keras", "best.keras"):
        assert_equal_weights(whole.folder, killed, which)


# The plateau patience of 1 makes the schedule's counters matter to what follows an interruption.
RESUMED = {
    "plateau": ["--recipe", "ean_paper", "--learning-rate", "0.3", "--set", "plateau_patience=1"],
    "averaged": ["--recipe", "cosine", "--set", "warmup_epochs=1"],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.exhaustive) if k == "plateau" else k for k in RESUMED]
)
def test_sigkill_mid_epoch_changes_nothing(kind, tmp_path):
    csv_file = write_synthetic_csv(tmp_path / "fer2013.csv", train=700, public=35)

    def start(out):
        command = [sys.executable, "-m", "small", "train", small.NAME, "--data", f"fer2013:{csv_file}", "--json"]
        options = [*RESUMED[kind], "--epochs", "5", "--batch-size", "35", "--seed", "5", "--out", str(out)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
        return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = start(whole)
    assert first.wait() == 0, first.stderr.read()
    process = start(killed)
    while process.poll() is None and not ((killed / "history.csv").exists() and len(history(killed)) > 1):
        time.sleep(0.02)
    assert process.poll() is None  # the third epoch is under way
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "last.keras").exists()
    last = start(killed)
    assert last.wait() == 0, last.stderr.read()
    assert_equal_weights(whole, killed)
    assert (whole / "history.csv").read_text() == (killed / "history.csv").read_text()


def test_other_versions_are_told(base, few, tmp_path):
    folder = interrupted_state(tmp_path / "run", base[small.NAME])
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "versions": {**record["versions"], "keras": "3.0.0"}}))
    with pytest.warns(UserWarning, match=r"begun with .*3\.0\.0.*may not give the same weights"):
        train(small.NAME, *few, QUICK, folder, verbose=0)


# Settings that change what is computed


@pytest.mark.parametrize("policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.exhaustive)])
def test_half_precision_trains_and_is_kept_in_single(policy, few, tmp_path):
    settings = replace(QUICK, epochs=6, dtype_policy=policy, average_epochs=1.0)
    run = train(small.NAME, *few, settings, tmp_path / "run", verbose=0)
    assert keras.config.dtype_policy().name == "float32"
    rows = history(run.folder)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) - 0.01
    last = kerafer.load_model(run.folder)
    assert {layer.dtype_policy.name for layer in last.model.layers} == {"float32"}
    assert {w.dtype for w in last.model.weights} == {"float32"}
    measured = kerafer.evaluate(last, few[1])
    assert measured.loss == pytest.approx(run.record["result"]["last"]["val_loss"], rel=0.03)
    with np.load(run.folder / "state.npz") as state:
        raw = state["variable_1"]
    averaged = last.model.get_layer("stem_bn").gamma.numpy()
    assert raw.shape == averaged.shape
    assert 1e-5 < np.abs(raw - averaged).max() < 1  # what is kept is the average, not the last step


def test_normalised_by_the_data(few, tmp_path):
    run = train(small.NAME, *few, replace(QUICK, normalization="data"), tmp_path / "run", verbose=0)
    best = kerafer.load_model(run.path("best"))
    pixels = few[0].images / 255
    assert best.card.preprocessing.mean == pytest.approx((pixels.mean(),) * 3)
    assert best.card.preprocessing.std == pytest.approx((pixels.std(),) * 3)
    measured, recorded = kerafer.evaluate(best, few[1]), run.record["result"]["best"]
    assert measured.accuracy == pytest.approx(recorded["val_accuracy"], abs=1e-6)
    assert measured.loss == pytest.approx(recorded["val_loss"], abs=1e-4)


def test_a_plateau_lowers_the_rate(few, tmp_path):
    settings = replace(  # the whole split in each batch, and next to no change: the loss stays
        QUICK,
        epochs=5,
        batch_size=70,
        learning_rate=1e-7,
        augmentation=(),
        plateau_factor=0.5,
        plateau_patience=2,
    )
    run = train(small.NAME, *few, settings, tmp_path / "run", verbose=0)
    rates = [float(row["learning_rate"]) for row in history(run.folder)]
    np.testing.assert_allclose(rates, np.array([1, 1, 0.5, 0.5, 0.25]) * 1e-7, rtol=1e-5)


# Where the weights come from

STILL = replace(QUICK, epochs=1, learning_rate=1e-12)


def trainable(loaded):
    return [v.numpy() for v in loaded.model.trainable_variables]


@pytest.mark.parametrize("name", [small.NAME, small.GRAY])
def test_training_starts_from_the_weights_of_another_run(name, base, few, tmp_path):
    initial = kerafer.load_model(base[name].folder)
    run = train(name, *few, STILL, tmp_path / "run", seed=9, initial=initial, verbose=0)
    for one, other in zip(trainable(kerafer.load_model(run.folder)), trainable(initial), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    described = run.record["settings"]["weights"]
    assert described == {"name": "last.keras", "weights_sha256": module.weights_checksum(initial.model)}


def test_training_starts_from_a_file_of_weights(base, few, tmp_path):
    initial = kerafer.load_model(base[small.NAME].folder)
    kerafer.save_weights(initial.model, tmp_path / "mine.npz")
    run = train(small.NAME, *few, STILL, tmp_path / "run", weights=str(tmp_path / "mine.npz"), verbose=0)
    for one, other in zip(trainable(kerafer.load_model(run.folder)), trainable(initial), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert run.record["settings"]["weights"]["name"] == "mine.npz"


def test_other_networks_weights_are_refused(base, ean, few, tmp_path):
    own = kerafer.load_model(base[small.NAME].folder)
    for initial, options in ((ean, {}), (own, {"filters": (4, 8)})):
        with pytest.raises(ValueError, match="`initial` must be a model of the same architecture"):
            train(small.NAME, *few, STILL, tmp_path / "run", initial=initial, verbose=0, **options)
    with pytest.raises(ValueError, match="`weights` and `initial` exclude each other"):
        train(small.NAME, *few, STILL, tmp_path / "run", initial=own, weights="fer2013", verbose=0)
    assert not (tmp_path / "run").exists()


# Arguments that do not belong together


def test_wrong_arguments_leave_no_folder(ean, few, tmp_path):
    made = Distributions(SOFT, {})
    soft, taught = recipe("lfer_rafdb", batch_size=35), recipe("ean_transfer", batch_size=35)
    wrong = [
        (replace(QUICK, batch_size=9999), few[1], {}, "`batch_size` must be 1 to the number of images, 70"),
        (QUICK, replace(few[1], class_names=("a", "b")), {}, "`validation` must have the classes"),
        (soft, few[1], {}, "`distributions` go with .*loss='kl', distributions=none"),
        (QUICK, few[1], {"distributions": made}, "`distributions` go with .*loss='cross_entropy', distributions=given"),
        (soft, few[1], {"distributions": Distributions(SOFT[:35], {})}, r"shape \(70, 7\). Received: \(35, 7\)"),
        (taught, few[1], {}, "`teacher` goes with .*loss='distillation', 0 teachers"),
        (QUICK, few[1], {"teacher": ean}, "`teacher` goes with .*loss='cross_entropy', 1 teachers"),
    ]
    for settings, validation, options, message in wrong:
        with pytest.raises(ValueError, match=message):
            train(small.NAME, few[0], validation, settings, tmp_path / "run", verbose=0, **options)
    assert not (tmp_path / "run").exists()


def test_no_environment_is_left_changed(finished):
    assert "TF_USE_LEGACY_KERAS" not in os.environ
