"""Run `.tflite` files in another Python, perhaps on another processor, by `guests/interpret.py`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerafer.verification.report import RungRun

START_SECONDS = 300
SCRIPT = Path(__file__).parent / "guests" / "interpret.py"


@dataclass(frozen=True)
class Guest:
    """Another Python that runs `guests/interpret.py`.

    Args:
        command: what starts it, without the script.
        environment: all of its environment variables.
        seconds: longest time for one file.
        on: what its device is called after the runtime's version and the processor.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    seconds: int
    on: str = ""

    @classmethod
    def this_python(cls, seconds: int) -> Guest:
        """Return this very Python, in a process of its own."""
        path = os.pathsep.join(p for p in sys.path if p)
        return cls((sys.executable, "-B"), {**os.environ, "PYTHONPATH": path}, seconds)


@dataclass(frozen=True, eq=False)
class Order:
    """One file for a guest to run.

    Args:
        path: the file.
        inputs: (n, height, width, 3) float32.
    """

    path: Path
    inputs: np.ndarray


@dataclass(frozen=True, eq=False)
class Answer:
    """What became of an order.

    Args:
        status: `"ok"`, `"refused"`, `"crashed"` or `"cannot run"`, as in `RungRun`.
        device: runtime, version and processor.
        message: the runtime's own words where it failed.
        outputs: (n, classes) float32, through the scale and zero point of the file where it has them.
        scale: of the outputs, 0 where they are floats.
    """

    status: str
    device: str = ""
    message: str = ""
    outputs: np.ndarray | None = None
    scale: float = 0.0

    def as_run(self, rung: str) -> RungRun:
        """Return a failure as a rung's verdict."""
        return RungRun(rung, self.status, self.device, message=self.message)


def run_in(guest: Guest, orders: Sequence[Order]) -> list[Answer]:
    """Run files in another Python: all in one process, and the rest in a new one where a file crashes it.

    Args:
        guest: the other Python.
        orders: the files.

    Returns:
        One answer per order, in order.
    """
    answers: dict[int, Answer] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, order in enumerate(orders):
            np.save(folder / f"{i}.inputs.npy", np.ascontiguousarray(order.inputs, np.float32), allow_pickle=False)
        while waiting := [i for i in range(len(orders)) if i not in answers]:
            words = _one_process(guest, folder, {i: orders[i] for i in waiting})
            answers |= {i: _read(folder / str(i), guest) for i in waiting if (folder / f"{i}.json").is_file()}
            rest = [i for i in waiting if i not in answers]
            if rest and (folder / f"{rest[0]}.started").is_file():
                answers[rest[0]] = Answer("crashed", guest.on, words)
            elif rest:
                answers |= {i: Answer("cannot run", guest.on, words) for i in rest}
    return [answers[i] for i in range(len(orders))]


def _one_process(guest: Guest, folder: Path, orders: dict[int, Order]) -> str:
    """Run the script on some orders, and return how it ended."""
    listed = [{"name": str(i), "model": str(o.path.resolve())} for i, o in orders.items()]
    (folder / "jobs.json").write_text(json.dumps({"seconds": guest.seconds, "jobs": listed}), encoding="utf-8")
    try:
        ran = subprocess.run(
            [*guest.command, str(SCRIPT), str(folder)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=START_SECONDS + guest.seconds * len(orders),
            env=guest.environment,
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return f"no answer within {error.timeout:.0f} s"
    words = " | ".join([s for s in map(str.strip, ran.stderr.splitlines()) if s and not s.startswith("INFO:")][-3:])
    if ran.returncode == -signal.SIGALRM:
        return f"no answer within {guest.seconds} s"
    ended = f"ended by signal {-ran.returncode}" if ran.returncode < 0 else f"ended with status {ran.returncode}"
    return f"{ended}; {words}"[:500]


def _read(stem: Path, guest: Guest) -> Answer:
    told = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    device = told["runtime"] + guest.on
    if told["error"]:
        return Answer("refused", device, " ".join(told["error"].split())[:500])
    raw = np.load(stem.with_suffix(".outputs.npy"), allow_pickle=False)
    outputs = raw.astype(np.float32)
    if told["scale"]:
        # as kerafer.runtime does, to the bit
        outputs = (outputs - np.float32(told["zero"])) * np.float32(told["scale"])
    return Answer("ok", device, outputs=outputs, scale=told["scale"])
