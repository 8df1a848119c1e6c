"""Trainings of several stages: teachers first, then the student that learns from them, as one resumable run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kerafer.data.dataset import FaceDataset
from kerafer.loading import load_model
from kerafer.training.distributions import distributions_from_votes
from kerafer.training.loop import train
from kerafer.training.papers import recipe
from kerafer.training.recipes import SOFT_LOSSES, TrainingRecipe
from kerafer.training.record import TrainingRun


@dataclass(frozen=True)
class Stage:
    """One training of a plan.

    Args:
        name: of the stage, and of its run's folder.
        model: registry name.
        recipe: the settings; with a loss that learns from distributions, it learns from FER+ votes.
        size: height and width of the input, or None for the spec's.
        resize: height and width of the picture that it is cut from, or None for the spec's proportion.
        seed: added to the plan's.
        teachers: names of earlier stages whose best models teach, averaged.
        initial: name of an earlier stage whose best model the training starts from, or None.
        options: of the model's builder, such as `{"width": 3}` for EAN.
    """

    name: str
    model: str
    recipe: TrainingRecipe
    size: int | None = None
    resize: int | None = None
    seed: int = 0
    teachers: tuple[str, ...] = ()
    initial: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A training of several stages; a model of the last one is the result.

    Stages that several plans share are trained once, if the plans are given the same folder.

    Args:
        name: as in `kerafer train --recipe NAME`.
        source: what it is for, and why it is as it is.
        stages: in order.
        tuning: the fine-tuning that makes the result's integer file.
        result: the last stage's `"best"` model on the validation split, or its `"last"`, which nothing chose.

    Raises:
        ValueError: if there is no stage, two have one name, or one needs a stage that does not come before it; or
            `result` is neither of the two.
    """

    name: str
    source: str
    stages: tuple[Stage, ...]
    tuning: TrainingRecipe = field(default_factory=lambda: recipe("qat"))
    result: str = "best"

    def __post_init__(self) -> None:
        if self.result not in ("best", "last"):
            raise ValueError(f"`result` of the plan {self.name!r} must be 'best' or 'last'. Received: {self.result!r}")
        known: set[str] = set()
        for stage in self.stages:
            needed = {*stage.teachers, *({stage.initial} if stage.initial else ())}
            if stage.name in known or not needed <= known:
                raise ValueError(
                    f"`stages` must have names of their own and need only earlier ones. Received: {stage.name!r} "
                    f"that needs {sorted(needed)}, after {sorted(known)}"
                )
            known.add(stage.name)
        if not self.stages:
            raise ValueError(f"`stages` of the plan {self.name!r} must be one or more. Received: none")

    @property
    def model(self) -> str:
        """The registry name of the model that results."""
        return self.stages[-1].model

    def changed(self, **changes: object) -> Plan:
        """Return the plan with the same changes in every stage's recipe, such as `epochs=1` to try it out.

        A warm-up that is not shorter than the epochs becomes so, unless `warmup_epochs` is given. Of the fine-tuning,
        only `epochs` and `batch_size` change.
        """
        stages = tuple(replace(s, recipe=_changed(s.recipe, changes)) for s in self.stages)
        shorter = {name: value for name, value in changes.items() if name in ("epochs", "batch_size")}
        return replace(self, stages=stages, tuning=replace(self.tuning, **shorter))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        stages = [{**asdict(s), "recipe": s.recipe.to_dict(), "teachers": list(s.teachers)} for s in self.stages]
        return {
            "name": self.name,
            "source": self.source,
            "stages": stages,
            "result": self.result,
            "tuning": self.tuning.to_dict(),
        }


def _changed(old: TrainingRecipe, changes: Mapping[str, Any]) -> TrainingRecipe:
    epochs = changes.get("epochs", old.epochs)
    warmup = {"warmup_epochs": max(0, min(old.warmup_epochs, epochs - 1))}
    return replace(old, **{**warmup, **changes})


def run_plan(
    plan: Plan,
    data: FaceDataset,
    validation: FaceDataset,
    out: str | Path,
    *,
    seed: int = 0,
    verbose: int = 1,
) -> TrainingRun:
    """Train a plan's stages in order, or go on with the one that was interrupted.

    Args:
        plan: what to train, from `kerafer.training.PLANS`.
        data: the training split; read with votes, where a stage learns from them.
        validation: the split measured after each epoch; it chooses each stage's best epoch, which teaches.
        out: folder of the stages' runs.
        seed: decides everything, together with each stage's own number.
        verbose: as in `train`.

    Returns:
        The last stage's run.

    Raises:
        ValueError: if the data does not fit, has no votes where they are needed, or a folder holds another run.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.training import Plan, Stage, recipe, run_plan
        >>> hard, soft = (recipe(name, epochs=1, batch_size=7) for name in ("ean_paper", "ean_transfer"))
        >>> stages = (Stage("teacher", "ean", hard), Stage("student", "ean", soft, teachers=("teacher",)))
        >>> splits = synthetic(14), synthetic(7, seed=1)
        >>> run_plan(Plan("mine", "an example", stages), *splits, tempfile.mkdtemp(), verbose=0).folder.name
        'student'
    """
    runs: dict[str, TrainingRun] = {}
    soft = [stage for stage in plan.stages if stage.recipe.loss in SOFT_LOSSES]
    votes = distributions_from_votes(data) if soft else None  # refuses before anything is trained
    for number, stage in enumerate(plan.stages, start=1):
        if verbose:
            taught = f", taught by {', '.join(stage.teachers)}" if stage.teachers else ""
            print(f"stage {number} of {len(plan.stages)}: {stage.name}, {stage.model}{taught}")
        runs[stage.name] = train(
            stage.model,
            data,
            validation,
            stage.recipe,
            Path(out) / stage.name,
            seed=seed + stage.seed,
            size=stage.size and (stage.size, stage.size),
            resize=stage.resize and (stage.resize, stage.resize),
            distributions=votes if stage in soft else None,
            teacher=[load_model(runs[name].path("best")) for name in stage.teachers] or None,
            initial=load_model(runs[stage.initial].path("best")) if stage.initial else None,
            verbose=verbose,
            **stage.options,
        )
    return runs[plan.stages[-1].name]
