"""Readers of what trainings, alignments and benchmarks leave, and go on from."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from model_targets import small_model
from target import Target, fresh, npz, picture


def _history() -> Iterator[bytes]:
    yield b"epoch,accuracy,loss\n1,0.5,1.25\n2,0.625,1.0\n"


def _read_history(path: Path) -> None:
    from kerafer.training.callbacks import read_history

    read_history(path)


def _state() -> Iterator[bytes]:
    history, callbacks = [{"epoch": 1.0, "val_accuracy": 0.5}], {"schedule": {"step": 3}}
    variables = {f"variable_{i}": np.asarray(v) for i, v in enumerate(small_model().variables)}
    yield npz(history=json.dumps(history), callbacks=json.dumps(callbacks), **variables)


def _training() -> SimpleNamespace:
    """Return what a state is restored into: a model, and an optimizer that has no variables."""
    return SimpleNamespace(student=small_model("state"), optimizer=SimpleNamespace(variables=[]))


def _read_state(path: Path) -> None:
    """Read the state of an interrupted training, and go on with it."""
    import keras

    from kerafer.training.callbacks import ResumableState

    state = ResumableState(path.parent, {"schedule": keras.callbacks.Callback()}, lambda _: None)
    state.set_model(_training())
    if state.load():
        state.on_train_begin()


def _record() -> Iterator[bytes]:
    settings = {"model": "ean", "recipe": {"epochs": 3}}
    for kept in (settings, {**settings, "seed": 1}):
        yield json.dumps({"settings": kept, "state": "running", "versions": {"keras": "3"}}).encode()


def _read_record(path: Path) -> None:
    from kerafer.training.record import find_record

    find_record(path.parent, {"model": "ean", "recipe": {"epochs": 3}})


def _log() -> Iterator[bytes]:
    yield (
        b"INFO: Replacing 60 out of 60 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions\n"
        b"count=50 first=902 curr=871 min=852 max=960 avg=880.5 std=20\n"
        b"Inference timings in us: Init: 5012, First inference: 1400, Warmup (avg): 901, Inference (avg): 880.5\n"
        b"Memory footprint delta from the start of the tool (MB): init=3.1 overall=7.5\n"
    )
    yield b"Following operations are not supported by GPU delegate:\nSORT: none\nERROR: Failed to apply GPU delegate.\n"


def _read_log(path: Path) -> None:
    from kerafer.benchmarking import Plan
    from kerafer.benchmarking.android import read_log

    file = path.parent / "ean.tflite"
    file.touch()
    report = read_log(Plan((file,)), [path])
    report.table()
    json.dumps(report.to_dict(), allow_nan=False)


def _fine_tuned_state() -> Iterator[bytes]:
    variables = {f"variable_{i}": np.asarray(v) for i, v in enumerate(small_model().variables)}
    yield npz(history=json.dumps([{"epoch": 1.0, "loss": 0.5}]), **variables)


def _read_fine_tuned_state(path: Path) -> None:
    from kerafer.training.quantization_aware import _load, _write_history

    history = _load(path.parent, small_model("fine-tuned").variables)
    if history:
        _write_history(fresh(path, "out"), history)


def _distributions() -> Iterator[bytes]:
    yield npz(values=np.full((14, 7), 1 / 7, np.float32))


def _read_distributions(path: Path) -> None:
    from kerafer.training.distributions import _described, _read

    _described(_read(path, (14, 7)), {})


def _answers() -> Iterator[bytes]:
    content = io.BytesIO()
    np.save(content, np.full((2, 4, 7), 1 / 7, np.float32))
    yield content.getvalue()


def _read_answers(path: Path) -> None:
    from kerafer.training.answers import _read

    np.zeros((1, 2, 4, 7), np.float32)[0] = _read(path, (2, 4, 7))


def _aligned(name: str) -> Iterator[bytes]:
    from kerafer.data.align.folder import SETTINGS, AlignedFolder

    if name != SETTINGS:
        row = {"source": "a.png", "output": "a.png", "problem": ""}
        yield b"".join(json.dumps([{**row, "source": source}]).encode() + b"\n" for source in ("a.png", "b.png"))
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        AlignedFolder(Path(folder) / "aligned", {"size": [48, 48], "suffix": "png"})
        yield (Path(folder) / "aligned" / SETTINGS).read_bytes()


def _read_aligned(path: Path) -> None:
    """Go on with an alignment whose settings or journal are the input."""
    from kerafer.data.align.folder import JOURNAL, PARTIAL, AlignedFolder

    root, settings = fresh(path, "aligned"), {"size": [48, 48], "suffix": "png"}
    root.rmdir()
    AlignedFolder(root, settings)
    (root / "a.png").write_bytes(picture())
    (root / path.name).write_bytes(path.read_bytes())
    try:
        AlignedFolder(root, settings).add([{"source": "c.png", "output": "", "problem": "no face"}])
    finally:
        (root / PARTIAL).rmdir()  # where faces lie until they are whole; it goes when all are
    if not (root / JOURNAL).read_bytes().endswith(b"\n"):
        raise AssertionError("the journal does not end in a whole line")


TARGETS = {
    "history.csv": Target("history.csv", _history, _read_history, 0.03),
    "state.npz": Target("state.npz", _state, _read_state, 0.03, "zip"),
    "qat-state.npz": Target("state.npz", _fine_tuned_state, _read_fine_tuned_state, 0.03, "zip"),
    "run.json": Target("run.json", _record, _read_record, 0.03, "json"),
    "distributions.npz": Target("distributions.npz", _distributions, _read_distributions, 0.02, "zip"),
    "answers.npy": Target("epoch-1.npy", _answers, _read_answers, 0.02),
    "align.json": Target("align.json", lambda: _aligned("align.json"), _read_aligned, 0.02, "json"),
    "journal.jsonl": Target("journal.jsonl", lambda: _aligned("journal.jsonl"), _read_aligned, 0.02),
    "benchmark.log": Target("benchmark.log", _log, _read_log, 0.04),
}
