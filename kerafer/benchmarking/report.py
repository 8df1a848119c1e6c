"""What a benchmark measured, as frozen values and as one table for this machine and for phones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Delegation:
    """Which share of a file's nodes a delegate, such as the GPU's, took over.

    Args:
        delegate: its name in the runtime, such as `"TfLiteGpuDelegateV2"`.
        taken: nodes that it runs.
        nodes: nodes there were.
        partitions: pieces that its share fell into; each border costs a copy.
    """

    delegate: str
    taken: int
    nodes: int
    partitions: int | None = None


@dataclass(frozen=True)
class FileBenchmark:
    """What one file took on one device; times in milliseconds, None where the tool did not tell.

    Args:
        name: file name.
        bytes: its size.
        device: what it ran on.
        processor: `"cpu"` or `"gpu"`: what was asked for; `delegations` tell what was given.
        threads: CPU threads.
        runs: measured inferences, after the warm-up.
        mean: of them.
        std: their standard deviation.
        minimum: the shortest.
        p5: 5th percentile.
        q1: first quartile.
        median: the middle one.
        q3: third quartile.
        p95: 95th percentile.
        maximum: the longest.
        init: loading the file and preparing the runtime.
        first: the first inference, of the warm-up.
        warmup: mean of the warm-up.
        memory_init: megabytes that the process grew by in `init`.
        memory: megabytes that it grew by altogether.
        ratio: typical time (median, else mean) over the reference file's, measured in the same session.
        delegations: what delegates took over, in the order in which they were applied.
        operators: milliseconds by kind of operator, where the tool profiled them.
        warnings: what the runtime said about work that did not go where it was asked to.
        failure: why there are no times; empty for a good run.
    """

    name: str
    bytes: int
    device: str
    processor: str
    threads: int
    runs: int = 0
    mean: float | None = None
    std: float | None = None
    minimum: float | None = None
    p5: float | None = None
    q1: float | None = None
    median: float | None = None
    q3: float | None = None
    p95: float | None = None
    maximum: float | None = None
    init: float | None = None
    first: float | None = None
    warmup: float | None = None
    memory_init: float | None = None
    memory: float | None = None
    ratio: float | None = None
    delegations: tuple[Delegation, ...] = ()
    operators: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    failure: str = ""

    @property
    def typical(self) -> float | None:
        """The median, or the mean where an old tool tells no median."""
        return self.mean if self.median is None else self.median

    @property
    def on_asked_processor(self) -> bool:
        """True unless the GPU was asked for and did not take every node."""
        if self.processor != "gpu":
            return True
        return any("gpu" in d.delegate.lower() and d.taken == d.nodes for d in self.delegations)


@dataclass(frozen=True)
class BenchmarkReport:
    """What a benchmark of one or more files measured.

    Args:
        files: one entry a file, in the order given.
        method: how it was measured, in one sentence.
    """

    files: tuple[FileBenchmark, ...]
    method: str

    @property
    def passed(self) -> bool:
        """True where every file ran, and on the processor that was asked for."""
        return all(not file.failure and file.on_asked_processor for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"passed": self.passed, **asdict(self)}

    def table(self) -> str:
        """Return the report as text for people; "middle" is between the quartiles, or the 5th and 95th percentile."""
        heads = (
            "file",
            "KB",
            "runs",
            "median",
            "middle",
            "mean",
            "std",
            "min",
            "max",
            "init",
            "first",
            "MB",
            "delegated",
        )
        rows = [(*heads, "ratio"), *(_row(file) for file in self.files)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        devices = dict.fromkeys(
            f"{f.device}: {f.processor.upper()}, {_counted(f.threads, 'thread')}" for f in self.files
        )
        notes = [f"FAILED   {file.name}: {file.failure}" for file in self.files if file.failure]
        notes += [f"WARNING  {file.name}: {text}" for file in self.files for text in file.warnings]
        return "\n".join(
            [*devices, f"{self.method}; times in milliseconds", "", *lines, *([""] if notes else []), *notes]
        )


def with_ratios(files: tuple[FileBenchmark, ...], reference: str | None = None) -> tuple[FileBenchmark, ...]:
    """Return the files with their ratios to one of them, by default the first; one alone gets none.

    Raises:
        ValueError: if no file has the reference's name.
    """
    names = [file.name for file in files]
    if reference is not None and reference not in names:
        raise ValueError(f"`reference` must be one of the files, {', '.join(names)}. Received: {reference!r}")
    if len(files) < 2:
        return files
    base = files[names.index(reference) if reference else 0].typical
    if not base:
        return files
    return tuple(replace(f, ratio=None if f.typical is None else f.typical / base) for f in files)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _row(file: FileBenchmark) -> tuple[str, ...]:
    def shown(value: float | None, form: str = ".3f") -> str:
        return "-" if value is None else format(value, form)

    low, high = (file.q1, file.q3) if file.q1 is not None else (file.p5, file.p95)
    return (
        file.name,
        f"{file.bytes / 1000:.0f}",
        str(file.runs) if file.runs else "-",
        shown(file.median),
        "-" if low is None else f"{shown(low)} to {shown(high)}",
        shown(file.mean),
        shown(file.std),
        shown(file.minimum),
        shown(file.maximum),
        shown(file.init, ".1f"),
        shown(file.first, ".2f"),
        shown(file.memory, ".1f"),
        ", ".join(f"{d.taken} of {d.nodes} {d.delegate}" for d in file.delegations) or "-",
        shown(file.ratio, ".2f"),
    )
