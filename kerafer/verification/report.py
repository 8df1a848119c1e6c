"""What a verification found, as frozen values and as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
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
class RungRun:
    """What happened to a file on one rung of the ladder.

    Args:
        rung: name of the rung.
        status: `"ok"`, `"cannot run"` (something is missing here), `"refused"` (the runtime does not take the file),
            `"crashed"`, `"wrong numbers"`, or `"not meant for it"`.
        device: what it ran on, with its version.
        max_difference: largest difference of a probability from the same file on the CPU.
        message: why it failed, could not run or is not meant; the runtime's own words where it said any.
    """

    rung: str
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
        parity: against the Keras model; None where the file cannot be run.
        accuracy: on the split, or None.
        accuracy_change: against the Keras model on the split, or None.
        rungs: what happened on each rung of the ladder above this machine's CPU.
        failures: what is wrong, in sentences; empty for a good file.
    """

    name: str
    recipe: str
    bytes: int
    operators: dict[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    parity: Parity | None = None
    accuracy: float | None = None
    accuracy_change: float | None = None
    rungs: tuple[RungRun, ...] = ()
    failures: tuple[str, ...] = ()

    def run(self, rung: str) -> RungRun | None:
        """Return what happened on a rung, or None where it was not climbed."""
        return next((run for run in self.rungs if run.rung == rung), None)


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
        """Return the report as text for people; "off the GPU" counts operators that the GPU runtime does not take."""
        climbed = list(dict.fromkeys(run.rung for file in self.files for run in file.rungs))
        heads = ("file", "KB", "max diff", "mean diff", "agree", "accuracy", "change", "off the GPU", *climbed, "")
        rows = [heads, *(self._row(file, climbed) for file in self.files)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        problems = [*self.failures, *(f"{file.name}: {text}" for file in self.files for text in file.failures)]
        title = f"{self.model}: compared with Keras on {self.faces}"
        if self.accuracy is not None:
            title += f", where Keras has accuracy {self.accuracy:.4f}"
        left_out = {
            f"{run.rung} cannot run: {run.message}"
            for file in self.files
            for run in file.rungs
            if run.status == "cannot run"
        }
        ends = [*sorted(left_out), *(f"FAILED  {problem}" for problem in problems)]
        if not problems:
            ends.append("all files passed" if not left_out else "all files passed what could be run")
        return "\n".join([title, "", *lines, "", *ends])

    @staticmethod
    def _row(file: FileReport, climbed: list[str]) -> tuple[str, ...]:
        def shown(value: float | None, form: str) -> str:
            return "-" if value is None else format(value, form)

        def told(run: RungRun | None) -> str:
            if run is None or run.status == "not meant for it":
                return "-"
            exact = {None: "", 0.0: " (equal)"}
            return run.status + exact.get(run.max_difference, f" ({run.max_difference or 0:.0e})")

        parity = file.parity
        return (
            file.name,
            f"{file.bytes / 1000:.0f}",
            shown(parity and parity.max_difference, ".1e"),
            shown(parity and parity.mean_difference, ".1e"),
            shown(parity and parity.agreement, ".1%"),
            shown(file.accuracy, ".4f"),
            shown(file.accuracy_change, "+.4f"),
            f"{len({reason.partition(':')[0] for reason in file.refused})} of {sum(file.operators.values())}",
            *(told(file.run(rung)) for rung in climbed),
            "ok" if not file.failures else "FAILED",
        )
