"""Measures by hand and against scikit-learn; views; what the commands print and write."""

import argparse
import json
from dataclasses import replace
from math import log

import numpy as np
import pytest
from PIL import Image
from predicted import predictions, written
from sklearn import metrics

import kerafer
from kerafer.cli import evaluate as cli
from kerafer.evaluation import (
    VIEWS,
    Predictions,
    compare,
    measure,
    predict,
    predict_dataset,
    write_report,
)
from kerafer.evaluation.measures import bootstrap
from kerafer.preprocess import Preprocessing


def run(*arguments):
    """Run a verb of `kerafer.cli.evaluate` as the command does."""
    top = argparse.ArgumentParser()
    cli.add(top.add_subparsers(required=True))
    parsed = top.parse_args([str(a) for a in arguments])
    return parsed.run(parsed)


def json_of(capsys, *arguments):
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


SIX = predictions([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0], leaked=np.array([True, False, False, False, False, True]))


def test_six_images_by_hand():
    found = measure(SIX)
    assert found.confusion == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found.confusion_shares == [[2 / 3, 1 / 3, 0], [0, 1, 0], [1, 0, 0]]
    assert found.accuracy == pytest.approx(4 / 6)
    assert (found.leak_free_images, found.leak_free_accuracy) == (4, 3 / 4)
    assert found.recall == pytest.approx({"a": 2 / 3, "b": 1, "c": 0})
    assert found.balanced_accuracy == pytest.approx(5 / 9)
    assert found.precision == pytest.approx({"a": 2 / 3, "b": 2 / 3})  # nothing was called c: 0 / 0 is left out
    assert found.f1 == pytest.approx({"a": 2 / 3, "b": 4 / 5, "c": 0})
    assert found.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 3)
    assert found.support == {"a": 3, "b": 2, "c": 1}
    assert found.loss == pytest.approx(-(4 * log(0.8) + 2 * log(0.1)) / 6, rel=1e-6)
    assert found.calibration_error == pytest.approx(0.8 - 4 / 6, abs=1e-6)
    assert [row["images"] for row in found.calibration] == [0] * 11 + [6] + [0] * 3


def test_a_class_without_images_counts_nowhere():
    found = measure(predictions([0, 0, 1], [0, 2, 1]))
    assert found.recall == {"a": 0.5, "b": 1.0}
    assert found.f1.keys() == {"a", "b"}
    assert found.precision == {"a": 1.0, "b": 1.0, "c": 0.0}
    assert found.balanced_accuracy == 0.75
    assert found.macro_f1 == pytest.approx((2 / 3 + 1) / 2)
    assert found.support["c"] == 0
    assert found.confusion_shares[2] is None
    assert all(0 <= low <= high <= 1 for low, high in found.intervals.values())


def test_random_predictions_equal_scikit_learn():
    rng = np.random.default_rng(3)
    labels, predicted = rng.integers(7, size=500), rng.integers(7, size=500)
    predicted[::2] = labels[::2]
    found = measure(predictions(labels, predicted, classes=7))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert list(found.precision.values()) == pytest.approx(
        metrics.precision_score(labels, predicted, average=None).tolist()
    )
    assert found.confusion == metrics.confusion_matrix(labels, predicted).tolist()


def test_every_value_is_json_even_where_nothing_is_leak_free():
    found = measure(predictions([0, 1], [0, 1], leaked=np.array([True, True])))
    assert np.isnan(found.leak_free_accuracy)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["leak_free_accuracy"] is None


def test_the_bootstrap_is_that_of_drawing_images():
    rng = np.random.default_rng(5)
    labels = rng.choice(3, size=300, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random(300) < 0.7, labels, rng.integers(3, size=300))
    confusion = metrics.confusion_matrix(labels, predicted)
    found = bootstrap(confusion, resamples=4000)
    drawn = [rng.integers(300, size=300) for _ in range(600)]
    literal = {
        "accuracy": [(labels[i] == predicted[i]).mean() for i in drawn],
        "balanced_accuracy": [metrics.recall_score(labels[i], predicted[i], average="macro") for i in drawn],
        "macro_f1": [metrics.f1_score(labels[i], predicted[i], average="macro") for i in drawn],
    }
    for name, values in literal.items():
        assert found[name] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.02), name
        assert found[name][1] - found[name][0] > 0.05


def test_the_bootstrap_is_seeded_and_covers():
    confusion = np.array([[60, 20], [15, 55]])
    assert bootstrap(confusion, seed=1) == bootstrap(confusion, seed=1) != bootstrap(confusion, seed=2)
    wide, narrow = bootstrap(confusion, level=0.99)["accuracy"], bootstrap(confusion, level=0.5)["accuracy"]
    assert wide[0] < narrow[0] < 115 / 150 < narrow[1] < wide[1]
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):  # splits of 200 images from a world in which the accuracy is 0.7
        right = rng.binomial(200, 0.7)
        low, high = bootstrap(np.array([[right, 200 - right], [0, 0]]), resamples=400)["accuracy"]
        covered += low <= 0.7 <= high
    assert 180 <= covered <= 199


def test_a_class_that_a_resample_lacks_is_left_out_of_it():
    # every image is right, and many a resample lacks the one of the second class: no average may suffer
    found = bootstrap(np.array([[5, 0], [0, 1]]))
    assert found == {"accuracy": (1, 1), "balanced_accuracy": (1, 1), "macro_f1": (1, 1)}


@pytest.mark.parametrize("settings", [{"resamples": 0}, {"level": 1.0}])
def test_a_bootstrap_without_an_interval_is_refused(settings):
    with pytest.raises(ValueError, match="`resamples` must be 1 or more"):
        measure(SIX, **settings)
    with pytest.raises(ValueError, match="`resamples` must be 1 or more"):
        compare(SIX, SIX, **settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": np.array([0, 3])}, r"`labels` must be 0 to 2\. Received: 0 to 3"),
        ({"probabilities": np.array([[1, 0, 0], [np.nan, 0, 0]])}, "1 of 2 images, first in row 1"),
        ({"rows": np.arange(3)}, "Predictions must be of at least one image"),
        ({"probabilities": np.eye(2)}, "Predictions must be of at least one image"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(predictions([0, 1], [0, 1]), **changes)


def test_ten_crops_are_the_mean_of_ten_pictures(ean, faces):
    contract = ean.card.preprocessing
    assert (contract.size, contract.resize) == ((44, 44), (48, 48))
    manual = np.zeros((len(faces), 7), np.float64)
    for mirrored in (False, True):
        for top, left in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)):
            crops = faces.images[:, top : top + 44, left : left + 44]
            crops = crops[:, :, ::-1] if mirrored else crops
            manual += ean.runner.predict(np.repeat(crops[..., None], 3, axis=-1).astype(np.float32) / 255)
    ten = predict_dataset(ean, faces, views="ten_crop")
    np.testing.assert_allclose(ten, manual / 10, atol=1e-6)
    assert abs(ten - predict_dataset(ean, faces)).max() > 1e-3


def test_flip_is_the_mean_of_picture_and_mirror_image(ean, faces):
    plain = predict_dataset(ean, faces)
    mirrored = predict_dataset(ean, replace(faces, images=faces.images[:, :, ::-1]))
    np.testing.assert_allclose(predict_dataset(ean, faces, views="flip"), (plain + mirrored) / 2, atol=1e-6)
    assert kerafer.evaluate(ean, faces, views="flip").views == "flip"


def test_ten_crops_need_something_to_crop(ean, faces):
    whole = replace(ean, card=replace(ean.card, preprocessing=Preprocessing(size=(44, 44), resize=(44, 44))))
    with pytest.raises(ValueError, match=r"resizes to \(44, 44\) and crops nothing.*views='flip'"):
        kerafer.evaluate(whole, faces, views="ten_crop")
    assert kerafer.evaluate(whole, faces, views="flip").images == 28
    with pytest.raises(ValueError, match=r"`views` must be one of center, flip, ten_crop\. Received: views='centre'"):
        kerafer.evaluate(ean, faces, views="centre")
    assert VIEWS["ten_crop"] == 10


def test_evaluate_measures_what_was_predicted(ean, faces):
    measured = kerafer.evaluate(ean, faces)
    best = predict_dataset(ean, faces).argmax(axis=1)
    assert measured.accuracy == (best == faces.labels).mean()
    assert measured.data_sha256 == faces.checksum()
    assert (measured.images, measured.views, measured.subset) == (28, "center", "")


def test_other_classes_are_refused(ean, faces):
    names = (*faces.class_names[:6], "contempt")
    with pytest.raises(ValueError, match=r"must have the classes of ean \(fer2013\).*contempt"):
        kerafer.evaluate(ean, replace(faces, class_names=names))
    with pytest.raises(ValueError, match="at least one image"):
        kerafer.evaluate(ean, faces.take(np.arange(0)))


def test_predictions_survive_a_file(tmp_path):
    path = SIX.save(tmp_path / "six.npz")
    again = Predictions.load(path)
    assert measure(again) == measure(SIX)
    np.testing.assert_array_equal(again.probabilities, SIX.probabilities)
    assert again.class_names == SIX.class_names
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        SIX.save(tmp_path / "six.json")


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = SIX.save(tmp_path / "six.npz")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"six\.npz is not a readable"):
        Predictions.load(path)
    np.savez(path, evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="not a readable"):
        Predictions.load(path)
    np.savez(path, labels=np.arange(3))
    with pytest.raises(ValueError, match=r"six\.npz holds no predictions.*Received: labels \(int64\)"):
        Predictions.load(path)
    with pytest.raises(FileNotFoundError, match="kerafer evaluate --predictions"):
        Predictions.load(tmp_path / "none.npz")


def test_report_writes_numbers_and_pictures(ean, tmp_path):
    data = written(tmp_path, 9)
    found = predict(ean, data)
    paths = write_report(measure(found), found, data, tmp_path)
    assert json.loads(paths[0].read_text()) == json.loads(json.dumps(measure(found).to_dict()))
    for path in paths[1:]:
        assert np.asarray(Image.open(path).convert("L")).std() > 5
    with pytest.raises(ValueError, match="in the same order"):
        write_report(measure(found), found, data.take(np.arange(9)[::-1]), tmp_path)
    flawless = predictions(data.labels, data.labels, classes=7, rows=data.rows)
    assert write_report(measure(flawless), flawless, data, tmp_path)[3].is_file()


@pytest.mark.slow
def test_evaluate_and_compare_from_the_command_line(capsys, fer_csv, tmp_path):
    source, names = f"fer2013:{fer_csv}", ("center.npz", "flip.npz")
    for views, name in zip(("center", "flip"), names, strict=True):
        arguments = ("evaluate", "ean", "--data", source, "--views", views)
        found = json_of(capsys, *arguments, "--predictions", tmp_path / name, "--out", tmp_path / views)
        assert (found["images"], found["views"]) == (7, views)
        assert len(found["written"]) == 5
        assert found["accuracy"] == json.loads((tmp_path / views / "evaluation.json").read_text())["accuracy"]
    files = json_of(capsys, "compare", *(tmp_path / name for name in names))
    mixed = json_of(capsys, "compare", tmp_path / names[0], "ean:fer2013", "--data", source, "--views", "flip")
    assert files["p_value"] == mixed["p_value"]
    assert files["recall"] == mixed["recall"]
    rows = tmp_path / "rows.txt"
    rows.write_text("15\n99\n")
    arguments = ("evaluate", "ean", "--data", source, "--subset", rows)
    with pytest.raises(ValueError, match="line 2"):
        run(*arguments)
    assert run(*arguments, "--on-error", "skip") == 0
    told = capsys.readouterr()
    assert "public (rows.txt), 1 images" in told.out
    assert "line 2" in told.err
    with pytest.raises(ValueError, match="the same images"):
        run("compare", tmp_path / names[0], "ean", "--data", source, "--split", "train")
    with pytest.raises(ValueError, match="go with models to run"):
        run("compare", *(tmp_path / name for name in names), "--subset", rows)
    with pytest.raises(ValueError, match="`--data` must be given"):
        run("compare", tmp_path / names[0], "ean")


def test_what_people_read(capsys, fer_csv, tmp_path):
    source = f"fer2013:{fer_csv}"
    assert run("evaluate", "ean", "--data", source, "--predictions", tmp_path / "a.npz") == 0
    told = capsys.readouterr().out
    measured = measure(Predictions.load(tmp_path / "a.npz"))
    assert f"accuracy    {measured.accuracy:.4f}  (95 %: {measured.intervals['accuracy'][0]:.4f} to" in told
    assert f"{measured.calibration_error:.4f} expected error" in told
    assert "happy            1" in told
    assert run("compare", tmp_path / "a.npz", tmp_path / "a.npz") == 0
    assert "right on exactly the same images" in capsys.readouterr().out


def test_the_command_offers_what_there_is():
    from kerafer.evaluation import CORRUPTIONS

    assert tuple(VIEWS) == cli.VIEWS
    assert tuple(CORRUPTIONS) == cli.CORRUPTIONS
