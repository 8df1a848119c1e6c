"""Reads what TensorFlow's `benchmark_model` prints, from its first releases to today's, also through `adb logcat`."""

from __future__ import annotations

import re
from typing import Any

from kerafer.benchmarking.report import Delegation, FileBenchmark

# "INFO: ", or what logcat puts before a message in its brief, time and threadtime formats
_LOGCAT = r"^(?:\d\d-\d\d [\d:.]+ +)?(?:\d+ +\d+ +)?"
_TAG = r"[ /]tflite *(?:\( *\d+\))? *: "
_PREFIX = re.compile(rf"{_LOGCAT}(?:(?:INFO|VERBOSE|WARNING|ERROR|FATAL): |[VDIWEF]{_TAG})?")
_SAID_ERROR = re.compile(rf"{_LOGCAT}(?:ERROR: |[EF]{_TAG})")
_NUMBER = r"([0-9.]+(?:e[+-]?[0-9]+)?)"
_TIMINGS = re.compile(
    rf"^Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, Warmup \(avg\): {_NUMBER}, "
    rf"Inference \(avg\): {_NUMBER}"
)
_EARLIEST_TIMINGS = re.compile(
    rf"^Average inference timings in us: Warmup: {_NUMBER}, Init: {_NUMBER}, (?:Inference|no stats): {_NUMBER}"
)
_MEMORY = re.compile(
    r"^(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): "
    rf"init={_NUMBER} overall={_NUMBER}"
)
_REPLACING = re.compile(
    r"^Replacing (\d+) out of (\d+) node\(s\) with delegate \(([^)]+)\) node(?:, yielding (\d+) par)?"
)
_REFUSED_HEAD = "Following operations are not supported by GPU delegate:"
_REFUSED_END = re.compile(r"^\d+ operations will run on the GPU, and the remaining \d+ operations will run on the CPU")
_NODE_TYPE = re.compile(r"^\s*(\S.*?)\s+\d+\s+([\d.]+)\s+[\d.]+%\s+[\d.]+%\s+[\d.]+\s+\d+\s*$")
_WARNINGS = (
    "will be partially executed by the delegate",
    "will not be executed by the delegate",
    "acceleration is unsupported on this platform",
    "delegate is not supported",
)
_STATISTICS = {"avg": "mean", "std": "std", "min": "minimum", "max": "maximum"} | {
    name: name for name in ("p5", "median", "p95")
}
_LAST_WORDS = 3
"""How many of the last lines a failure quotes."""


def parse_output(text: str, **known: Any) -> FileBenchmark:
    r"""Return what `benchmark_model` printed about one file.

    Args:
        text: its standard output and standard error, or the part of logcat that holds them.
        **known: the fields of `FileBenchmark` that the tool does not tell: name, bytes, device, processor, threads.

    Returns:
        Times in milliseconds, memory in megabytes, delegations and warnings; `failure` is set where the tool did not
        come to its end.

    Example:
        >>> said = "count=50 first=902 curr=871 min=852 max=960 avg=880.5 std=20"
        >>> said += "\nInference timings in us: Init: 5012, First inference: 1400, "
        >>> said += "Warmup (avg): 901, Inference (avg): 880.5"
        >>> parse_output(said, name="a.tflite", bytes=1, device="phone", processor="cpu", threads=1).mean
        0.8805
    """
    lines = [line.rstrip("\r") for line in text.splitlines()]
    said = [_PREFIX.sub("", line) for line in lines]
    found: dict[str, Any] = {}
    finished = False
    for line in said:
        if line.startswith("count="):  # first of the warm-up, then of the measured runs
            found |= _statistics(line)
        elif match := _TIMINGS.match(line):
            init, first, warmup, mean = (float(value) / 1000 for value in match.groups())
            found |= {"init": init, "first": first, "warmup": warmup, "mean": mean}
            finished = True
        elif match := _EARLIEST_TIMINGS.match(line):
            warmup, init, mean = (float(value) / 1000 for value in match.groups())
            found |= {"init": init, "warmup": warmup, "mean": mean}
            finished = True
        elif match := _MEMORY.match(line):
            found |= {"memory_init": float(match[1]), "memory": float(match[2])}
    delegations = tuple(
        Delegation(match[3], int(match[1]), int(match[2]), int(match[4]) if match[4] else None)
        for match in map(_REPLACING.match, said)
        if match
    )
    errors = [plain for line, plain in zip(lines, said, strict=True) if _SAID_ERROR.match(line)]
    if not finished:
        last = [line for line in said if line.strip()][-_LAST_WORDS:]
        words = " / ".join(dict.fromkeys([*errors, *last])) or "it printed nothing"
        return FileBenchmark(**known, delegations=delegations, failure=f"benchmark_model did not finish: {words}")
    result = FileBenchmark(**known, **found, delegations=delegations, operators=_operators(said))
    return FileBenchmark(**{**vars(result), "warnings": _warnings(said, errors, result)})


def _statistics(line: str) -> dict[str, Any]:
    """Return the numbers of `count=50 first=... min=... avg=... p95=...`; a single run has but `curr`."""
    pairs = dict(part.split("=", 1) for part in line.split() if "=" in part)
    values = {ours: float(pairs[theirs]) / 1000 for theirs, ours in _STATISTICS.items() if theirs in pairs}
    if "mean" not in values and "curr" in pairs:
        values |= dict.fromkeys(("mean", "minimum", "maximum"), float(pairs["curr"]) / 1000) | {"std": 0.0}
    blank = dict.fromkeys(_STATISTICS.values())
    return {**blank, **values, "runs": int(pairs["count"])}


def _warnings(said: list[str], errors: list[str], result: FileBenchmark) -> tuple[str, ...]:
    """Return what the runtime said about work that went elsewhere, each thing once."""
    found = [line for line in said if any(words in line for words in _WARNINGS)]
    refused: list[str] = []
    listing = False
    for line in said:
        if line == _REFUSED_HEAD:
            listing = True
        elif listing and (_REFUSED_END.match(line) or _REPLACING.match(line)):
            listing = False
            found += [line] if _REFUSED_END.match(line) else []
        elif listing and line.strip():
            refused.append(line.strip())
    if refused:
        found.append("the GPU does not take " + "; ".join(refused))
    found += [line for line in errors if line != _REFUSED_HEAD and line.strip() not in refused and line not in found]
    if not result.on_asked_processor and not found:
        taken = ", ".join(f"{d.delegate} took {d.taken} of {d.nodes} nodes" for d in result.delegations)
        found.append(f"the GPU was asked for, and did not take every node: {taken or 'no delegate was applied'}")
    return tuple(dict.fromkeys(found))


def _operators(said: list[str]) -> dict[str, float]:
    """Return milliseconds by node type, from the profile of the measured runs."""
    starts = [i for i, line in enumerate(said) if line.startswith("Operator-wise Profiling Info for Regular")]
    if not starts:
        return {}
    summary = next((i for i in range(starts[-1], len(said)) if "Summary by node type" in said[i]), len(said))
    found: dict[str, float] = {}
    for line in said[summary + 1 :]:
        if match := _NODE_TYPE.match(line):
            found[match[1]] = float(match[2])
        elif found:
            break
    return found
