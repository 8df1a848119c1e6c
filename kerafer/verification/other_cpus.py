"""Two rungs on other CPU kernels: LiteRT's for ARM, emulated, and a TensorFlow Lite of 2023 as older apps ship it.

What is compared with what follows from how kernels round. LiteRT's default kernels (XNNPACK) turn int32 sums into int8
by float arithmetic whose every step IEEE 754 defines, so they give the same bits on every processor. A few operators on
integers are none of theirs and come from TensorFlow Lite's own kernels, which round otherwise on each processor. Old
versions use those for all of an integer file: there single outputs stray by ten steps and more, though none is wrong,
and not even the reference kernels have kept their bits from version to version.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np

from kerafer.quantization.recipes import ExportRecipe
from kerafer.verification.ladder import Job, compared, how_to_fetch, tool_folder
from kerafer.verification.other_pythons import Answer, Guest, Order, run_in
from kerafer.verification.report import RungRun

# Float kernels add up in another order. Measured: EAN 7e-7 on ARM and 3e-6 on the old runtime, EfficientFace with
# random weights 8e-6 and 7e-6; a deeper network may need more. Still far below what a wrong kernel or weight does.
FLOAT_TOLERANCE = 5e-5
SAME_BITS = 0.0
ONE_STEP = 1.001  # steps, with room for the product's rounding

OWN_KERNELS = frozenset({"AVERAGE_POOL_2D", "SOFTMAX"})
"""Operators on integers that XNNPACK leaves to TensorFlow Lite's own kernels. On ARM, SOFTMAX reads the exponential
from another table, and was one step off in 3 of 1,000 outputs; so was AVERAGE_POOL_2D."""

EMULATED_SECONDS = 3600
"""Longest time for one file in the emulator, where a network at 224x224 takes seconds a picture, and VGG-16 minutes."""
NATIVE_SECONDS = 300
"""Longest time for one file on the old runtime."""


class Arm64Rung:
    """LiteRT's kernels for 64-bit ARM, the processors of phones, in an emulator of single programs (qemu-user).

    Every file runs on the default kernels of the version that is installed here, and is held against the default
    kernels here:

    - files with uint8 inputs and outputs should give the same bits up to the SOFTMAX at their end: no value may be more
      than one step off there, which the message tells, and none after it. (EAN's give the same bits; of the zoo's
      fine-tuned files two are a step off in a tenth of their logits, where a value lies in the middle of two steps.)
    - float files may stray by `FLOAT_TOLERANCE`;
    - where bits cannot be the same, the *mean* difference counts, which may be what the recipe allows between the file
      and Keras. So it is for `dynamic_int8`, which rounds activations by the smallest and largest of the moment, so
      that the last bit of a float moves whole steps, and for integer files with one of `OWN_KERNELS`
      elsewhere.

    It shows numbers, not speed; and the emulated processor has every extension that qemu knows, where a phone's has
    some, and so may choose other kernels.
    """

    name = "arm64"
    proves = "LiteRT's kernels for ARM processors give the same numbers (emulated)"

    def missing(self) -> str:
        """Return what this machine lacks, and how to get it; empty where nothing is missing."""
        folder = tool_folder("arm64")
        if folder is None:
            return f"no emulator and no LiteRT for ARM: {how_to_fetch('arm64')}"
        there, here = (folder / "version").read_text(encoding="utf-8").strip(), metadata.version("ai-edge-litert")
        if there != here:
            return f"LiteRT for ARM is version {there}, and {here} is installed here: {how_to_fetch('arm64')}"
        return ""

    def unfit(self, recipe: ExportRecipe) -> str:
        """Return nothing: a CPU takes the files of every recipe."""
        return ""

    def run(self, jobs: Sequence[Job]) -> list[RungRun]:
        """Run every job in one emulated process, or more where one crashes, and compare.

        Raises:
            FileNotFoundError: if the emulator was not fetched.
        """
        answers = run_in(_arm64(), [Order(job.path, job.inputs) for job in jobs])
        runs = [self._verdict(job, answer) for job, answer in zip(jobs, answers, strict=True)]
        # only what ran is taken apart: anything else may be no model
        strict = [i for i, run in enumerate(runs) if run.status == "ok" and _steady_until_softmax(jobs[i])]
        with tempfile.TemporaryDirectory() as folder:
            orders = []
            for i in strict:
                orders.append(Order(Path(folder) / f"{i}.tflite", jobs[i].inputs))
                cut_softmax(jobs[i].path, orders[-1].path)
            here, there = run_in(Guest.this_python(NATIVE_SECONDS), orders), run_in(_arm64(), orders)
        for i, ours, theirs in zip(strict, here, there, strict=True):
            runs[i] = _same_bits(runs[i], ours, theirs, "before SOFTMAX")
        return runs

    def _verdict(self, job: Job, answer: Answer) -> RungRun:
        if answer.status != "ok":
            return answer.as_run(self.name)
        if job.recipe.input_type != "uint8":
            judge = _judge_floats if job.recipe.max_difference is not None else _judge_mean
            return judge(self.name, job, answer)
        steady = _steady_until_softmax(job)
        if not steady and OWN_KERNELS & set(_operators(job.path)):
            return _judge_mean(self.name, job, answer)
        tolerance = ONE_STEP * answer.scale if steady else SAME_BITS
        run = compared(self.name, answer.device, answer.outputs, job.expected, tolerance)
        return replace(run, message=run.message or _steps(answer, job.expected)) if run.status != "ok" else run


class OldRuntimeRung:
    """TensorFlow Lite 2.14 of 2023 (PyPI's tflite-runtime), as apps ship it that were not updated since.

    - Float files are held against the default kernels here, and may stray by `FLOAT_TOLERANCE`.
    - For files with int8 arithmetic the *mean* difference counts: it may be what the recipe allows between the file and
      Keras, for both are other ways to compute the same.

    It refuses operators whose version it does not know, such as dense layers with a scale for
    each row, which TensorFlow writes unasked and kerafer does without.
    """

    name = "old_runtime"
    proves = "TensorFlow Lite 2.14 of 2023 takes the file and gives the same numbers"

    def missing(self) -> str:
        """Return what this machine lacks, and how to get it; empty where nothing is missing."""
        return "" if tool_folder("old_runtime") else f"no tflite-runtime 2.14: {how_to_fetch('old_runtime')}"

    def unfit(self, recipe: ExportRecipe) -> str:
        """Return nothing: what the old runtime refuses depends on the model, so it is asked."""
        return ""

    def run(self, jobs: Sequence[Job]) -> list[RungRun]:
        """Run every job on the old runtime and compare.

        Raises:
            FileNotFoundError: if the old runtime was not fetched.
        """
        answers = run_in(_old_runtime(), [Order(job.path, job.inputs) for job in jobs])
        return [self._verdict(job, answer) for job, answer in zip(jobs, answers, strict=True)]

    def _verdict(self, job: Job, answer: Answer) -> RungRun:
        if answer.status != "ok":
            return answer.as_run(self.name)
        judge = _judge_floats if job.recipe.max_difference is not None else _judge_mean
        return judge(self.name, job, answer)


def cut_softmax(path: Path, cut: Path) -> None:
    """Write a file that ends where another's last SOFTMAX begins.

    Args:
        path: a file of one graph, with a SOFTMAX.
        cut: the file to write.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    (graph,) = model.subgraphs
    names = [flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) for operator in graph.operators]
    last = len(names) - 1 - names[::-1].index("SOFTMAX")
    graph.outputs = [graph.operators[last].inputs[0]]
    graph.operators = graph.operators[:last]
    # they name the output that is gone
    model.signatureDefs = []
    flatbuffer_utils.write_model(model, str(cut))


def _operators(path: Path) -> list[str]:
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    return [flatbuffer_utils.opcode_to_name(model, o.opcodeIndex) for g in model.subgraphs for o in g.operators]


def _steady_until_softmax(job: Job) -> bool:
    """Return whether a file with uint8 outputs ends in SOFTMAX, with only a change of type after it.

    Before it there is none of `OWN_KERNELS`.
    """
    if job.recipe.input_type != "uint8":
        return False
    names = [name for name in _operators(job.path) if name != "QUANTIZE"]
    return names[-1:] == ["SOFTMAX"] and not OWN_KERNELS & set(names[:-1])


def _same_bits(run: RungRun, here: Answer, there: Answer, where: str) -> RungRun:
    """Return a good run as it is if two other answers are equal to the bit, else what is wrong with them."""
    for other in (here, there):
        if other.status != "ok":
            return replace(other.as_run(run.rung), message=f"{where}: {other.message}")
    same = compared(run.rung, there.device, there.outputs, here.outputs, SAME_BITS)
    if same.status == "ok":
        return run
    close = compared(run.rung, there.device, there.outputs, here.outputs, ONE_STEP * there.scale)
    told = f"{where}: {same.message or _steps(there, here.outputs)}"
    return replace(run, status=close.status, message=told)


def _judge_floats(rung: str, job: Job, answer: Answer) -> RungRun:
    return compared(rung, answer.device, answer.outputs, job.expected, FLOAT_TOLERANCE)


def _judge_mean(rung: str, job: Job, answer: Answer) -> RungRun:
    run = compared(rung, answer.device, answer.outputs, job.expected, float("inf"))
    mean = float(np.mean(np.abs(answer.outputs - job.expected))) if run.status == "ok" else 0.0
    if mean <= job.recipe.mean_difference:
        return run
    told = f"probabilities differ by {mean:.1e} in mean, more than {job.recipe.mean_difference:.0e}"
    return replace(run, status="wrong numbers", message=told)


def _steps(answer: Answer, expected: np.ndarray) -> str:
    """Return how far quantized outputs are from being the same bits."""
    steps = np.abs(answer.outputs - expected) / answer.scale if answer.scale else np.abs(answer.outputs - expected)
    return (
        f"{(steps > 0).mean():.1%} of the outputs are not the same bits; they differ by up to {steps.max():.2g} steps"
    )


def _arm64() -> Guest:
    folder = _folder("arm64")
    root = folder / "root"
    environment = {
        "LD_LIBRARY_PATH": str(root / "lib"),
        "PYTHONPATH": str(folder / "packages"),
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = (str(folder / "qemu-aarch64"), "-L", str(root), str(root / "usr/bin/python3"), "-B")
    return Guest(command, environment, EMULATED_SECONDS, " (qemu-user)")


def _old_runtime() -> Guest:
    return Guest((str(_folder("old_runtime") / "venv/bin/python"), "-B"), {}, NATIVE_SECONDS)


def _folder(tool: str) -> Path:
    folder = tool_folder(tool)
    if folder is None:
        raise FileNotFoundError(f"The tool {tool} was not fetched: {how_to_fetch(tool)}.")
    return folder.resolve()
