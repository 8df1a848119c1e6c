"""Latency on this machine: LiteRT's CPU interpreter, wall-clock.

It compares files with one another under equal conditions. It says nothing about a phone.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.benchmarking.report import BenchmarkReport, FileBenchmark, with_ratios
from kerafer.runtime import LiteRTRunner

ROUNDS = 10
"""The files take turns this often, so that a machine that slows down slows all of them."""


def benchmark_here(
    files: Sequence[str | Path],
    *,
    threads: int = 1,
    runs: int = 200,
    warmup: int = 20,
    reference: str | None = None,
    progress: bool = False,
) -> BenchmarkReport:
    """Measure `.tflite` files with LiteRT's CPU interpreter on this machine.

    Each inference is timed by itself, without loading the input. The files take turns in ten rounds.

    Args:
        files: paths of the files.
        threads: CPU threads of the interpreter.
        runs: measured inferences of each file.
        warmup: inferences of each file before them.
        reference: name of the file that ratios refer to; the first by default.
        progress: show a progress bar.

    Returns:
        Times in milliseconds.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a number is not positive, a file cannot be run, or `reference` is none of the files.

    Example:
        >>> from kerafer.benchmarking import benchmark_here
        >>> benchmark_here([], threads=0)
        Traceback (most recent call last):
        ValueError: `threads` must be a positive integer. Received: 0
    """
    from tqdm import tqdm

    for name, value in {"threads": threads, "runs": runs, "warmup": warmup}.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be a positive integer. Received: {value!r}")
    if not files:
        raise ValueError("`files` must name one or more .tflite files. Received: none")
    paths = [Path(file) for file in files]
    LiteRTRunner(paths[0], threads=threads)  # the first start of all loads LiteRT itself, which is no file's own
    started = []  # interpreter, and what its start took
    for path in paths:
        before = time.perf_counter()
        runner = LiteRTRunner(path, threads=threads)
        init = time.perf_counter() - before
        runner.interpreter.set_tensor(runner.input["index"], _noise(runner.input))
        started.append((runner.interpreter, init))
    with tqdm(total=(warmup + runs) * len(paths), unit="run", disable=not progress, leave=False) as bar:
        warm = [_timed(interpreter, warmup, bar) for interpreter, _ in started]
        measured: list[list[float]] = [[] for _ in paths]
        for share in np.array_split(np.arange(runs), min(ROUNDS, runs)):
            for times, (interpreter, _) in zip(measured, started, strict=True):
                times.extend(_timed(interpreter, len(share), bar))
    device = f"this machine ({_processor()})"
    found = tuple(
        _summed(path, device, threads, init, before, times)
        for path, (_, init), before, times in zip(paths, started, warm, measured, strict=True)
    )
    return BenchmarkReport(with_ratios(found, reference), "LiteRT's CPU interpreter, wall-clock")


def _timed(interpreter: Any, count: int, bar: Any) -> list[float]:
    """Return the seconds of each of some inferences."""
    times = []
    for _ in range(count):
        before = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - before)
    bar.update(count)
    return times


def _noise(detail: dict[str, Any]) -> np.ndarray:
    values = np.random.default_rng(0).random(detail["shape"], np.float32)
    if detail["dtype"] == np.float32:
        return values
    limits = np.iinfo(detail["dtype"])
    return (values * (float(limits.max) - limits.min) + limits.min).astype(detail["dtype"])


def _summed(
    path: Path, device: str, threads: int, init: float, warmup: list[float], times: list[float]
) -> FileBenchmark:
    milliseconds = np.array(times) * 1000
    p5, q1, median, q3, p95 = (float(v) for v in np.percentile(milliseconds, (5, 25, 50, 75, 95)))
    return FileBenchmark(
        name=path.name,
        bytes=path.stat().st_size,
        device=device,
        processor="cpu",
        threads=threads,
        runs=len(times),
        mean=float(milliseconds.mean()),
        std=float(milliseconds.std()),
        minimum=float(milliseconds.min()),
        p5=p5,
        q1=q1,
        median=median,
        q3=q3,
        p95=p95,
        maximum=float(milliseconds.max()),
        init=init * 1000,
        first=warmup[0] * 1000,
        warmup=float(np.mean(warmup)) * 1000,
    )


def _processor() -> str:
    """Return the processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
