"""The rungs of the ladder by name, cheapest first."""

from __future__ import annotations

from collections.abc import Sequence

from kerafer.verification.browser import WasmRung, WebGpuRung
from kerafer.verification.gpu import GpuRung
from kerafer.verification.ladder import Rung
from kerafer.verification.mediapipe import GlDelegateRung, ImageClassifierRung
from kerafer.verification.other_cpus import Arm64Rung, OldRuntimeRung

CPU = "cpu"
"""The first rung: against Keras on this machine's CPU, with the lint of operators. It is always climbed."""

RUNGS: dict[str, Rung] = {
    rung.name: rung
    for rung in (
        GpuRung("float32"),
        GpuRung("float16"),
        OldRuntimeRung(),
        ImageClassifierRung(),
        GlDelegateRung(),
        WasmRung(),
        WebGpuRung(),
        Arm64Rung(),
    )
}
"""Every rung above the first."""

DEFAULT_RUNGS = ("gpu_float32", "gpu_float16")
"""What `kerafer.verify` climbs unless told otherwise."""


def chosen_rungs(names: Sequence[str]) -> tuple[Rung, ...]:
    """Return rungs by name, in the ladder's order; `"all"` stands for every one.

    Raises:
        ValueError: if a name is unknown.
    """
    wanted = set(RUNGS) if "all" in names else set(names) - {CPU}
    if wanted - set(RUNGS):
        raise ValueError(f"`rungs` must be among {CPU}, {', '.join(RUNGS)}, or all. Received: {sorted(wanted)}")
    return tuple(rung for name, rung in RUNGS.items() if name in wanted)
