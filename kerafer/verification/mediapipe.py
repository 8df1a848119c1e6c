"""Two rungs in MediaPipe 0.10.21: its ImageClassifier on the CPU, and on TensorFlow Lite's OpenGL delegate.

The classifier gets nothing but the file: labels and normalisation come from the LiteRT metadata inside, and pictures
are camera bytes. Its scores are matched to kerafer's by the labels' names, so metadata that names the classes in
another order is caught as wrong numbers.

The OpenGL delegate is the GPU path of apps built on MediaPipe and on TensorFlow Lite, and takes fewer operators than
LiteRT's own accelerator: no TRANSPOSE, no grouped convolution, nothing quantized. MediaPipe passes on what it does
not take to the CPU, without an error, and may then read zeros; so its messages are read. One of its shaders is broken:
see `broken_means`.

Both rungs run in a process of their own, in the virtual environment that `make mediapipe` makes; the delegate on a
software device. Neither says anything about the speed or the drivers of a phone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerafer.quantization.recipes import ExportRecipe
from kerafer.runtime import LiteRTRunner
from kerafer.verification.ladder import Job, compared, how_to_fetch, tool_folder
from kerafer.verification.report import RungRun

TOOL = "mediapipe"
VERSION = "MediaPipe 0.10.21"
GUEST = Path(__file__).parent / "guests" / "classify.py"

FLOAT_TOLERANCE = 1e-5
"""On the CPU, for float outputs: the same float32 arithmetic, rounded by another version of the kernels."""
UINT8_TOLERANCE = 1.5 / 256
"""On the CPU, for uint8 outputs: one step of the output's scale, 1/256, which rounding in other kernels may cost."""
GPU_TOLERANCE = 2e-2
"""The delegate stores every tensor, the picture too, in float16; the same as for LiteRT's accelerator in float16."""

DYNAMIC_TOLERANCE = 5e-2
"""On the CPU, for `dynamic_int8`: where a rounding of the picture's values moves an activation by one of 256 steps, all
that follow may move. 0.013 was the most on 256 faces with EAN, 1e-4 the mean."""

START_SECONDS, JOB_SECONDS = 120, 480

MEAN_TILE, MEAN_TILES = 8, 8
"""Tiles of 8x8 in which the delegate averages a map, and how many of them a side has where that comes out right."""

_BUILTIN_KERNELS = frozenset({"dynamic_int8"})
_INT8_UNPACKED = frozenset({"weight_int8"})
_PARTLY = re.compile(r"^.*(?:will run on the CPU|not supported by GPU delegate).*$", re.MULTILINE)
_NOT_TAKEN = re.compile(r"^(?!WARNING|ERROR|INFO|VERBOSE)([A-Z][A-Z0-9_]+): (.+)$", re.MULTILINE)
_NOT_PREPARED = re.compile(r"TfLiteGpuDelegate \w+: (.+)$", re.MULTILINE)
_DELEGATED = "Created TensorFlow Lite delegate for GPU"
_RENDERER = re.compile(r"renderer: (.+?)\s*$", re.MULTILINE)
_OVERHEAD = re.compile(r"[IW]\d{4} |INFO: |WARNING: All log messages|E\d{4} .*Tensors are designed for single writes")


class ImageClassifierRung:
    """MediaPipe's ImageClassifier on the CPU.

    For `dynamic_int8` its TensorFlow Lite computes with the built-in kernels, which quantize activations otherwise
    than XNNPACK does, so these files are compared with the built-in kernels here.
    """

    name = "mediapipe_cpu"
    proves = "MediaPipe's ImageClassifier, given nothing but the file, finds labels and normalisation in it"
    delegate = "CPU"
    jobs_at_once = 32

    def missing(self) -> str:
        """Return what this machine lacks to run the rung and how to get it; empty where nothing is missing."""
        folder = tool_folder(TOOL)
        if folder is None:
            return f"{VERSION} was not fetched: {how_to_fetch(TOOL)}"
        if not _python(folder).is_file():
            return f"the Python that {folder} was made with is gone: remove that folder, and {how_to_fetch(TOOL)}"
        return ""

    def unfit(self, recipe: ExportRecipe) -> str:
        """Return why files of a recipe are not meant for this runtime; here all are."""
        return ""

    def run(self, jobs: Sequence[Job]) -> list[RungRun]:
        """Run every job; after one that ends its process, the rest go on in a new one."""
        runs: list[RungRun] = []
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            while len(runs) < len(jobs):
                first = len(runs)
                batch = jobs[first : first + self.jobs_at_once]
                results = [folder / str(first + i) for i in range(len(batch))]
                end, crashed = self._classify(batch, results)
                for job, result in zip(batch, results, strict=True):
                    log = _read(result.with_suffix(".log"))
                    if result.with_suffix(".json").is_file():
                        runs.append(self._verdict(job, result, log))
                        continue
                    status = "crashed" if crashed else "cannot run"
                    message = "; ".join(words for words in (end, _last_words(log)) if words)
                    runs.append(RungRun(self.name, status, self._device(log), message=message))
                    break
        return runs

    def _classify(self, jobs: Sequence[Job], results: Sequence[Path]) -> tuple[str, bool]:
        """Run jobs in one process, and return how it ended, and whether that was by a crash."""
        asked = []
        for job, result in zip(jobs, results, strict=True):
            pixels = f"{result}.pixels.npy"
            np.save(pixels, np.ascontiguousarray(job.pixels, np.uint8))
            asked.append({"model": str(job.path.resolve()), "pixels": pixels, "result": str(result)})
        jobs_file = results[0].with_suffix(".jobs")
        jobs_file.write_text(json.dumps({"delegate": self.delegate, "jobs": asked}), encoding="utf-8")
        tool, seconds = tool_folder(TOOL), START_SECONDS + JOB_SECONDS * len(jobs)
        # -I: neither PYTHONPATH nor a user's packages reach the other Python
        command = [str(_python(tool)), "-I", str(GUEST), str(jobs_file)]
        try:
            ran = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                env={**os.environ, **self._environment(tool)},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {seconds} s", True
        if ran.returncode < 0:
            return f"ended by signal {-ran.returncode}", True
        return f"ended with exit status {ran.returncode}: {_last_words(ran.stderr)}", False

    def _verdict(self, job: Job, result: Path, log: str) -> RungRun:
        """Return what became of a job, during which `log` was said."""
        told = json.loads(_read(result.with_suffix(".json")))
        device, error = self._device(log), told.get("error", "")
        if objection := self._objection(log, error):
            return objection
        if error:
            return RungRun(self.name, "refused", device, message=_in_short(error))
        names, scores = told["names"], np.load(result.with_suffix(".npy"), allow_pickle=False)
        if sorted(names) != sorted(job.labels):
            message = f"its metadata names the classes {_listed(names)}, not {_listed(job.labels)}"
            return RungRun(self.name, "wrong numbers", device, message=message)
        expected, tolerance = self._expected(job), self._tolerance(job)
        order = [names.index(label) for label in job.labels]
        found = compared(self.name, device, scores[:, order], expected, tolerance)
        if found.status != "ok" and compared(self.name, device, scores, expected, tolerance).status == "ok":
            message = f"its metadata names the classes in the order {_listed(names)}, not {_listed(job.labels)}"
            return RungRun(self.name, "wrong numbers", device, found.max_difference, message)
        return found

    def _environment(self, tool: Path) -> dict[str, str]:
        return {}

    def _device(self, log: str) -> str:
        return f"{VERSION}, CPU"

    def _expected(self, job: Job) -> np.ndarray:
        if job.recipe.name not in _BUILTIN_KERNELS:
            return job.expected
        return LiteRTRunner(job.path, xnnpack=False).predict(job.inputs)

    def _tolerance(self, job: Job) -> float:
        if job.recipe.input_type == "uint8":
            return UINT8_TOLERANCE
        return DYNAMIC_TOLERANCE * job.slack if job.recipe.name in _BUILTIN_KERNELS else FLOAT_TOLERANCE

    def _objection(self, log: str, error: str) -> RungRun | None:
        """Return what the runtime's own messages hold against a run, or None."""
        return None


class GlDelegateRung(ImageClassifierRung):
    """MediaPipe's ImageClassifier on TensorFlow Lite's OpenGL ES delegate, with Mesa's llvmpipe as the device.

    Computed as in an app, with the delegate's own settings: every tensor is stored in float16, so a value beyond 65504
    becomes infinite. Each job has a process of its own, because shaders of a software device share its memory.
    """

    name = "gl_delegate"
    proves = "TensorFlow Lite's OpenGL delegate, the strictest about operators, takes the whole graph, in float16"
    delegate = "GPU"
    jobs_at_once = 1

    def unfit(self, recipe: ExportRecipe) -> str:
        """Return why files of a recipe are not meant for this runtime; empty where they are."""
        if recipe.name in _INT8_UNPACKED:
            return f"{recipe.name} unpacks int8 weights by DEQUANTIZE, which this OpenGL delegate leaves to the CPU"
        return "" if recipe.runs_on_gpu else f"{recipe.name} is for CPUs: the OpenGL delegate takes nothing quantized"

    def run(self, jobs: Sequence[Job]) -> list[RungRun]:
        """Run every job; one with an average that the delegate's broken shader computes is refused whatever it gave."""
        return [self._without_luck(job, run) for job, run in zip(jobs, super().run(jobs), strict=True)]

    def _without_luck(self, job: Job, run: RungRun) -> RungRun:
        means = broken_means(job.path)
        if run.status == "cannot run" or not means:
            return run
        words = f"the delegate's shader for {', '.join(means)} is broken (see broken_means)"
        if run.status == "refused":
            words = f"{run.message}; and {words}"
        return replace(run, status="refused", message=words)

    def _environment(self, tool: Path) -> dict[str, str]:
        libraries = str(tool.resolve() / "lib")
        search = [libraries, os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            "LD_LIBRARY_PATH": os.pathsep.join(p for p in search if p),
            "LIBGL_DRIVERS_PATH": libraries,
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "__EGL_VENDOR_LIBRARY_FILENAMES": f"{libraries}/egl_mesa.json",
            "EGL_PLATFORM": "surfaceless",
            "MESA_SHADER_CACHE_DIR": str(tool.resolve() / "shaders"),
        }

    def _device(self, log: str) -> str:
        renderer = _RENDERER.search(log)
        return f"{VERSION}, {renderer.group(1)}, float16" if renderer else f"{VERSION}, no OpenGL device"

    def _expected(self, job: Job) -> np.ndarray:
        return job.expected

    def _tolerance(self, job: Job) -> float:
        return GPU_TOLERANCE * job.slack

    def _objection(self, log: str, error: str) -> RungRun | None:
        device = self._device(log)
        if partly := _PARTLY.findall(log):
            named = [f"{name} ({_in_short(why)})" for name, why in dict(_NOT_TAKEN.findall(log)).items()]
            message = f"not taken: {', '.join(named)}. {_in_short(partly[-1])}" if named else _in_short(partly[-1])
            return RungRun(self.name, "refused", device, message=message)
        if not_prepared := _NOT_PREPARED.findall(log):
            return RungRun(self.name, "refused", device, message=_in_short(not_prepared[0]))
        if not _RENDERER.search(log) and error:
            return RungRun(self.name, "cannot run", device, message=_last_words(log) or _in_short(error))
        if not error and _DELEGATED not in log:
            return RungRun(self.name, "refused", device, message="it ran, but on the CPU: no delegate was made")
        return None


def broken_means(path: str | Path) -> tuple[str, ...]:
    """Return the averages over a map that the OpenGL delegate computes with a broken shader.

    Where both sides are multiples of 8 and the channels of 4, each thread of a group of 8x8 sums a tile of 8x8, and
    one adds up what the group has shared. A smaller map has fewer tiles than threads, and the others write beyond the
    shared memory: on llvmpipe into the process's own, which may end it or not. A larger one has more tiles than one
    group shares, and gives wrong numbers or NaN. Only 64x64 fits. Other drivers may do better or worse.

    Args:
        path: a `.tflite` file.

    Returns:
        Such as `"MEAN over 16x16x4 (operator 12)"`; empty for a good file, and for one that cannot be read.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    data = Path(path).read_bytes()
    if data[4:8] != b"TFL3":
        return ()
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
    found = []
    for graph in model.subgraphs:
        for position, operator in enumerate(graph.operators):
            if flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) != "MEAN":
                continue
            averaged, axes = (graph.tensors[i] for i in operator.inputs[:2])
            stored = model.buffers[axes.buffer].data
            if (
                len(averaged.shape) != 4
                or stored is None
                or sorted(np.asarray(stored, np.uint8).view(np.int32)) != [1, 2]
            ):
                continue
            height, width, channels = (int(side) for side in averaged.shape[1:])
            tiled = height % MEAN_TILE == width % MEAN_TILE == channels % 4 == 0
            if tiled and (height, width) != (MEAN_TILE * MEAN_TILES,) * 2:
                found.append(f"MEAN over {height}x{width}x{channels} (operator {position})")
    return tuple(found)


def _python(folder: Path) -> Path:
    return folder / "venv" / "bin" / "python"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _OVERHEAD.search(line.strip())]
    return _in_short(" | ".join(lines[-3:]))


def _in_short(text: str) -> str:
    """Leave out the names that MediaPipe gives the nodes of its graph, and keep what it says at the end."""
    text = re.sub(r"mediapipe_tasks_\w+__(\w+)", r"\1", " ".join(text.split()))
    return text if len(text) <= 500 else f"{text[:150]} ... {text[-345:]}"


def _listed(names: Sequence[str]) -> str:
    return "/".join(name or "(no name)" for name in names)
