"""Run `.tflite` files in a browser: LiteRT.js in headless Chromium, on its WebAssembly kernels and on WebGPU.

WebGPU runs on SwiftShader, a GPU in software, and float32 is asked for; unasked, LiteRT.js gives the same bits there.
Asked for float16, it only rounds values between kernels, since SwiftShader has no float16 arithmetic: that is proved on
lavapipe. So this proves operators, kernels and the browser client; it says nothing about the speed or the drivers of a
phone's browser, which may compute in float16.

LiteRT.js calls a model fully accelerated of which it left every operator on the CPU, and a model for whose kernels
WebGPU reported errors; so what it logs is read, and numbers are compared. `make browser` fetches what is needed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kerafer.quantization.recipes import ExportRecipe
from kerafer.runtime import LiteRTRunner, from_tensor
from kerafer.verification.ladder import Job, compared, how_to_fetch, tool_folder
from kerafer.verification.report import RungRun

TOOL = "browser"
PARTS = (
    "node",
    "chromium/chromium-headless-shell",
    "node_modules/playwright-core/package.json",
    "node_modules/@litertjs/core/package.json",
)
"""What `tools/browser.sh` fetches, relative to its folder."""

PAGE = Path(__file__).with_name("guests") / "litert.html"
DRIVER = Path(__file__).with_name("guests") / "browse.mjs"

FLOAT_TOLERANCE = 1e-5
"""How far a probability may stray from the CPU's in float32, where only the order of sums and fused products differ.
Measured on crops of one portrait, with EAN: 8e-7 on WebAssembly (512 crops), 2e-6 on WebGPU (64)."""

UINT8_TOLERANCE = 2 / 256
"""The same where outputs are uint8, in two steps of them. Measured: none on WebAssembly (512 crops)."""

DYNAMIC_TOLERANCE = 0.03
"""The same where activations are quantized on the fly: the last bit of a float decides to which step it is rounded.
Measured: 0.013 at most, 0.005 for 99 of 100 crops, 1e-7 for every other one (512 crops)."""

START_SECONDS = 60
JOB_SECONDS = 300
"""A file of 94 MB took 36 to 53 s for two pictures on WebGPU, on two CPU cores that had other work too."""

ARGUMENTS = {
    "wasm": ("--host-resolver-rules=MAP * ~NOTFOUND",),
    "webgpu": (
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-unsafe-webgpu",
        "--use-webgpu-adapter=swiftshader",
    ),
}
"""What Chromium is started with: no name resolves, and WebGPU runs in software."""

# What the runtime says where it leaves operators on the CPU.
_NOT_ALL_ON_GPU = re.compile(r"not supported by GPU delegate|run on the CPU|Partially delegating|Falling back to WASM")
_REASON = re.compile(r"^(?:ERROR: )?((?!INFO|WARNING|ERROR)[A-Z][A-Z0-9_]+: .+)$")
# Where values would have to go back to the CPU in the middle of a model, LiteRT.js fails with these words alone.
_READ_BACK = "Asyncify is not defined"
_HOST_MEMORY = 1
_WORDS = 500


class _BrowserRung:
    """What both rungs share; see `kerafer.verification.ladder.Rung`."""

    name: ClassVar[str]
    proves: ClassVar[str]
    accelerator: ClassVar[str]
    runs_on: ClassVar[str]

    def missing(self) -> str:
        """Return what this machine lacks to run the rung and how to get it; empty where nothing is missing."""
        folder = tool_folder(TOOL)
        if folder is None:
            return f"headless Chromium and LiteRT.js: {how_to_fetch(TOOL)}"
        lacking = [part for part in PARTS if not (folder / part).is_file()]
        return f"{folder} lacks {', '.join(lacking)}: remove it, and {how_to_fetch(TOOL)}" if lacking else ""

    def run(self, jobs: Sequence[Job]) -> list[RungRun]:
        """Run every job in one browser, or in a new one after a crash; see `kerafer.verification.ladder.Rung`."""
        folder = tool_folder(TOOL)
        if folder is None:
            raise FileNotFoundError(f"There is no tool `{TOOL}`: {how_to_fetch(TOOL)}.")
        # a browser that was ended may still be writing there
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
            answers = _answers(folder.resolve(), Path(work), self.accelerator, jobs)
        return [self._verdict(folder, job, answer) for job, answer in zip(jobs, answers, strict=True)]

    def _verdict(self, folder: Path, job: Job, answer: dict[str, Any]) -> RungRun:
        package = json.loads((folder / "node_modules/@litertjs/core/package.json").read_text(encoding="utf-8"))
        where = self.runs_on.format(adapter=answer.get("adapter", "no adapter"))
        device = f"{where}, LiteRT.js {package['version']}, Chromium {answer.get('version', 'not started')}"
        message = _short(answer.get("message", ""))
        left = _left_on_cpu(answer) if self.accelerator == "webgpu" else ""
        if answer["stage"] == "start":
            return RungRun(self.name, "cannot run", device, message=message)
        if answer["stage"] in ("crash", "lost") or answer.get("trap"):
            return RungRun(self.name, "crashed", device, message=" | ".join(filter(None, [message, _said(answer)])))
        if left or answer["stage"] != "done":
            return RungRun(self.name, "refused", device, message=left or message)
        outputs = np.array(answer["rows"], np.float32).reshape(len(answer["rows"]), -1)
        if answer["type"] != "float32":
            outputs = from_tensor(outputs, LiteRTRunner(job.path).output)
        warning = _short(f"the browser reported: {answer['errors'][0]}") if answer["errors"] else ""
        return compared(self.name, device, outputs, job.expected, _tolerance(job), warning)


class WasmRung(_BrowserRung):
    """LiteRT.js on WebAssembly, XNNPACK's kernels with relaxed SIMD."""

    name = "web_wasm"
    proves = "the file runs in a browser on any machine, and gives the CPU's numbers there"
    accelerator = "wasm"
    runs_on = "WebAssembly"

    def unfit(self, recipe: ExportRecipe) -> str:
        """Return why files of a recipe are not meant for this runtime; empty where they are."""
        if recipe.input_type in ("float32", "uint8"):
            return ""
        return f"LiteRT.js takes no such inputs: Element type {recipe.input_type.upper()} is not supported."


class WebGpuRung(_BrowserRung):
    """LiteRT.js on WebGPU, every operator on the GPU."""

    name = "web_webgpu"
    proves = "every operator runs on a browser's GPU, and gives the CPU's numbers there in float32"
    accelerator = "webgpu"
    runs_on = "{adapter} in float32"

    def unfit(self, recipe: ExportRecipe) -> str:
        """Return why files of a recipe are not meant for this runtime; empty where they are."""
        return "" if recipe.runs_on_gpu else f"{recipe.name} files are for the CPU"


def _tolerance(job: Job) -> float:
    if job.recipe.runs_on_gpu:
        return FLOAT_TOLERANCE
    return UINT8_TOLERANCE if job.recipe.input_type == "uint8" else DYNAMIC_TOLERANCE * job.slack


def _answers(tool: Path, work: Path, accelerator: str, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return what the browser says of each job; a job that ended the browser does not take the others with it."""
    given = [_write_job(work, number, accelerator, job) for number, job in enumerate(jobs)]
    answers: list[dict[str, Any]] = []
    while len(answers) < len(jobs):
        told, started = _browse(tool, work, accelerator, given[len(answers) :])
        for job in given[len(answers) :]:
            path = Path(job["answer"])
            if not path.is_file():
                break
            answers.append({**json.loads(path.read_text(encoding="utf-8")), **started})
            told = ""
        if told:
            failed = {"stage": "crash" if started else "start", "message": told, "log": [], **started}
            # without a browser, the others have no better chance
            answers += [failed] * (1 if started else len(jobs) - len(answers))
    return answers


def _write_job(work: Path, number: int, accelerator: str, job: Job) -> dict[str, str]:
    inputs = work / f"{number}.bin"
    kind = job.recipe.input_type
    np.ascontiguousarray(job.pixels if kind == "uint8" else job.inputs, kind).tofile(inputs)
    return {
        "model": str(job.path.resolve()),
        "inputs": str(inputs),
        "type": kind,
        "accelerator": accelerator,
        "precision": "fp32",
        "answer": str(work / f"{number}.json"),
    }


def _browse(tool: Path, work: Path, accelerator: str, jobs: list[dict[str, str]]) -> tuple[str, dict[str, str]]:
    """Start a browser for jobs; return why it ended early, and its version where it started."""
    plan, started = work / "plan.json", work / "started.json"
    started.unlink(missing_ok=True)
    environment = {"HOME": str(work), "TMPDIR": str(work), "PATH": os.environ.get("PATH", os.defpath)}
    plan.write_text(
        json.dumps(
            {
                "tool": str(tool),
                "page": str(PAGE),
                "arguments": ARGUMENTS[accelerator],
                "environment": {**environment, "LD_LIBRARY_PATH": str(tool / "lib")},
                "seconds": JOB_SECONDS,
                "started": str(started),
                "jobs": jobs,
            }
        ),
        encoding="utf-8",
    )
    try:
        ran = subprocess.run(
            [str(tool / "node"), str(DRIVER), str(plan)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=START_SECONDS + len(jobs) * JOB_SECONDS,
            env=environment,
            check=False,
        )
        lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
        told = f"the browser's driver ended with {ran.returncode}: {' | '.join(lines[-6:])}"
    except subprocess.TimeoutExpired as error:
        told = f"no answer within {error.timeout} s"
    return told, json.loads(started.read_text(encoding="utf-8")) if started.is_file() else {}


def _left_on_cpu(answer: dict[str, Any]) -> str:
    """Return what of a model does not run on the GPU; empty where all of it does."""
    if any(_NOT_ALL_ON_GPU.search(line) for line in answer["log"]):
        return _said(answer) or "operators are left on the CPU"
    if _READ_BACK in answer.get("message", ""):
        return _short(f"operators are left on the CPU: {answer['message']}")
    if answer["stage"] == "done":
        if answer["accelerator"] != "webgpu" or not answer["fully"]:
            return f"LiteRT.js runs it on {answer['accelerator']}, not all of it on WebGPU"
        if answer["buffers"] == [_HOST_MEMORY]:
            return "LiteRT.js keeps its input in the CPU's memory"
    return ""


def _said(answer: dict[str, Any]) -> str:
    """Return the runtime's own words on what it does not take."""
    found = [match.group(1) for line in answer["log"] if (match := _REASON.match(line))]
    return _short(" | ".join(dict.fromkeys(found)))


def _short(words: str) -> str:
    return " ".join(words.split())[:_WORDS]
