"""Corrupted pictures: each corruption does what it says, and none of it changes the plain accuracy."""

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import kerafer
from kerafer.cli import evaluate as cli
from kerafer.evaluation import CORRUPTIONS, predict_dataset, robustness
from kerafer.preprocess import Preprocessing


def gradient(channels=()):
    """One picture whose values rise to the right: (1, 40, 40[, 3]) uint8."""
    rows = np.tile(np.linspace(20, 220, 40), (40, 1))
    return np.broadcast_to(rows.reshape(1, 40, 40, *(1 for _ in channels)), (1, 40, 40, *channels)).astype(np.uint8)


CORNER = np.zeros((1, 2))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_neutral_severity_changes_no_pixel_and_the_others_do(name, faces):
    corruption = CORRUPTIONS[name]
    assert corruption.neutral in corruption.severities
    assert list(corruption.severities) == sorted(set(corruption.severities))
    places = np.random.default_rng(0).random((len(faces), 2))
    changes = []
    for severity in corruption.severities:
        out = corruption(faces.images, severity, places)
        assert (out.shape, out.dtype) == (faces.images.shape, np.uint8)
        changes.append(np.abs(out.astype(float) - faces.images).mean())
    assert [s for s, change in zip(corruption.severities, changes, strict=True) if change == 0] == [corruption.neutral]
    middle = corruption.severities.index(corruption.neutral)
    # further from neutral is a larger change, on both sides
    assert changes[middle:] == sorted(changes[middle:])
    assert changes[: middle + 1] == sorted(changes[: middle + 1], reverse=True)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_colour_is_corrupted_as_gray_is(name):
    corruption = CORRUPTIONS[name]
    severity = corruption.severities[0] or corruption.severities[-1]
    gray, colour = (corruption(gradient(c), severity, CORNER) for c in ((), (3,)))
    np.testing.assert_array_equal(colour, np.repeat(gray[..., None], 3, axis=-1))


def test_occlusion_covers_a_square_with_the_mean():
    image = gradient()
    out = CORRUPTIONS["occlusion"](image, 0.25, np.array([[0.5, 0.999]]))
    covered = np.argwhere(out[0] != image[0])
    assert covered.min(axis=0).tolist() == [15, 30]
    assert covered.max(axis=0).tolist() == [24, 39]
    assert np.unique(out[0, 15:25, 30:]).tolist() == [round(image.mean())]
    assert CORRUPTIONS["occlusion"](image, 1.0, CORNER).std() == 0


def test_rotation_turns_anticlockwise_about_the_centre():
    image = np.zeros((1, 41, 41), np.uint8)
    image[0, 19:22, 34:37] = 255  # to the right of the centre
    out = CORRUPTIONS["rotation"](image, 45.0, CORNER)[0]
    y, x = np.argwhere(out > 127).mean(axis=0) - 20
    assert (y, x) == pytest.approx((-15 / np.sqrt(2), 15 / np.sqrt(2)), abs=0.3)
    quarter = CORRUPTIONS["rotation"](gradient(), 90.0, CORNER)[0]
    np.testing.assert_allclose(quarter, np.rot90(gradient()[0]), atol=1)


def test_blur_has_the_sigma_it_says():
    image = np.zeros((1, 101, 101), np.uint8)
    image[0, :, 50:] = 200
    edge = CORRUPTIONS["blur"](image, 0.04, CORNER)[0, 50].astype(float) / 200
    weights = np.diff(edge)  # of an edge blurred by a Gaussian, the differences are the Gaussian
    places = np.arange(100) + 0.5
    mean = (weights * places).sum()
    assert np.sqrt((weights * (places - mean) ** 2).sum()) == pytest.approx(0.04 * 101, rel=0.05)


def test_light_and_gamma_follow_their_formulas():
    image = np.array([[[0, 64, 128, 255]]], np.uint8)
    assert CORRUPTIONS["light"](image, 1.5, CORNER).ravel().tolist() == [0, 96, 192, 255]
    assert CORRUPTIONS["light"](image, 0.25, CORNER).ravel().tolist() == [0, 16, 32, 64]
    expected = [round(255 * (v / 255) ** 2.5) for v in (0, 64, 128, 255)]
    assert CORRUPTIONS["gamma"](image, 2.5, CORNER).ravel().tolist() == expected


def test_at_the_neutral_severity_it_is_evaluates_accuracy(ean, faces):
    few = {name: [c.severities[0], c.severities[-1]] for name, c in CORRUPTIONS.items()}
    found = robustness(ean, faces, severities=few)
    expected = kerafer.evaluate(ean, faces).accuracy
    assert found.curves.keys() == CORRUPTIONS.keys()
    for name, curve in found.curves.items():
        values = curve["accuracy"]["ean (fer2013)"]
        assert len(values) == len(curve["severities"])
        assert values[curve["severities"].index(CORRUPTIONS[name].neutral)] == expected
    assert found.data_sha256 == faces.checksum()


def test_a_corrupted_accuracy_is_that_of_corrupted_pictures(ean, faces, monkeypatch):
    monkeypatch.setattr("kerafer.evaluation.curves.BATCH", 10)  # so that places must follow the images
    found = robustness(ean, faces, corruptions=["occlusion"], severities={"occlusion": [0.5]}, seed=4)
    places = np.random.default_rng(4).random((28, 2))
    covered = replace(faces, images=CORRUPTIONS["occlusion"](faces.images, 0.5, places))
    right = (predict_dataset(ean, covered).argmax(axis=1) == faces.labels).mean()
    assert found.curves["occlusion"]["accuracy"]["ean (fer2013)"][1] == right
    assert found == robustness(ean, faces, corruptions=["occlusion"], severities={"occlusion": [0.5]}, seed=4)


def test_several_models_see_the_same(ean, faces):
    other = replace(ean, name="whole", card=replace(ean.card, preprocessing=Preprocessing((44, 44), (44, 44))))
    found = robustness([ean, ean, other], faces, corruptions=["light"], severities={"light": [0.5]})
    assert found.models == ("ean (fer2013)", "ean (fer2013) (2)", "whole")
    assert found.resize == ((48, 48), (48, 48), (44, 44))
    accuracy = found.curves["light"]["accuracy"]
    assert accuracy["ean (fer2013)"] == accuracy["ean (fer2013) (2)"]
    assert accuracy["whole"][1] == kerafer.evaluate(other, faces).accuracy


def test_labels_in_another_order(ean, faces):
    turned = faces.labels[::-1]
    order = (*faces.class_names[1:], faces.class_names[0])
    numbers = np.array([order.index(name) for name in faces.class_names])[faces.labels]
    found = robustness(ean, replace(faces, class_names=order, labels=numbers), corruptions=["light"])
    assert found.curves == robustness(ean, faces, corruptions=["light"]).curves
    assert found.curves != robustness(ean, replace(faces, labels=turned), corruptions=["light"]).curves


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"corruptions": ["noise"]}, "`corruptions` must be among occlusion, .* Received"),
        ({"corruptions": []}, "`corruptions` must be among"),
        ({"severities": {"occlusion": [1.5]}}, r"`severities` of occlusion must be numbers from 0 to 1 .*1\.5"),
        ({"severities": {"blur": []}}, "`severities` of blur"),
        ({"corruptions": ["blur"], "severities": {"light": [2]}}, "of corruptions asked for, blur. Received: light"),
    ],
)
def test_wrong_corruptions_are_refused(ean, faces, options, words):
    with pytest.raises(ValueError, match=words):
        robustness(ean, faces, **options)


def test_empty_data_and_other_classes_are_refused(ean, faces):
    with pytest.raises(ValueError, match="must not be empty"):
        robustness(ean, faces.take(np.arange(0)))
    with pytest.raises(ValueError, match="must not be empty"):
        robustness([], faces)
    with pytest.raises(ValueError, match="must have the classes of ean"):
        robustness(ean, replace(faces, class_names=tuple("abcdefg")))


def test_the_command_writes_curves(capsys, fer_csv, tmp_path):
    top = argparse.ArgumentParser()
    cli.add(top.add_subparsers(required=True))
    arguments = ["robustness", "ean", "ean:fer2013", "--data", f"fer2013:{fer_csv}", "--out", str(tmp_path / "out")]
    parsed = top.parse_args([*arguments, "--corruption", "blur", "light"])
    assert parsed.run(parsed) == 0
    told = capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert written["models"] == ["ean (fer2013)", "ean (fer2013) (2)"]
    assert written["curves"].keys() == {"blur", "light"}
    assert (written["seed"], written["images"], len(written["data_sha256"])) == (0, 7, 64)
    first = written["curves"]["blur"]["accuracy"]["ean (fer2013)"][0]
    assert f"{first:.4f}" in told
    assert np.asarray(Image.open(tmp_path / "out" / "robustness.png").convert("L")).std() > 5
