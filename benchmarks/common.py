"""What all benchmarks share: result files that say where their numbers come from."""

from __future__ import annotations

import csv
import io
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import kerafer
from kerafer.files import replacing, write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
PACKAGES = ("tensorflow", "keras", "tf_keras", "ai-edge-litert", "ai-edge-quantizer", "mtcnn", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of kerafer, Python and the packages that may change a number, those that are installed."""
    from kerafer.training.record import installed_versions

    return {"kerafer": kerafer.__version__, "python": platform.python_version(), **installed_versions(PACKAGES)}


def machine() -> str:
    """Return the kind of machine, and the accelerator that Keras uses on JAX."""
    import keras

    accelerator = "CPU only"
    if keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":
            accelerator = jax.devices()[0].device_kind
    return f"{platform.system()} {platform.machine()}, {accelerator}"


def write_result(name: str, values: dict[str, Any]) -> Path:
    """Write `results/NAME.json` with the command, versions and kind of machine beside the values."""
    # paths differ from machine to machine and say nothing: only their last part is kept
    arguments = [a.partition(":")[0] + ":" + Path(a).name if ":" in a else Path(a).name for a in sys.argv[1:]]
    path = RESULTS / f"{name}.json"
    origin = {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments]),
        "versions": versions(),
        "machine": machine(),
    }
    write_json(path, {**values, **origin})
    print(f"wrote {path.relative_to(ROOT)}")
    return path


def origin(command: str) -> str:
    """Return the first lines of a table: what wrote it, and with which versions."""
    return f"# command: {command}\n# versions: {', '.join(f'{package} {v}' for package, v in versions().items())}\n"


def write_table(
    name: str, fields: Sequence[str], rows: Iterable[Mapping[str, Any]], *, command: str, about: str = ""
) -> Path:
    """Write `results/NAME.csv`, whole or not at all, with command and versions in its first lines."""
    text = io.StringIO()
    text.write(origin(command) + (f"# data: {about}\n" if about else ""))
    writer = csv.DictWriter(text, fields, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = RESULTS / f"{name}.csv"
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")
    return path


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of `results/NAME.csv`."""
    with open(RESULTS / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))
