"""EAN's iterative transfer from teacher to student, as one resumable run of several rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerafer.data.dataset import FaceDataset
from kerafer.files import write_json
from kerafer.loading import LoadedModel, load_model
from kerafer.training.loop import train
from kerafer.training.recipes import TrainingRecipe
from kerafer.training.record import TrainingRun

TEACHER_FOLDER, SUMMARY_FILE = "teacher", "distillation.json"
MAX_ROUNDS = 10


@dataclass(frozen=True)
class DistillationRun:
    """A finished transfer.

    Args:
        folder: where the rounds' runs lie: `teacher` (where it was trained here), `round-1`, `round-2`, ...
        teacher: the first teacher's run, or None where trained teachers were given.
        rounds: the students' runs, in order.
        best_round: number of the best round, from 1.
        summary: the content of `distillation.json`.
    """

    folder: Path
    teacher: TrainingRun | None
    rounds: tuple[TrainingRun, ...]
    best_round: int
    summary: dict[str, Any]

    @property
    def best(self) -> TrainingRun:
        """The best student's run, by the validation split."""
        return self.rounds[self.best_round - 1]


def distill(
    name: str,
    data: FaceDataset,
    validation: FaceDataset,
    recipe: TrainingRecipe,
    out: str | Path,
    *,
    teacher: TrainingRecipe | LoadedModel | Sequence[LoadedModel],
    rounds: int | None = None,
    weight_transfer: bool = True,
    weights: str | None = None,
    seed: int = 0,
    verbose: int = 1,
    **options: Any,
) -> DistillationRun:
    """Train students from a teacher, each the next one's teacher, until a round no longer improves.

    Interrupted at any moment, the same call goes on in the round that was under way. Round k has the seed
    ``seed + k``, so that it sees other crops than the round before.

    Args:
        name: the student, one of `list_models()`.
        data: the training split.
        validation: the split measured after each epoch: it chooses each round's best epoch, which is passed on, and
            ends the rounds. Measure the result on another split.
        recipe: settings of a round, with the loss `"distillation"`.
        out: folder of the rounds' runs.
        teacher: settings by which the student's own architecture is trained on hard labels first, as in the paper; or
            one or more trained models of any kind, averaged.
        rounds: do exactly so many rounds, or None to go on until one is no better than the one before (10 at most).
        weight_transfer: whether each student but the first starts from the one before it (the paper's Table 6), or
            all start anew.
        weights: initial weights, as in `train`, of a teacher that is trained here and of students that start anew.
        seed: decides initial weights, order and augmentation.
        verbose: as in `train`.
        **options: of `train`, such as `size`.

    Returns:
        All rounds.

    Raises:
        ValueError: if the recipe has another loss, `rounds` is not positive, or the data does not fit.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.training import recipe
        >>> settings = recipe("ean_transfer", epochs=1, batch_size=7)
        >>> loaded = kerafer.load_model("ean", weights="fer2013")
        >>> splits = synthetic(14), synthetic(7, seed=1)
        >>> run = distill("ean", *splits, settings, tempfile.mkdtemp(), teacher=loaded, rounds=1, verbose=0)
        >>> len(run.rounds)
        1

    Reference:
        Kong et al., EAN, IET Image Processing 2022, section 3.3, equations (4) to (8), and Figure 6.
    """
    check_transfer(recipe, rounds)
    out, first = Path(out), None
    if isinstance(teacher, TrainingRecipe):
        first = train(
            name,
            data,
            validation,
            teacher,
            out / TEACHER_FOLDER,
            seed=seed,
            weights=weights,
            verbose=verbose,
            **options,
        )
        teachers = [load_model(first.path("best"))]
    else:
        teachers = [teacher] if isinstance(teacher, LoadedModel) else list(teacher)
    runs: list[TrainingRun] = []
    student: LoadedModel | None = None
    for number in range(1, (rounds or MAX_ROUNDS) + 1):
        if verbose:
            print(f"round {number}, taught by {', '.join(t.name for t in teachers)}")
        runs.append(
            train(
                name,
                data,
                validation,
                recipe,
                out / f"round-{number}",
                seed=seed + number,
                teacher=teachers,
                initial=student if weight_transfer else None,
                weights=None if weight_transfer and student else weights,
                verbose=verbose,
                **options,
            )
        )
        student = load_model(runs[-1].path("best"))
        teachers = [student]
        if rounds is None and len(runs) > 1 and _accuracy(runs[-1]) <= _accuracy(runs[-2]):
            break
    best = max(range(len(runs)), key=lambda i: (_accuracy(runs[i]), -i)) + 1
    summary = {
        "model": name,
        "recipe": recipe.to_dict(),
        "weight_transfer": weight_transfer,
        "seed": seed,
        "validation": {"name": validation.name, "split": validation.split},
        "teacher": None if first is None else {"val_accuracy": _accuracy(first)},
        "rounds": [{"folder": run.folder.name, "val_accuracy": _accuracy(run)} for run in runs],
        "best_round": best,
    }
    write_json(out / SUMMARY_FILE, summary)
    return DistillationRun(out, first, tuple(runs), best, summary)


def check_transfer(recipe: TrainingRecipe, rounds: int | None) -> None:
    """Refuse what `distill` cannot do, before anything is trained."""
    if rounds is not None and rounds < 1:
        raise ValueError(f"`rounds` must be 1 or more, or None. Received: rounds={rounds}")
    if recipe.loss != "distillation":
        raise ValueError(
            "`recipe` must have the loss distillation, such as ean_transfer. "
            f"Received: {recipe.name!r} with loss={recipe.loss!r}"
        )


def _accuracy(run: TrainingRun) -> float:
    return run.record["result"]["best"]["val_accuracy"]
