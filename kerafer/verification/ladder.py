"""The ladder of runtimes that a `.tflite` file can be proved on without a phone, and how it is climbed.

Each rung runs the file somewhere else and holds its outputs against those of LiteRT on this machine's CPU: another
GPU runtime, a browser, another processor, an old runtime. A rung that cannot run here says why and what would mend it;
it is never left out in silence.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from kerafer.quantization.recipes import ExportRecipe
from kerafer.verification.report import RungRun

TOOLS = "KERAFER_TOOLS"
"""Environment variable that names the folder of the rungs' tools, as `make verify-tools` fetches them."""


@dataclass(frozen=True, eq=False)
class Job:
    """One file to be run on a rung, with inputs and what the CPU gives for them.

    Args:
        path: the `.tflite` file.
        recipe: how it was exported.
        labels: class names in output order.
        pixels: (n, height, width, 3) uint8, what a camera would give.
        inputs: (n, height, width, 3) float32, the same scaled by the model's contract.
        expected: (n, classes) float32, what LiteRT's CPU kernels give here for the same file.
        slack: factor on the tolerances of rungs that round more than this CPU does; see `kerafer.verify`.
    """

    path: Path
    recipe: ExportRecipe
    labels: tuple[str, ...]
    pixels: np.ndarray
    inputs: np.ndarray
    expected: np.ndarray
    slack: float = 1.0


class Rung(Protocol):
    """One runtime of the ladder.

    Attributes:
        name: of `kerafer verify --rungs`.
        proves: what a run here shows, in one line.
    """

    name: str
    proves: str

    def missing(self) -> str:
        """Return what this machine lacks to run the rung and how to get it; empty where nothing is missing."""

    def unfit(self, recipe: ExportRecipe) -> str:
        """Return why files of a recipe are not meant for this runtime; empty where they are."""

    def run(self, jobs: Sequence[Job]) -> list[RungRun]:
        """Run every job, and return what happened, in order. Called only with fit jobs, where nothing is missing."""


def tool_folder(name: str) -> Path | None:
    """Return the folder of a fetched tool, or None where it was not fetched.

    Args:
        name: of the tool, such as `"lavapipe"`; the part of `make verify-tools` that fetches it bears the same name.

    Returns:
        The folder below the one that the environment variable `KERAFER_TOOLS` names; without that, below `.cache` in
        kerafer's checkout.
    """
    told = os.environ.get(TOOLS)
    folder = (Path(told) if told else Path(__file__).resolve().parents[2] / ".cache") / name
    return folder if (folder / "ready").is_file() else None


def how_to_fetch(name: str) -> str:
    """Return the sentence that tells how to get a tool."""
    return f"run `make {name}` in kerafer's checkout (elsewhere, name the folder it makes in {TOOLS})"


def compared(
    rung: str, device: str, outputs: np.ndarray, expected: np.ndarray, tolerance: float, warning: str = ""
) -> RungRun:
    """Return the verdict on a run's outputs.

    Args:
        rung: name of the rung.
        device: what it ran on, with its version.
        outputs: (n, classes) float32.
        expected: (n, classes) float32, from the CPU here.
        tolerance: largest difference allowed.
        warning: what the runtime said that makes even equal numbers worthless, such as a partial delegation.
    """
    if warning:
        return RungRun(rung, "wrong numbers", device, message=warning)
    if outputs.shape != expected.shape:
        return RungRun(rung, "wrong numbers", device, message=f"gave {outputs.shape} values, not {expected.shape}")
    if not np.isfinite(outputs).all():
        return RungRun(rung, "wrong numbers", device, message="outputs are not finite")
    difference = float(np.max(np.abs(outputs - expected)))
    if not np.ptp(outputs, axis=0).any() and np.ptp(expected, axis=0).max() > tolerance:
        return RungRun(rung, "wrong numbers", device, difference, "the same outputs for different pictures")
    return RungRun(rung, "ok" if difference <= tolerance else "wrong numbers", device, difference)
