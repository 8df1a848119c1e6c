"""`kerafer data check`: counts, and what is wrong, for every kind."""

import json
import shutil

import numpy as np
import pytest
from layouts import LAYOUTS, NUMBER, save

from kerafer.cli.common import reader_option
from kerafer.cli.main import main
from kerafer.data import check as checking
from kerafer.data.check import check_data, draw_check, split_names
from kerafer.images import read_image


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_kind_is_counted(tmp_path, name):
    layout = LAYOUTS[name](tmp_path / name)
    check = check_data(layout.source)
    assert set(check.splits) == set(layout.labels)
    for split, labels in layout.labels.items():
        found = check.splits[split]
        assert found.images == len(labels)
        assert list(found.classes.values()) == np.bincount(labels, minlength=len(layout.class_names)).tolist()
        assert tuple(found.classes) == layout.class_names
    assert check.bad == 0
    assert set(split_names(layout.source)) == set(layout.labels)
    assert json.loads(json.dumps(check.to_dict()))["train"]["sha256"] == check.data["train"].checksum()


def test_what_is_wrong_is_counted_and_told(tmp_path, capsys):
    layout = LAYOUTS["rafdb"](tmp_path / "rafdb")
    train, test = layout.files["train"], layout.files["test"]
    shutil.copy(train[0], train[7])  # the same class again
    shutil.copy(train[1], test[2])  # fear here, disgust there
    train[3].write_bytes(train[3].read_bytes()[:99])
    assert main(["data", "check", layout.source, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["train"]["images"] == 8
    assert found["train"]["repeated"] == 1
    assert found["train"]["duplicates"] == {"test": 1}
    assert found["test"]["duplicates"] == {"train": 1}
    assert found["train"]["conflicting"] == found["test"]["conflicting"] == 1
    assert len(found["train"]["skipped"]) == 1
    assert "train_00004_aligned.jpg" in found["train"]["skipped"][0]
    assert main(["data", "check", layout.source, "--split", "test"]) == 0
    told = capsys.readouterr().out
    assert "leaked        1 also in train" in told
    assert "train:" not in told
    assert main(["data", "check", layout.source, "--on-error", "raise"]) == 2
    assert "train_00004_aligned.jpg" in capsys.readouterr().err


def test_the_table_has_a_row_a_class_and_a_column_a_split(tmp_path, capsys):
    layout = LAYOUTS["affectnet_lists"](tmp_path / "affectnet")
    assert main(["data", "check", layout.source, "--drop-leaked"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["train", "val"]
    assert [line.split() for line in lines[1:10]] == [*([c, "1", "1"] for c in layout.class_names), ["all", "8", "8"]]
    assert "  dropped       1 non-face" in lines
    assert "  dropped       0 leaked" in lines


def test_options_reach_the_reader(tmp_path, capsys):
    layout = LAYOUTS["kdef"](tmp_path / "kdef")
    arguments = ["data", "check", layout.source, "--json", "--option", "angles=S,HL", "--option", "folds=2"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["train"]["images"] + found["test"]["images"] == 32
    assert main([*arguments, "--option", "folds=99"]) == 2
    assert "folds=99" in capsys.readouterr().err
    assert reader_option("a=true") == ("a", True)
    assert reader_option("a=b") == ("a", "b")
    with pytest.raises(SystemExit):
        main([*arguments, "--option", "folds"])
    for i in range(10):
        save(tmp_path / "own" / "happy" / f"{i}.png", i)
        save(tmp_path / "own" / "sad" / f"{i}.png", 50 + i)
    check = check_data(f"folder:{tmp_path / 'own'}", held_out=0.2)
    assert {name: found.images for name, found in check.splits.items()} == {"train": 16, "val": 4}


def test_pictures_are_opened_once_for_all_splits(tmp_path, monkeypatch):
    from kerafer.data import stored

    layout = LAYOUTS["rafdb"](tmp_path / "rafdb")
    opened = []
    monkeypatch.setattr(stored, "read_image", lambda path: opened.append(path) or read_image(path))
    check_data(layout.source)
    assert len(opened) == len(set(opened)) == 16
    check_data(layout.source, cache=tmp_path / "cache")
    check_data(layout.source, cache=tmp_path / "cache")
    assert len(opened) == 32


@pytest.mark.parametrize(
    ("source", "splits", "error", "words"),
    [
        ("rafdb", None, ValueError, "KIND:PATH"),
        ("raf:x", None, ValueError, "KIND:PATH"),
        ("folder:nowhere", None, FileNotFoundError, "There is no nowhere"),
        ("{}", ("val",), ValueError, "has no split 'val'"),
    ],
)
def test_wrong_calls(tmp_path, source, splits, error, words):
    layout = LAYOUTS["rafdb"](tmp_path / "rafdb")
    with pytest.raises(error, match=words):
        check_data(source.format(layout.source), splits)


def test_the_picture_shows_samples_of_each_class(tmp_path, capsys):
    layout = LAYOUTS["caers"](tmp_path / "caers")
    assert main(["data", "check", layout.source, "--picture", str(tmp_path / "check.png")]) == 0
    assert "check.png" in capsys.readouterr().out
    drawn = read_image(tmp_path / "check.png")
    assert drawn.shape[0] > 300
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 500
    check = check_data(layout.source)
    sheet = checking._samples(check.data["train"], 48)
    assert sheet.shape == (7 * 48, 8 * 48, 3)
    happy = sheet[NUMBER["happy"] * 48 : (NUMBER["happy"] + 1) * 48]
    members = np.flatnonzero(check.data["train"].labels == NUMBER["happy"])
    expected = check.data["train"].images.pixels(members, (48, 48))
    np.testing.assert_array_equal(happy[:, :48], expected[0])
    np.testing.assert_array_equal(happy[:, 48:96], expected[1])
    assert (happy[:, 96:] == 255).all()


def test_gray_data_is_drawn_too(tmp_path, fer_csv):
    check = check_data(f"fer2013:{fer_csv}")
    draw_check(check, tmp_path / "check.png")
    assert read_image(tmp_path / "check.png").shape[2] == 3
    sheet = checking._samples(check.data["train"], 48)
    np.testing.assert_array_equal(sheet[:48, :48, 1], check.data["train"].images[0])
