"""Run a `.tflite` file on LiteRT's GPU accelerator, compiled for the GPU alone, and compare numbers.

Compiled for GPU or CPU, LiteRT calls even models accelerated that the GPU refuses; and some operators compile and
give zeros, or end the process. So the run happens in a process of its own, its messages are read, and its outputs are
compared with the CPU's. A software Vulkan device (SwiftShader, `make swiftshader`) is enough to prove operators,
kernels and numbers; it proves nothing about the speed or the drivers of a phone.

    python -m kerafer.verification.gpu MODEL.tflite INPUTS.npy OUTPUTS.npy
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from kerafer.runtime import LiteRTRunner
from kerafer.verification.report import GpuRun

TOLERANCE = 1e-4
TIMEOUT_SECONDS = 300

# What LiteRT and Dawn say where there is no Vulkan loader or no device behind it.
_NO_DEVICE = re.compile(r"No adapters found|Couldn.t load Vulkan|[Ff]ailed to (?:request|get) (?:an )?adapter")
# Accelerators that LiteRT looks for in vain on every start.
_NOISE = re.compile(r"npu_registry|compiler_plugin|gpu_registry|OpenVino|^Traceback|^└")


def run_on_gpu(path: str | Path, inputs: np.ndarray) -> GpuRun:
    """Compile a file for the GPU alone, run it, and compare with the CPU.

    Args:
        path: a float32 or float16 `.tflite` file.
        inputs: (n, height, width, 3) float32.

    Returns:
        What happened; a missing device is a status, not an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "inputs.npy", Path(folder) / "outputs.npy"
        np.save(given, np.ascontiguousarray(inputs, np.float32))
        command = [sys.executable, "-m", "kerafer.verification.gpu", str(path), str(given), str(made)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
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
            return GpuRun("crashed", message=f"no answer within {TIMEOUT_SECONDS} s")
        words = _last_words(ran.stderr)
        device = _device(ran.stdout + ran.stderr)
        if ran.returncode and _NO_DEVICE.search(ran.stderr):
            return GpuRun("no device", message=words)
        if ran.returncode < 0:
            return GpuRun("crashed", device, message=f"ended by signal {-ran.returncode}; {words}")
        if ran.returncode or not made.is_file():
            return GpuRun("refused", device, message=words)
        outputs = np.load(made, allow_pickle=False)
    expected = LiteRTRunner(path).predict(inputs)
    difference = float(np.max(np.abs(outputs - expected))) if np.isfinite(outputs).all() else float("inf")
    if "Validation error" in ran.stderr:
        return GpuRun("wrong numbers", device, difference, "the driver reported a validation error")
    return GpuRun("ok" if difference <= TOLERANCE else "wrong numbers", device, difference)


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.search(line.strip())]
    told = [line for line in lines if re.search(r"error|fail|supported|warning: couldn", line, re.IGNORECASE)]
    return " | ".join((told or lines)[-3:])[:500]


def _device(text: str) -> str:
    found = re.search(r"Selected adapter: ([^,\n]+)", text)
    return found.group(1).strip() if found else ""


def main(model: str, inputs: str, outputs: str) -> int:
    """Run in a process of its own; see `run_on_gpu`."""
    from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, Options
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    x = np.load(inputs, allow_pickle=False)
    # float32 arithmetic: a software device has no other, and the comparison is then exact
    options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=GpuOptions(enforce_f32=True))
    compiled = CompiledModel.from_file(model, options=options)
    given, made = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    classes = LiteRTRunner(model).output["shape"][1]
    rows = []
    for picture in x:
        given[0].write(np.ascontiguousarray(picture[None]))
        compiled.run_by_index(0, given, made)
        rows.append(made[0].read(int(classes), np.float32).reshape(-1).copy())
    np.save(outputs, np.stack(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
