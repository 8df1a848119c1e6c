"""The papers' sweeps over one or two constants of a loss: a run for each value, one table and one plot.

Each run lies in a folder of its own and resumes by itself, so an interrupted sweep goes on where it stopped.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kerafer.data.dataset import FaceDataset
from kerafer.files import replacing, write_json
from kerafer.loading import LoadedModel, load_model
from kerafer.plots import sweep_curve
from kerafer.training.distributions import Distributions
from kerafer.training.iterative import TEACHER_FOLDER, check_transfer, distill
from kerafer.training.loop import train
from kerafer.training.recipes import TrainingRecipe
from kerafer.training.record import TrainingRun, versions

TABLE_2 = ((0.3, 5.0), (0.3, 10.0), (0.5, 5.0), (0.5, 10.0), (0.7, 5.0), (0.7, 10.0))
"""(alpha, T) of EAN's Table 2, in its order."""

BETAS = tuple(i / 10 for i in range(11))
"""beta of LFER-LDL's Figures 6 and 7: 0 to 1 in steps of 0.1."""


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Args:
        folder: where the runs lie, with `sweep.json`, `sweep.csv` and `sweep.png`.
        rows: one for each setting: its constants, `val_accuracy` of the best and `last_val_accuracy` of the last epoch.
    """

    folder: Path
    rows: tuple[dict[str, Any], ...]

    @property
    def best(self) -> dict[str, Any]:
        """The row of the highest validation accuracy, the first of equals."""
        return max(self.rows, key=lambda row: row["val_accuracy"])


def sweep_distillation(
    name: str,
    data: FaceDataset,
    validation: FaceDataset,
    recipe: TrainingRecipe,
    out: str | Path,
    *,
    teacher: TrainingRecipe | LoadedModel | Sequence[LoadedModel],
    pairs: Sequence[tuple[float, float]] = TABLE_2,
    rounds: int | None = None,
    weights: str | None = None,
    seed: int = 0,
    verbose: int = 1,
    **options: Any,
) -> Sweep:
    """Repeat EAN's Table 2: a transfer from the same teacher for each alpha and T.

    Args:
        name: the student, one of `list_models()`.
        data: the training split.
        validation: the split that is measured.
        recipe: settings of a round; its alpha and temperature are replaced.
        out: folder of the sweep.
        teacher: as in `distill`; one that is trained here is trained once.
        pairs: (alpha, T) of each transfer.
        rounds: as in `distill`.
        weights: as in `distill`.
        seed: decides all trainings.
        verbose: as in `train`.
        **options: of `train`.

    Returns:
        The table.

    Raises:
        ValueError: as `distill`, or if a pair is out of range, or there is none.

    Reference:
        EAN, Table 2.
    """
    out = Path(out)
    check_transfer(recipe, rounds)
    settings = [{"alpha": alpha, "temperature": temperature} for alpha, temperature in pairs]
    _check_settings("pairs", recipe, settings)
    if isinstance(teacher, TrainingRecipe):
        run = train(
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
        teacher = load_model(run.path("best"))

    def one(constants: Mapping[str, float], folder: Path) -> TrainingRun:
        done = distill(
            name,
            data,
            validation,
            replace(recipe, **constants),
            folder,
            teacher=teacher,
            rounds=rounds,
            weights=weights,
            seed=seed,
            verbose=verbose,
            **options,
        )
        return done.best

    return _sweep(settings, one, out, validation, f"{name}: alpha and T of the transfer from teacher to student")


def sweep_combo(
    name: str,
    data: FaceDataset,
    validation: FaceDataset,
    recipe: TrainingRecipe,
    out: str | Path,
    *,
    distributions: Distributions | None = None,
    betas: Sequence[float] = BETAS,
    seed: int = 0,
    verbose: int = 1,
    **options: Any,
) -> Sweep:
    """Repeat LFER-LDL's Figures 6 and 7: a training for each beta of Combo loss.

    Args:
        name: one of `list_models()`.
        data: the training split.
        validation: the split that is measured.
        recipe: the settings, with a `combo_weight` above 0; their `combo_beta` is replaced.
        out: folder of the sweep.
        distributions: for the recipe's first loss, where it is `"kl"` or `"label_distribution"`.
        betas: values in [0, 1].
        seed: decides all trainings.
        verbose: as in `train`.
        **options: of `train`.

    Returns:
        The table.

    Raises:
        ValueError: if the recipe has no Combo loss, or a beta is out of range, or there is none.

    Reference:
        LFER-LDL, section 2.4.1, Figures 6 and 7.
    """
    settings = combo_settings(recipe, betas)

    def one(constants: Mapping[str, float], folder: Path) -> TrainingRun:
        return train(
            name,
            data,
            validation,
            replace(recipe, **constants),
            folder,
            seed=seed,
            distributions=distributions,
            verbose=verbose,
            **options,
        )

    return _sweep(settings, one, Path(out), validation, f"{name}: beta of Combo loss")


def combo_settings(recipe: TrainingRecipe, betas: Sequence[float]) -> list[dict[str, float]]:
    """Return what `sweep_combo` sets for each run, or refuse it before anything is trained."""
    if recipe.combo_weight == 0:
        raise ValueError(
            f"`recipe` must have a `combo_weight` above 0, such as lfer_rafdb. Received: {recipe.name!r} with 0"
        )
    settings = [{"combo_beta": float(beta)} for beta in betas]
    _check_settings("betas", recipe, settings)
    return settings


def _check_settings(name: str, recipe: TrainingRecipe, settings: Sequence[Mapping[str, float]]) -> None:
    """Refuse values that a run would refuse, before the first one."""
    if not settings:
        raise ValueError(f"`{name}` must hold one setting or more. Received: none")
    for constants in settings:
        replace(recipe, **constants)


def _sweep(
    settings: Sequence[Mapping[str, float]],
    one: Callable[[Mapping[str, float], Path], TrainingRun],
    out: Path,
    validation: FaceDataset,
    title: str,
) -> Sweep:
    """Do all runs, rewriting table and plot after each, so that they can be looked at meanwhile."""
    rows: list[dict[str, Any]] = []
    for constants in settings:
        label = "-".join(f"{key}-{value:g}" for key, value in constants.items())
        run = one(constants, out / label)
        result = run.record["result"]
        rows.append(
            {
                **constants,
                "val_accuracy": result["best"]["val_accuracy"],
                "last_val_accuracy": result["last"]["val_accuracy"],
                "folder": str(run.folder.relative_to(out)),
            }
        )
        measured_on = f"{validation.name} {validation.split}"
        write_json(out / "sweep.json", {"title": title, "split": measured_on, "versions": versions(), "rows": rows})
        with replacing(out / "sweep.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        sweep_curve(rows, tuple(constants), out / "sweep.png", title=title, split=measured_on)
    return Sweep(out, tuple(rows))
