"""The papers' training settings, and our own, as named frozen values that a run record repeats."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from kerafer.data.augment import AUGMENTATIONS


@dataclass(frozen=True)
class TrainingRecipe:
    """How to train a model on hard labels.

    Args:
        name: registry name.
        source: where the settings come from.
        epochs: passes over the training split.
        batch_size: images in a batch.
        learning_rate: initial (plateau) or highest (cosine) rate of SGD.
        momentum: of SGD.
        nesterov: whether SGD looks ahead.
        weight_decay: decoupled decay per step, times the learning rate.
        schedule: `"plateau"` (times `plateau_factor` when the training loss stalls) or `"cosine"` (down to 0).
        warmup_epochs: epochs of linear increase before the cosine.
        plateau_factor: factor at a plateau.
        plateau_patience: epochs without improvement that make a plateau.
        augmentation: names of `kerafer.data.augment.AUGMENTATIONS`.
        label_smoothing: share of each label spread over all classes.
        average_epochs: how many epochs back the weights' moving average reaches that is evaluated and kept, or None
            to keep the raw weights.

    Raises:
        ValueError: if a value is out of range.
    """

    name: str
    source: str
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup_epochs: int = 0
    plateau_factor: float = 0.9
    plateau_patience: int = 3
    augmentation: tuple[str, ...] = ("random_crop", "flip")
    label_smoothing: float = 0.0
    average_epochs: float | None = None

    def __post_init__(self) -> None:
        checks = {
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 1,
            "learning_rate": self.learning_rate > 0,
            "momentum": 0 <= self.momentum < 1,
            "weight_decay": self.weight_decay >= 0,
            "schedule": self.schedule in ("plateau", "cosine"),
            "warmup_epochs": 0 <= self.warmup_epochs < max(self.epochs, 1),
            "plateau_factor": 0 < self.plateau_factor < 1,
            "plateau_patience": self.plateau_patience >= 1,
            "augmentation": set(self.augmentation) <= set(AUGMENTATIONS),
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "average_epochs": self.average_epochs is None or self.average_epochs > 0,
        }
        for field, fine in checks.items():
            if not fine:
                raise ValueError(f"`{field}` of a recipe is out of range. Received: {field}={getattr(self, field)!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "augmentation": list(self.augmentation)}


RECIPES: dict[str, TrainingRecipe] = {
    r.name: r
    for r in (
        TrainingRecipe(
            name="ean_paper",
            source="EAN section 4.2: SGD 0.01, batch 128, rate times 0.9 on a plateau, five crops and flip. "
            "Not given there: epochs, momentum and the plateau's length.",
            epochs=100,
            batch_size=128,
            learning_rate=0.01,
            schedule="plateau",
            augmentation=("five_crop", "flip"),
        ),
        TrainingRecipe(
            name="cosine",
            source="kerafer's own: a high rate, cosine decay and averaged weights. On FER2013 EAN is best half-way, "
            "while the rate is still high, and overfits towards the end: keep best.keras. Ten times the weight decay "
            "over 80 epochs does not overfit, but ends lower (results/runs).",
            epochs=160,
            batch_size=128,
            learning_rate=0.1,
            nesterov=True,
            weight_decay=5e-4,
            warmup_epochs=3,
            label_smoothing=0.1,
            average_epochs=4.0,
        ),
    )
}

DEFAULTS = {"ean*": "ean_paper"}
"""The paper's own recipe for each family of models (shell-style patterns)."""


def recipe(name: str, **changes: Any) -> TrainingRecipe:
    """Return a recipe by name, with some of its values changed.

    Args:
        name: a key of `RECIPES`.
        **changes: fields to replace, such as `epochs=10`.

    Raises:
        ValueError: if the name or a field is unknown, or a value is out of range.

    Example:
        >>> from kerafer.training import recipe
        >>> recipe("ean_paper", epochs=10).epochs
        10
    """
    if name not in RECIPES:
        raise ValueError(f"`recipe` must be one of {', '.join(RECIPES)}. Received: recipe={name!r}")
    unknown = set(changes) - set(TrainingRecipe.__dataclass_fields__)
    if unknown:
        raise ValueError(f"A recipe has no field {sorted(unknown)}. Received: {sorted(changes)}")
    return replace(RECIPES[name], **changes)
