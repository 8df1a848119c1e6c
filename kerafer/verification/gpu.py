"""Run a `.tflite` file on LiteRT's GPU accelerator, compiled for the GPU alone, and compare numbers.

Compiled for GPU or CPU, LiteRT calls even models accelerated that the GPU refuses; and some operators compile and
give zeros, or end the process. So the run happens in a process of its own, its messages are read, and its outputs are
compared with the CPU's. A software Vulkan device is enough to prove operators, kernels and numbers: SwiftShader
(`make swiftshader`) in float32; lavapipe (`make lavapipe`) also in float16, the arithmetic of most phones, where
whatever exceeds 65504 is infinite. Neither proves anything about the speed or the drivers of a phone.

    python -m kerafer.verification.gpu MODEL.tflite INPUTS.npy OUTPUTS.npy [float32 | float16]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kerafer.quantization.recipes import ExportRecipe
from kerafer.runtime import LiteRTRunner
from kerafer.verification.ladder import Job, how_to_fetch, tool_folder
from kerafer.verification.report import RungRun

if TYPE_CHECKING:
    from ai_edge_litert.compiled_model import CompiledModel

TOLERANCES = {"float32": 1e-4, "float16": 2e-2}
"""Precision of the arithmetic, and how far outputs may then stray from the CPU's."""

FLOAT16_MAX = 65504
FLOAT16_DEVICE, FLOAT32_DEVICE = "lavapipe", "swiftshader"
"""Tools whose folders hold a software device; the second is used where the environment names no other."""

TIMEOUT_SECONDS = 600
ATTEMPTS = 5
"""The runtime gives up on a device after 120 s; a file that it has given up this often is refused."""

# What LiteRT and Dawn say where there is no Vulkan loader or no device behind it.
_NO_DEVICE = re.compile(r"No adapters found|Couldn.t load Vulkan|[Ff]ailed to (?:request|get) (?:an )?adapter")
# What Dawn says of a call that a device cannot carry out; the first names the cause, and the rest follow from it.
_INVALID = re.compile(r"Validation error: (.{1,300})")
# Accelerators that LiteRT looks for in vain on every start.
_NOISE = re.compile(r"npu_registry|compiler_plugin|gpu_registry|OpenVino|^Traceback|^└")


@dataclass(frozen=True)
class VulkanDevice:
    """A software Vulkan device in a folder of its own, as `make swiftshader` and `make lavapipe` fetch one.

    Args:
        folder: its `lib` holds the Vulkan loader, the driver with what it needs, and the JSON file that names it.
    """

    folder: Path

    @classmethod
    def fetched(cls, precision: str) -> VulkanDevice | None:
        """Return the software device for a precision, or None where none was fetched or the machine names its own."""
        if precision == "float32" and os.environ.get("VK_ICD_FILENAMES"):
            return None
        folder = tool_folder(FLOAT16_DEVICE if precision == "float16" else FLOAT32_DEVICE)
        return folder and cls(folder)

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which a process finds this device and no other.

        Raises:
            FileNotFoundError: if the folder holds no device.
        """
        libraries = self.folder.resolve() / "lib"
        found = sorted(libraries.glob("*icd*.json"))
        if len(found) != 1:
            raise FileNotFoundError(f"{libraries} must hold one Vulkan device (*icd*.json). Run `make lavapipe`.")
        search = [str(libraries), os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            "LD_LIBRARY_PATH": os.pathsep.join(p for p in search if p),
            "VK_ICD_FILENAMES": str(found[0]),
            "MESA_SHADER_CACHE_DIR": str(self.folder.resolve() / "shaders"),
        }


def run_on_gpu(
    path: str | Path,
    inputs: np.ndarray,
    *,
    precision: str = "float32",
    device: VulkanDevice | None = None,
    tolerance: float | None = None,
) -> RungRun:
    """Compile a file for the GPU alone, run it, and compare with the CPU.

    Args:
        path: a float32 or float16 `.tflite` file.
        inputs: (n, height, width, 3) float32.
        precision: arithmetic on the GPU, `"float32"` or `"float16"`. The CPU always computes in float32.
        device: where to run; None for the software device that was fetched for this precision, and in float32 for
            whatever the machine offers before that. Another one may have no float16, and would prove nothing in it.
        tolerance: how far outputs may stray from the CPU's; None for `TOLERANCES`, meant for probabilities.

    Returns:
        What happened; a missing device is a status, not an error.

    Raises:
        ValueError: if the precision is unknown.
        FileNotFoundError: if the device's folder holds none.
    """
    if precision not in TOLERANCES:
        raise ValueError(f"`precision` must be one of {', '.join(TOLERANCES)}. Received: precision={precision!r}")
    tolerance = TOLERANCES[precision] if tolerance is None else tolerance
    rung = f"gpu_{precision}"
    device = device or VulkanDevice.fetched(precision)
    if precision == "float16" and device is None:
        return RungRun(rung, "cannot run", message=f"no device with float16: {how_to_fetch(FLOAT16_DEVICE)}")
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "inputs.npy", Path(folder) / "outputs.npy"
        np.save(given, np.ascontiguousarray(inputs, np.float32))
        command = [sys.executable, "-m", "kerafer.verification.gpu", str(path), str(given), str(made), precision]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        if device is not None:
            environment |= device.environment()
        try:
            ran = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_SECONDS,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return RungRun(rung, "crashed", message=f"no answer within {TIMEOUT_SECONDS} s")
        words = _last_words(ran.stderr)
        name = _device_name(ran.stdout + ran.stderr)
        if ran.returncode and _NO_DEVICE.search(ran.stderr):
            return RungRun(rung, "cannot run", message=f"{words}: {how_to_fetch(FLOAT32_DEVICE)}")
        if ran.returncode < 0:
            return RungRun(rung, "crashed", name, message=f"ended by signal {-ran.returncode}; {words}")
        if ran.returncode or not made.is_file():
            return RungRun(rung, "refused", name, message=words)
        outputs = np.load(made, allow_pickle=False)
    expected = LiteRTRunner(path).predict(inputs)
    finite = bool(np.isfinite(outputs).all())
    difference = float(np.max(np.abs(outputs - expected)))
    if invalid := _INVALID.search(ran.stderr):  # the runtime goes on with what is left, and says nothing itself
        return RungRun(rung, "wrong numbers", name, difference if finite else None, invalid.group(1))
    if not finite:
        words = "outputs are not finite"
        if precision == "float16":
            words += f": a value overflows beyond {FLOAT16_MAX}, the largest float16"
        return RungRun(rung, "wrong numbers", name, message=words)
    return RungRun(rung, "ok" if difference <= tolerance else "wrong numbers", name, difference)


class GpuRung:
    """LiteRT's GPU accelerator, compiled for the GPU alone.

    Args:
        precision: `"float32"` or `"float16"`.
    """

    def __init__(self, precision: str) -> None:
        self.precision, self.name = precision, f"gpu_{precision}"
        self.proves = f"operators, kernels and numbers of LiteRT's GPU accelerator in {precision}"

    def missing(self) -> str:
        """Return what is missing; in float32 only trying tells."""
        if self.precision == "float16" and VulkanDevice.fetched("float16") is None:
            return f"no device with float16: {how_to_fetch(FLOAT16_DEVICE)}"
        return ""

    def unfit(self, recipe: ExportRecipe) -> str:
        """Return why a recipe's files are not meant for the GPU."""
        return "" if recipe.runs_on_gpu else "integer arithmetic is for CPUs; the GPU runtime takes float files"

    def run(self, jobs: Sequence[Job]) -> list[RungRun]:
        """Run each file in a process of its own."""
        tolerance, rounds = TOLERANCES[self.precision], self.precision == "float16"
        return [
            run_on_gpu(
                job.path,
                job.inputs,
                precision=self.precision,
                tolerance=tolerance * job.slack if rounds else tolerance,
            )
            for job in jobs
        ]


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.search(line.strip())]
    told = [line for line in lines if re.search(r"error|fail|supported|warning: couldn", line, re.IGNORECASE)]
    return " | ".join((told or lines)[-3:])[:500]


def _device_name(text: str) -> str:
    found = re.search(r"Selected adapter: (.+?)(?:, arch=|$)", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _answers(compiled: CompiledModel, x: np.ndarray, classes: int) -> np.ndarray:
    """Run picture after picture, and wait for a device longer than the runtime does."""
    given, made = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    rows: list[np.ndarray] = []
    given_up = []  # outputs that the device may still write to
    while len(rows) < len(x):
        given[0].write(np.ascontiguousarray(x[len(rows)][None]))
        compiled.run_by_index(0, given, made)
        try:
            rows.append(made[0].read(classes, np.float32).reshape(-1).copy())
        except RuntimeError:  # at the first call a slow machine compiles shaders for longer than the runtime waits
            given_up.append(made)
            if len(given_up) == ATTEMPTS:
                raise
            made = compiled.create_output_buffers(0)  # one that was waited for in vain stays locked
    return np.stack(rows)  # (n, classes)


def main(model: str, inputs: str, outputs: str, precision: str = "float32") -> int:
    """Run in a process of its own; see `run_on_gpu`."""
    from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, Options
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    x = np.load(inputs, allow_pickle=False)
    # left to itself, the runtime computes in float16 wherever the device can
    gpu_options = GpuOptions(enforce_f32=precision == "float32")
    options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=gpu_options)
    compiled = CompiledModel.from_file(model, options=options)
    np.save(outputs, _answers(compiled, x, int(LiteRTRunner(model).output["shape"][1])))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
