"""Verify a bundle: checksums, numbers, operators, metadata, and runs on every runtime that can be had here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kerafer.data.dataset import FaceDataset
from kerafer.data.samples import portrait_faces
from kerafer.exporting.bundle import LABELS_FILE, MODEL_FILE, Bundle, contract_of, read_golden
from kerafer.files import inside, sha256
from kerafer.litert.metadata import read_metadata
from kerafer.loading import load_model
from kerafer.preprocess import Preprocessing
from kerafer.quantization.recipes import ExportRecipe, export_recipe
from kerafer.runtime import LiteRTRunner
from kerafer.verification.ladder import Job, Rung
from kerafer.verification.oplint import OperatorReport, inspect_operators
from kerafer.verification.report import FileReport, Parity, RungRun, VerifyReport
from kerafer.verification.rungs import DEFAULT_RUNGS, chosen_rungs

FACES = 64
RUNG_FACES = 4
GOLDEN_TOLERANCE = {"float32": 1e-4, "uint8": 1 / 128}
"""How far outputs may stray from the recorded ones on another machine: rounding for floats, two steps for uint8."""

MAX_MEAN_STEPS, MIN_STEP_AGREEMENT = 2.0, 0.99
"""How far an integer file may stray from the fine-tuned model that it was made of, in steps of its outputs."""


def verify(
    folder: str | Path,
    *,
    data: FaceDataset | None = None,
    rungs: Sequence[str] = DEFAULT_RUNGS,
    require: bool = False,
    slack: float = 1.0,
    progress: bool = False,
) -> VerifyReport:
    """Verify every exported file of a bundle against its Keras model, and on the rungs of the ladder.

    Args:
        folder: the bundle.
        data: a split to compare and measure accuracy on; without it, varied crops of matplotlib's portrait are used.
        rungs: runtimes beyond this machine's CPU, keys of `kerafer.verification.RUNGS`, or `"all"`.
        require: whether it is a failure that a rung cannot be climbed here.
        slack: how many times as far from Keras and from this CPU outputs may be as the recipes and rungs say, where it
            is rounding that sets them apart. Networks that nobody trained magnify it several times as much as trained
            ones.
        progress: whether to show a progress bar.

    Returns:
        A frozen report; `report.passed` is the verdict.

    Raises:
        FileNotFoundError: if the folder holds no bundle.
        ValueError: if the card or the Keras model cannot be read, or a rung is unknown.

    Example:
        >>> import tempfile, kerafer
        >>> folder = tempfile.mkdtemp() + "/ean"
        >>> bundle = kerafer.export("ean", folder, weights="fer2013", recipes=("float32",))
        >>> kerafer.verify(folder, rungs=()).passed
        True
    """
    bundle = Bundle.open(folder)
    climbed = chosen_rungs(rungs)
    failures = _bundle_failures(bundle)
    keras_model = load_model(bundle.folder / MODEL_FILE)
    faces = _Faces(bundle, data)
    expected = keras_model.runner.predict(faces.inputs(bundle.card.preprocessing))
    golden_pixels, golden = read_golden(bundle)
    recorded = golden.get(MODEL_FILE)
    found = keras_model.runner.predict(bundle.card.preprocessing.scale(golden_pixels))
    if recorded is None or _far(found, recorded, "float32"):
        failures.append(f"{MODEL_FILE} does not give the probabilities recorded in the bundle")
    steps = len(bundle.tflite_files) + len(climbed)
    with tqdm(total=steps, desc="verify", unit="check", disable=not progress) as bar:
        reports, jobs = [], []
        for name in bundle.tflite_files:
            report, job = _verify_file(bundle, name, faces, expected, golden_pixels, golden.get(name), slack)
            reports.append(report)
            jobs.append(job)
            bar.update()
        for rung in climbed:
            bar.set_postfix_str(rung.name)
            reports = [_with_run(report, run, require) for report, run in zip(reports, climb(rung, jobs), strict=True)]
            bar.update()
    accuracy = None if faces.labels is None else _accuracy(expected, faces.labels)
    return VerifyReport(bundle.card.model, faces.told, accuracy, tuple(failures), tuple(reports))


def climb(rung: Rung, jobs: Sequence[Job | None]) -> list[RungRun | None]:
    """Run files on one rung; each gets its verdict, whether the rung could be climbed or not.

    Args:
        rung: of `kerafer.verification.RUNGS`.
        jobs: the files with inputs and outputs; None for one that does not even run here.

    Returns:
        What happened to each file, in order; None for None.
    """
    missing = rung.missing()
    runs: list[RungRun | None] = []
    fit = []
    for number, job in enumerate(jobs):
        runs.append(None)
        if job is None:
            continue
        unfit = rung.unfit(job.recipe)
        if unfit:
            runs[number] = RungRun(rung.name, "not meant for it", message=unfit)
        elif missing:
            runs[number] = RungRun(rung.name, "cannot run", message=missing)
        else:
            fit.append(number)
    if fit:
        for number, run in zip(fit, rung.run([jobs[n] for n in fit]), strict=True):
            runs[number] = run
    return runs


@dataclass(eq=False)
class _Faces:
    """The faces that files are compared on, scaled as each file wants them; one array at a time is kept."""

    bundle: Bundle
    data: FaceDataset | None

    def __post_init__(self) -> None:
        contract = self.bundle.card.preprocessing
        self._kept: tuple[Preprocessing, np.ndarray] | None = None
        if self.data is None:
            self.pixels = portrait_faces(contract, FACES, seed=2)
            self.labels, self.told = None, f"{FACES} crops of matplotlib's sample portrait"
        else:
            first = self.data.inputs(contract.camera(), np.arange(min(RUNG_FACES, len(self.data))))
            self.pixels = np.rint(first * 255).astype(np.uint8)
            self.labels = self.data.labels
            self.told = f"{len(self.data)} faces of {self.data.name} {self.data.split}"

    def inputs(self, contract: Preprocessing) -> np.ndarray:
        """Return all faces, (n, height, width, 3) float32."""
        if self._kept is None or self._kept[0] != contract:
            x = contract.scale(self.pixels) if self.data is None else self.data.inputs(contract)
            self._kept = (contract, x)
        return self._kept[1]


def _bundle_failures(bundle: Bundle) -> list[str]:
    failures = []
    labels = bundle.folder / LABELS_FILE
    if not labels.is_file() or tuple(labels.read_text(encoding="utf-8").split("\n")[:-1]) != bundle.card.labels:
        failures.append(f"{LABELS_FILE} does not list the card's labels")
    for name, entry in bundle.card.files.items():
        path = inside(bundle.folder, name)
        if not path.is_file():
            raise FileNotFoundError(f"{bundle.folder} lacks {name}, which its card lists. Export the bundle again.")
        if sha256(path) != entry["sha256"]:
            failures.append(f"{name} was changed after the export: its checksum is not the card's")
    return failures


def _verify_file(
    bundle: Bundle,
    name: str,
    faces: _Faces,
    expected: np.ndarray,
    golden_pixels: np.ndarray,
    golden: np.ndarray | None,
    slack: float,
) -> tuple[FileReport, Job | None]:
    """Return the first rung's verdict on a file, and the job for the others, if it runs at all."""
    entry = bundle.card.files[name]
    path, recipe = inside(bundle.folder, name), _slackened(export_recipe(entry["recipe"]), slack)
    contract = contract_of(bundle.card, recipe.name)
    try:
        runner, operators = LiteRTRunner(path), inspect_operators(path)
    except ValueError as error:
        return FileReport(name, recipe.name, path.stat().st_size, failures=(str(error),)), None
    outputs = runner.predict(faces.inputs(contract))
    difference = np.abs(outputs - expected)
    parity = Parity(
        faces=len(outputs),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        agreement=float((outputs.argmax(axis=1) == expected.argmax(axis=1)).mean()),
    )
    accuracy = None if faces.labels is None else _accuracy(outputs, faces.labels)
    change = None if faces.labels is None else accuracy - _accuracy(expected, faces.labels)
    failures = [
        *_failures(recipe, parity, change, operators),
        *_metadata_failures(path, bundle, contract),
    ]
    failures += _rounding_failures(recipe, operators, entry, slack)
    if not np.ptp(outputs, axis=0).any():
        failures.append("it gives the same outputs for every face")
    if golden is None or _far(runner.predict(contract.scale(golden_pixels)), golden, recipe.input_type):
        failures.append("it does not give the probabilities recorded in the bundle")
    report = FileReport(
        name=name,
        recipe=recipe.name,
        bytes=path.stat().st_size,
        operators=operators.operators,
        refused=operators.refused,
        parity=parity,
        accuracy=accuracy,
        accuracy_change=change,
        failures=tuple(failures),
    )
    pixels = faces.pixels[:RUNG_FACES]
    inputs = contract.scale(pixels)
    return report, Job(path, recipe, bundle.card.labels, pixels, inputs, runner.predict(inputs), slack)


def _with_run(report: FileReport, run: RungRun | None, require: bool) -> FileReport:
    """Return a file's report with a rung's verdict added."""
    if run is None:
        return report
    failures = list(report.failures)
    if run.status == "cannot run" and require:
        failures.append(f"{run.rung} cannot run: {run.message}")
    elif run.status not in ("ok", "not meant for it", "cannot run"):
        difference = "" if run.max_difference is None else f", a probability differs by {run.max_difference:.1e}"
        failures.append(f"{run.rung}: {run.status}{difference}. {run.message}".strip())
    return replace(report, rungs=(*report.rungs, run), failures=tuple(failures))


def _slackened(recipe: ExportRecipe, slack: float) -> ExportRecipe:
    """Return a recipe whose rounding may cost more."""
    return replace(
        recipe,
        max_difference=recipe.max_difference and slack * recipe.max_difference,
        mean_difference=slack * recipe.mean_difference,
        min_agreement=1 - slack * (1 - recipe.min_agreement),
        max_accuracy_change=slack * recipe.max_accuracy_change,
    )


def _failures(recipe: ExportRecipe, parity: Parity, change: float | None, operators: OperatorReport) -> list[str]:
    failures = []
    if recipe.max_difference is not None and not parity.max_difference <= recipe.max_difference:
        failures.append(f"a probability differs by {parity.max_difference:.1e}, more than {recipe.max_difference:.0e}")
    if not parity.mean_difference <= recipe.mean_difference:
        failures.append(
            f"probabilities differ by {parity.mean_difference:.1e} in mean, more than {recipe.mean_difference:.0e}"
        )
    if not parity.agreement >= recipe.min_agreement:
        failures.append(f"the best class agrees on {parity.agreement:.1%}, less than {recipe.min_agreement:.1%}")
    if change is not None and change < -recipe.max_accuracy_change:
        failures.append(f"accuracy changes by {change:+.4f}, more than {recipe.max_accuracy_change:.4f} is lost")
    if recipe.runs_on_gpu:
        failures += [f"the GPU runtime does not take {refusal}" for refusal in operators.refused]
    return failures


def _rounding_failures(
    recipe: ExportRecipe, operators: OperatorReport, entry: dict[str, Any], slack: float
) -> list[str]:
    """Return what is wrong with an integer file: float operators, or other numbers than those it was trained with."""
    failures = []
    if recipe.input_type == "uint8" and operators.float_tensors and not entry.get("kept_float"):
        failures.append(f"{operators.float_tensors} operators compute in float, where all should in integers")
    note = entry.get("against_fine_tuned")
    if note is None:
        return failures
    allowed = max(1, round((1 - MIN_STEP_AGREEMENT) * note["count"]))  # one face of few proves nothing
    disagree = slack == 1.0 and (1 - note["agreement"]) * note["count"] > allowed + 0.5
    if note["mean_steps"] > slack * MAX_MEAN_STEPS or disagree:
        failures.append(
            f"it strays from the model that was fine-tuned: {note['mean_steps']} steps in mean, "
            f"{note['agreement']:.1%} agreement, where {MAX_MEAN_STEPS:g} and {MIN_STEP_AGREEMENT:.0%} are asked for"
        )
    return failures


def _metadata_failures(path: Path, bundle: Bundle, contract: Preprocessing) -> list[str]:
    """Return where the file's own metadata says other things than the card."""
    try:
        written = read_metadata(path)
    except ValueError as error:
        return [f"its metadata cannot be read: {error}"]
    failures = []
    if written.labels != bundle.card.labels:
        failures.append(f"its metadata lists the labels {written.labels}, not the card's {bundle.card.labels}")
    if written.card is not None and written.card.preprocessing != contract:
        failures.append("its metadata has another preprocessing than the card")
    return failures


def _accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def _far(outputs: np.ndarray, recorded: np.ndarray, kind: str) -> bool:
    return outputs.shape != recorded.shape or not float(np.abs(outputs - recorded).max()) <= GOLDEN_TOLERANCE[kind]
