"""What all benchmarks share: result files that say where their numbers come from."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Any

import kerafer
from kerafer.files import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
PACKAGES = ("tensorflow", "keras", "tf_keras", "ai-edge-litert", "ai-edge-quantizer", "mtcnn", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of kerafer, Python and the packages that may change a number."""
    packages = {p: importlib.metadata.version(p) for p in PACKAGES}
    return {"kerafer": kerafer.__version__, "python": platform.python_version(), **packages}


def write_result(name: str, values: dict[str, Any]) -> Path:
    """Write `results/NAME.json` with the command, versions and kind of machine beside the values."""
    # paths differ from machine to machine and say nothing: only their last part is kept
    arguments = [a.partition(":")[0] + ":" + Path(a).name if ":" in a else Path(a).name for a in sys.argv[1:]]
    path = RESULTS / f"{name}.json"
    origin = {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments]),
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}, CPU only",
    }
    write_json(path, {**values, **origin})
    print(f"wrote {path.relative_to(ROOT)}")
    return path
