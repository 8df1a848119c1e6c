"""The recipes beside each other on one model: size, accuracy, agreement, time and GPU, as a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kerafer.benchmarking import benchmark_here
from kerafer.data.dataset import FaceDataset
from kerafer.exporting.bundle import Bundle
from kerafer.files import write_json
from kerafer.plots import accuracy_against_size
from kerafer.verification import DEFAULT_RUNGS, verify

TABLE_FILE, PICTURE_FILE = "comparison.json", "comparison.png"


@dataclass(frozen=True)
class RecipeRow:
    """What one recipe makes of a model.

    Args:
        recipe: its name.
        bytes: size of the file.
        accuracy: on the split.
        accuracy_change: against the Keras model.
        agreement: share of faces with the Keras model's best class.
        mean_difference: of probabilities, from the Keras model's.
        latency_ratio: typical time on this machine's CPU, over the float32 file's measured in turns with it.
        gpu: status of each rung that was tried, by its name.
        verified: whether `kerafer.verify` found nothing wrong.
        failures: what it found, in sentences.
    """

    recipe: str
    bytes: int
    accuracy: float
    accuracy_change: float
    agreement: float
    mean_difference: float
    latency_ratio: float | None
    gpu: dict[str, str]
    verified: bool
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecipeComparison:
    """Every recipe on one model and one split.

    Args:
        model: registry name.
        faces: what was measured on.
        keras_accuracy: of the float Keras model.
        rows: one for each file of the bundle.
    """

    model: str
    faces: str
    keras_accuracy: float
    rows: tuple[RecipeRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def table(self) -> str:
        """Return the comparison as text for people."""
        heads = ("recipe", "KB", "accuracy", "change", "agreement", "time / float32", "GPU", "verified")
        rows = [heads, *(_cells(row) for row in self.rows)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        wrong = [f"FAILED  {row.recipe}: {text}" for row in self.rows for text in row.failures]
        title = f"{self.model} on {self.faces}; Keras: {self.keras_accuracy:.4f}"
        return "\n".join([title, "", *lines, *([""] if wrong else []), *wrong])


def compare_recipes(
    bundle: Bundle, data: FaceDataset, *, rungs: Sequence[str] = DEFAULT_RUNGS, progress: bool = False
) -> RecipeComparison:
    """Measure every file of a bundle on a split, and leave table and picture in the bundle's folder.

    Args:
        bundle: with one file for each recipe, as `kerafer.quantize` writes it for several.
        data: the split to measure on.
        rungs: GPU rungs to try.
        progress: whether to show progress bars.

    Returns:
        The comparison; also in `comparison.json`, and drawn in `comparison.png`.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.deployment import compare_recipes
        >>> recipes = ("float32", "weight_int8")
        >>> out = tempfile.mkdtemp() + "/ean"
        >>> bundle = kerafer.quantize("ean", recipe=recipes, weights="fer2013", out=out)
        >>> [row.recipe for row in compare_recipes(bundle, synthetic(14), rungs=()).rows]
        ['float32', 'weight_int8']
    """
    report = verify(bundle.folder, data=data, rungs=rungs, progress=progress)
    timed = benchmark_here([bundle.folder / file.name for file in report.files], progress=progress)
    reference = next((f.median for f, r in zip(timed.files, report.files, strict=True) if r.recipe == "float32"), None)
    rows = tuple(
        RecipeRow(
            recipe=file.recipe,
            bytes=file.bytes,
            accuracy=file.accuracy,
            accuracy_change=file.accuracy_change,
            agreement=file.parity.agreement,
            mean_difference=file.parity.mean_difference,
            latency_ratio=None if reference is None else round(measured.median / reference, 3),
            gpu={run.rung: run.status for run in file.rungs},
            verified=not file.failures,
            failures=file.failures,
        )
        for file, measured in zip(report.files, timed.files, strict=True)
    )
    comparison = RecipeComparison(report.model, report.faces, report.accuracy, rows)
    write_json(bundle.folder / TABLE_FILE, comparison.to_dict())
    accuracy_against_size(
        [(row.recipe, row.bytes, row.accuracy) for row in rows],
        bundle.folder / PICTURE_FILE,
        title=f"{bundle.card.title} on {report.faces}",
        reference=report.accuracy,
    )
    return comparison


def _cells(row: RecipeRow) -> tuple[str, ...]:
    tried = set(row.gpu.values()) - {"not meant for it"}
    gpu = "yes" if tried == {"ok"} else ", ".join(sorted(tried)) or ("no" if row.gpu else "-")
    return (
        row.recipe,
        f"{row.bytes / 1000:.0f}",
        f"{row.accuracy:.4f}",
        f"{row.accuracy_change:+.4f}",
        f"{row.agreement:.1%}",
        "-" if row.latency_ratio is None else f"{row.latency_ratio:.2f}",
        gpu,
        "ok" if row.verified else "FAILED",
    )
