"""Label distribution learning, from hard labels to a student, as one resumable run of two stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerafer.data.dataset import FaceDataset
from kerafer.loading import LoadedModel, load_model
from kerafer.training.distributions import Distributions, generate_distributions
from kerafer.training.loop import train
from kerafer.training.papers import default_recipe
from kerafer.training.papers import recipe as named_recipe
from kerafer.training.recipes import SOFT_LOSSES, TrainingRecipe
from kerafer.training.record import TrainingRun
from kerafer.zoo import list_models

GENERATOR_FOLDER, STUDENT_FOLDER = "generator", "student"


@dataclass(frozen=True)
class DistributionRun:
    """A finished training on label distributions.

    Args:
        student: the student's run.
        generator: the generator's run, or None where a trained one was given.
        distributions: what the student learned from.
    """

    student: TrainingRun
    generator: TrainingRun | None
    distributions: Distributions


def train_with_distributions(
    name: str,
    data: FaceDataset,
    validation: FaceDataset,
    recipe: TrainingRecipe,
    out: str | Path,
    *,
    generator: str | LoadedModel = "ldg_resnet50",
    generator_recipe: TrainingRecipe | None = None,
    generator_weights: str | None = None,
    generator_size: tuple[int, int] | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
    verbose: int = 1,
    **options: Any,
) -> DistributionRun:
    """Train a generator on hard labels, freeze it, and train a student on its distributions.

    Interrupted at any moment, the same call goes on with the stage that was under way.

    Args:
        name: the student, one of `list_models()`.
        data: the training split.
        validation: the split measured after each epoch; the generator's best epoch on it generates.
        recipe: the student's settings, with the loss `"label_distribution"` or `"kl"`.
        out: folder of the two runs, `generator` and `student`.
        generator: a model of the zoo, trained first in `out`; or a trained one from `kerafer.load_model`.
        generator_recipe: the generator's settings; its default recipe if None.
        generator_weights: initial weights of a generator that is trained.
        generator_size: (height, width) of its input; the spec's by default.
        cache: folder for the distributions; `out` by default.
        seed: decides both trainings.
        verbose: as in `train`.
        **options: of `train`, for the student.

    Returns:
        Both runs and the distributions.

    Raises:
        ValueError: if the recipe has another loss, or the data does not fit.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.training import recipe
        >>> student = recipe("efficientface_rafdb", epochs=1, batch_size=7, augmentation=("five_crop",))
        >>> teaching = recipe("ean_paper", epochs=1, batch_size=7)
        >>> splits = synthetic(14), synthetic(7, seed=1)
        >>> run = train_with_distributions(
        ...     "ean", *splits, student, tempfile.mkdtemp(), generator="ean", generator_recipe=teaching, verbose=0
        ... )
        >>> run.distributions.values.shape
        (14, 7)

    Reference:
        EfficientFace, section "Label distribution learning"; LFER-LDL, section 1.3.
    """
    if recipe.loss not in SOFT_LOSSES:  # before the generator's training, not after it
        raise ValueError(
            f"`recipe` must have one of the losses {', '.join(SOFT_LOSSES)}, such as efficientface_rafdb. "
            f"Received: {recipe.name!r} with loss={recipe.loss!r}"
        )
    out, trained = Path(out), None
    if isinstance(generator, str):
        if generator not in list_models():
            raise ValueError(
                f"`generator` must be one of {', '.join(list_models())}, or a loaded model. Received: {generator!r}"
            )
        settings = generator_recipe or named_recipe(default_recipe(generator))
        trained = train(
            generator,
            data,
            validation,
            settings,
            out / GENERATOR_FOLDER,
            seed=seed,
            weights=generator_weights,
            size=generator_size,
            verbose=verbose,
        )
        generator = load_model(trained.path("best"))
    made = generate_distributions(generator, data, cache or out, progress=verbose == 1)
    student = train(
        name,
        data,
        validation,
        recipe,
        out / STUDENT_FOLDER,
        seed=seed,
        distributions=made,
        verbose=verbose,
        **options,
    )
    return DistributionRun(student, trained, made)
