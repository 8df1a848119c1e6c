"""Readers of bytes from outside: whole files are read, damaged ones refused by name, nothing is left half-written."""

import io
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(ROOT / "fuzz"))

from changes import CHANGES, LONGEST
from target import npz
from targets import REFUSALS, TARGETS, half_written

SLOW = {".keras": 2, "fer2013.csv": 15, ".tflite": 15, "names": 15, "scan.npz": 10, "affectnet.csv": 15}
"""How many damaged files of a reader that takes long are tried; of the others `FEW`."""
FEW = 30
WRITERS = [
    *("image", "listed.csv", "rafdb.txt", "affectnet.csv", "affectnet.npy", "names", "scan.npz", "predictions.npz"),
    *("card.json", "weights.npz"),
]
"""Those whose reading ends in something written."""

edits = st.lists(
    st.tuples(st.sampled_from(["cut", "flip", "insert", "repeat"]), st.floats(0, 1), st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=4,
)


LONG = b"9" * 200_000
FOUND = {
    "a column twice, and rows of three": ("fer2013.csv", b"emotion,emotion,pixels,Usage\n3,1 2,Training\n"),
    "a cell beyond what the csv module takes": ("fer2013.csv", b"emotion,pixels,Usage\n3," + LONG + b",Training\n"),
    "a cell of that length in AffectNet's list": ("affectnet.csv", LONG + b",1,2,3\n"),
    "a cell of that length in a history": ("history.csv", b"epoch,loss\n1," + LONG + b"\n"),
    "votes of more than 64 bits": ("fer2013new.csv", lambda whole: whole.replace(b",8,2", b",%s,2" % LONG[:30])),
    "a null byte in numpy's header": ("decoded.npy", [("flip", 0.25, b"\0")]),
    "a character beyond Unicode": ("affectnet.npy", lambda whole: whole[:-1] + b"\xff"),
    "a model's name of such characters": ("predictions.npz", {"model": np.frombuffer(b"\xff" * 4, "<U1").reshape(())}),
    "a history of such characters": ("state.npz", {"history": np.frombuffer(b"\xff" * 4, "<U1").reshape(())}),
    "a group whose nodes are damaged": ("keras2.hdf5", [("insert", 0.75, b"\0")]),
    "a row without output": ("journal.jsonl", b'[{"source": "a.png"}]\n'),
    "an output that is no text": ("journal.jsonl", b'[{"source": "a.png", "output": 3}]\n'),
    "a run's history that is a number": ("state.npz", {"history": "3"}),
    "a fine-tuning's history that is a number": ("qat-state.npz", {"history": "3"}),
    "no callbacks' state": ("state.npz", {"callbacks": "[]"}),
    "settings that are a number": ("run.json", b'{"settings": 3, "state": "running"}'),
}
"""What ended in another error than a refusal once: the content, a change of a whole file or of its arrays."""


def edited(content, steps):
    """Return bytes with some of them cut off, replaced, inserted or repeated."""
    for kind, place, new in steps:
        at = round(place * len(content))
        if kind == "cut":
            content = content[:at]
        elif kind == "flip":
            content = content[:at] + new + content[at + len(new) :]
        elif kind == "insert":
            content = content[:at] + new + content[at:]
        else:
            content = content[:at] + content[max(0, at - 40) :]
    return content


def fed(target, folder, content):
    """Read a file of that content; return whether it was read, not refused."""
    path = folder / target.name
    path.write_bytes(content)
    said = "read"
    try:
        target.read(path)
    except REFUSALS as error:
        said = str(error)
    assert half_written(folder) == []
    assert said
    return said == "read"


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read(name, tmp_path):
    target = TARGETS[name]
    read = []
    for number, content in enumerate(target.seeds()):
        folder = tmp_path / str(number)
        folder.mkdir()
        read.append(fed(target, folder, content))
    assert any(read)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_refused_by_name(name, tmp_path_factory):
    target = TARGETS[name]
    seeds = list(target.seeds())

    @settings(max_examples=SLOW.get(name, FEW), derandomize=True, database=None, deadline=None)
    @given(st.sampled_from(range(len(seeds))), edits, st.integers(0, 2**32))
    def damaged(number, steps, seed):
        content = seeds[number]
        if target.form in CHANGES:
            chance = random.Random(seed)  # noqa: S311
            keep = steps if chance.random() < 0.5 else []
            content = CHANGES[target.form](
                content, LONGEST, seed, lambda data, size: edited(bytes(data), keep or steps)[:size]
            )
        else:
            content = edited(content, steps)
        fed(target, tmp_path_factory.mktemp("fuzz"), content)

    damaged()


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_once_is_refused(what, tmp_path):
    name, change = FOUND[what]
    content = next(TARGETS[name].seeds())
    if isinstance(change, bytes):
        content = change
    elif isinstance(change, list):
        content = edited(content, change)
    elif callable(change):
        content = change(content)
    else:
        with np.load(io.BytesIO(content)) as archive:
            content = npz(**{**archive, **change})
    assert not fed(TARGETS[name], tmp_path, content)


@pytest.mark.parametrize("name", WRITERS)
def test_what_cannot_be_written_is_not_left_half_written(name, tmp_path, monkeypatch):
    target, content = TARGETS[name], next(TARGETS[name].seeds())
    assert fed(target, tmp_path, content)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kerafer.files.os.replace", full)
    assert not fed(target, tmp_path, content)


def test_what_is_left_half_written_is_found(tmp_path, monkeypatch):
    """The check can fail: here nothing tidies up behind a file that could not be written."""
    target, content = TARGETS["predictions.npz"], next(TARGETS["predictions.npz"].seeds())

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kerafer.files.os.replace", full)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    with pytest.raises(AssertionError, match="again"):
        fed(target, tmp_path, content)


def test_a_cache_of_something_else_is_made_anew(tmp_path):
    from data_targets import _read_scan

    for arrays in ({"hashes": np.zeros((1, 16), np.uint8)}, {"flags": np.ones(2, np.uint8)}, {"other": np.ones(3)}):
        path = tmp_path / "scan.npz"
        path.write_bytes(npz(**arrays))
        _read_scan(path)
