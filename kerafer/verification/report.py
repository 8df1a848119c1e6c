"""What a verification found, as frozen values and as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Parity:
    """How close a file's probabilities are to the Keras model's, on real faces.

    Args:
        faces: how many.
        max_difference: largest difference of a probability.
        mean_difference: mean difference.
        agreement: share of faces with the same best class.
    """

    faces: int
    max_difference: float
    mean_difference: float
    agreement: float


@dataclass(frozen=True)
class GpuRun:
    """What happened on LiteRT's GPU accelerator, compiled for the GPU alone.

    Args:
        status: `"ok"`, `"no device"`, `"refused"`, `"crashed"`, `"wrong numbers"`, or `"not meant for it"`.
        device: name of the Vulkan device.
        max_difference: largest difference of a probability from the same file on the CPU.
        message: the runtime's own words where it failed.
    """

    status: str
    device: str = ""
    max_difference: float | None = None
    message: str = ""


@dataclass(frozen=True)
class FileReport:
    """What was found about one exported file.

    Args:
        name: file name.
        recipe: export recipe.
        bytes: size.
        operators: how often each operator occurs.
        refused: operators and tensors that the GPU runtime does not take, with the reason.
        parity: against the Keras model on the golden faces, or on the split where one was given.
        accuracy: on the split, or None.
        accuracy_change: against the Keras model on the split, or None.
        gpu: the run on the GPU accelerator.
        failures: what is wrong, in sentences; empty for a good file.
    """

    name: str
    recipe: str
    bytes: int
    operators: dict[str, int]
    refused: tuple[str, ...]
    parity: Parity
    accuracy: float | None
    accuracy_change: float | None
    gpu: GpuRun
    failures: tuple[str, ...]


@dataclass(frozen=True)
class VerifyReport:
    """What `kerafer.verify` found about a bundle.

    Args:
        model: registry name.
        faces: what the files were compared on.
        accuracy: of the Keras model on the split, or None.
        failures: what is wrong with the bundle as a whole.
        files: one report per exported file.
    """

    model: str
    faces: str
    accuracy: float | None
    failures: tuple[str, ...]
    files: tuple[FileReport, ...]

    @property
    def passed(self) -> bool:
        """True where nothing at all is wrong."""
        return not self.failures and not any(file.failures for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"passed": self.passed, **asdict(self)}

    def table(self) -> str:
        """Return the report as text for people."""
        heads = ("file", "KB", "max diff", "mean diff", "agree", "accuracy", "change", "GPU operators", "GPU run", "")
        rows = [heads, *(self._row(file) for file in self.files)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        problems = [*self.failures, *(f"{file.name}: {text}" for file in self.files for text in file.failures)]
        title = f"{self.model}: compared with Keras on {self.faces}"
        if self.accuracy is not None:
            title += f", where Keras has accuracy {self.accuracy:.4f}"
        verdict = ["", *(f"FAILED  {problem}" for problem in problems)] if problems else ["", "all files passed"]
        return "\n".join([title, "", *lines, *verdict])

    @staticmethod
    def _row(file: FileReport) -> tuple[str, ...]:
        gpu = file.gpu.status
        if file.gpu.max_difference is not None:
            gpu += f" ({file.gpu.max_difference:.0e} from CPU)"
        return (
            file.name,
            f"{file.bytes / 1000:.0f}",
            f"{file.parity.max_difference:.1e}",
            f"{file.parity.mean_difference:.1e}",
            f"{file.parity.agreement:.1%}",
            "-" if file.accuracy is None else f"{file.accuracy:.4f}",
            "-" if file.accuracy_change is None else f"{file.accuracy_change:+.4f}",
            "all taken" if not file.refused else f"{len(file.refused)} refused",
            gpu,
            "ok" if not file.failures else "FAILED",
        )
