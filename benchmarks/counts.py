"""Count every network that a paper printed figures about, and write ours beside theirs into results/counts.csv.

python -m benchmarks.counts [--check]
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import os
import platform
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import kerafer
from kerafer.files import replacing
from kerafer.published import CELLS, MEBI, MILLION, Cell, as_printed, measure, verdict

PATH = Path(__file__).resolve().parents[1] / "results" / "counts.csv"
COLUMNS = (
    "paper",
    "table",
    "row",
    "model",
    "input",
    "options",
    "quantity",
    "ruler",
    "unit",
    "printed",
    "ours",
    "ours_in_unit",
    "counted_elsewhere",
    "verdict",
)
UNITS = {1: "", MILLION: "M", MEBI: "MiB"}


def row(cell: Cell) -> dict[str, str]:
    """Return a cell and what is measured in its place, as the file has them."""
    value = measure(cell)
    shape = cell.input_shape or (kerafer.model_spec(cell.model).input_shape if cell.model else ())
    options = {**cell.options, **({"unseen": " ".join(cell.unseen)} if cell.unseen else {})}
    values = (
        cell.paper,
        cell.table,
        cell.row,
        cell.model or "",
        "x".join(map(str, shape)),
        "; ".join(f"{name}={option}" for name, option in options.items()),
        cell.quantity,
        cell.ruler,
        UNITS[cell.unit],
        cell.printed,
        "" if value is None else str(value),
        "" if value is None else as_printed(cell, value),
        "" if cell.counted is None else str(cell.counted),
        verdict(cell, value),
    )
    return dict(zip(COLUMNS, values, strict=True))


def measured() -> list[dict[str, str]]:
    """Return all rows, measured now."""
    return [row(cell) for cell in CELLS]


def written() -> list[dict[str, str]]:
    """Return the rows of the file."""
    with open(PATH, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def write(rows: list[dict[str, str]]) -> None:
    """Write the file: where it comes from in lines of their own, then the rows."""
    packages = {p: importlib.metadata.version(p) for p in ("tensorflow", "keras")}
    versions = {"kerafer": kerafer.__version__, "python": platform.python_version(), **packages}
    text = io.StringIO()
    text.write("# command: python -m benchmarks.counts\n")
    text.write(f"# versions: {', '.join(f'{name} {version}' for name, version in versions.items())}\n")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with replacing(PATH) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def main() -> int:
    """Write the file, or check that it holds what is measured now."""
    rows = measured()
    if "--check" in sys.argv:
        if rows != written():
            print(f"results/{PATH.name} is not what is measured: run `python -m benchmarks.counts`", file=sys.stderr)
        return int(rows != written())
    write(rows)
    print(f"wrote results/{PATH.name}: {len(rows)} figures, {sum(r['verdict'] == 'differs' for r in rows)} differ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
