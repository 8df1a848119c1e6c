"""What a recipe may say, as frozen values that a run record repeats; the named ones are in `papers.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from kerafer.data.augment import AUGMENTATIONS

SOFT_LOSSES = ("label_distribution", "kl")
"""Losses that learn from a distribution for each image."""

LOSSES = ("cross_entropy", *SOFT_LOSSES, "distillation")
OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("plateau", "cosine", "steps", "constant")
SAMPLINGS = ("shuffle", "balanced")
NORMALIZATIONS = ("spec", "data")
DTYPE_POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True)
class TrainingRecipe:
    """How to train a model.

    Args:
        name: registry name.
        source: where the settings come from.
        epochs: passes over the training split.
        batch_size: images in a batch, over all hosts together.
        learning_rate: initial (plateau, steps, constant) or highest (cosine) rate.
        optimizer: `"sgd"` or `"adam"`.
        momentum: of SGD.
        nesterov: whether SGD looks ahead.
        weight_decay: decoupled decay per step, times the learning rate; one that PyTorch's SGD adds to the gradient
            is ``1 / (1 - momentum)`` times as large here.
        schedule: `"plateau"` (times `plateau_factor` when the training loss stalls), `"cosine"` (down to 0), `"steps"`
            (times `step_factor` every `step_epochs`) or `"constant"`.
        warmup_epochs: epochs of linear increase before the cosine.
        plateau_factor: factor at a plateau.
        plateau_patience: epochs without improvement that make a plateau.
        step_factor: factor of a step.
        step_epochs: epochs between steps.
        augmentation: names of `kerafer.data.augment.AUGMENTATIONS`.
        mixup: parameter of the Beta distribution by which pairs of images and their labels are mixed; 0 for none.
        cycle: epochs after which the same batches come again, so that a teacher is asked about them only once and its
            answers are kept in the run's folder; 0 draws new ones in every epoch.
        sampling: `"shuffle"` shows each image once an epoch, `"balanced"` draws each class equally often.
        normalization: `"spec"` scales inputs as the model's spec says, `"data"` by the training split's mean and
            standard deviation of each colour.
        label_smoothing: share of each hard label spread over all classes.
        loss: `"cross_entropy"` on hard labels; `"label_distribution"` (EfficientFace) or `"kl"` (LFER-LDL) on
            distributions; `"distillation"` (EAN) from a teacher.
        hard_share: share of the hard label mixed into each distribution, for the losses that learn from those.
        combo_weight: lambda of LFER-LDL's second loss, on hard labels, added to the first; 0 leaves it out.
        combo_alpha: alpha of `ComboLoss`.
        combo_beta: beta of `ComboLoss`.
        alpha: share of the teacher in `DistillationLoss`.
        temperature: T of `DistillationLoss`.
        average_epochs: how many epochs back the weights' moving average reaches that is evaluated and kept, or None
            to keep the raw weights.
        dtype_policy: `"float32"`, or `"mixed_float16"` or `"mixed_bfloat16"` to compute in half precision with
            float32 weights.

    Raises:
        ValueError: if a value is out of range.
    """

    name: str
    source: str
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup_epochs: int = 0
    plateau_factor: float = 0.9
    plateau_patience: int = 3
    step_factor: float = 0.1
    step_epochs: int = 30
    augmentation: tuple[str, ...] = ("random_crop", "flip")
    mixup: float = 0.0
    cycle: int = 0
    sampling: str = "shuffle"
    normalization: str = "spec"
    label_smoothing: float = 0.0
    loss: str = "cross_entropy"
    hard_share: float = 0.0
    combo_weight: float = 0.0
    combo_alpha: float = 0.5
    combo_beta: float = 0.5
    alpha: float = 0.5
    temperature: float = 5.0
    average_epochs: float | None = None
    dtype_policy: str = "float32"

    def __post_init__(self) -> None:
        augmentations = ", ".join(AUGMENTATIONS)
        checks = {
            "epochs": (self.epochs >= 1, "1 or more"),
            "batch_size": (self.batch_size >= 1, "1 or more"),
            "learning_rate": (0 < self.learning_rate < math.inf, "above 0"),
            "optimizer": (self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
            "momentum": (0 <= self.momentum < 1, "0 or more, and below 1"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "0 or more"),
            "schedule": (self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
            "warmup_epochs": (0 <= self.warmup_epochs < self.epochs, f"0 or more, and below epochs={self.epochs}"),
            "plateau_factor": (0 < self.plateau_factor < 1, "above 0 and below 1"),
            "plateau_patience": (self.plateau_patience >= 1, "1 or more"),
            "step_factor": (0 < self.step_factor < 1, "above 0 and below 1"),
            "step_epochs": (self.step_epochs >= 1, "1 or more"),
            "augmentation": (set(self.augmentation) <= set(AUGMENTATIONS), f"among {augmentations}"),
            "mixup": (0 <= self.mixup < math.inf, "0 or more"),
            "cycle": (self.cycle >= 0, "0 or more"),
            "sampling": (self.sampling in SAMPLINGS, f"one of {', '.join(SAMPLINGS)}"),
            "normalization": (self.normalization in NORMALIZATIONS, f"one of {', '.join(NORMALIZATIONS)}"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "0 or more, and below 1"),
            "loss": (self.loss in LOSSES, f"one of {', '.join(LOSSES)}"),
            "hard_share": (0 <= self.hard_share < 1, "0 or more, and below 1"),
            "combo_weight": (0 <= self.combo_weight < math.inf, "0 or more"),
            "combo_alpha": (0 <= self.combo_alpha <= 1, "in [0, 1]"),
            "combo_beta": (0 <= self.combo_beta <= 1, "in [0, 1]"),
            "alpha": (0 <= self.alpha <= 1, "in [0, 1]"),
            "temperature": (0 < self.temperature < math.inf, "above 0"),
            "average_epochs": (self.average_epochs is None or self.average_epochs > 0, "above 0, or None"),
            "dtype_policy": (self.dtype_policy in DTYPE_POLICIES, f"one of {', '.join(DTYPE_POLICIES)}"),
        }
        for field, (fine, expected) in checks.items():
            if not fine:
                received = getattr(self, field)
                raise ValueError(f"`{field}` of a recipe must be {expected}. Received: {field}={received!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "augmentation": list(self.augmentation)}


_PARSERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "float | None": lambda text: None if text.lower() == "none" else float(text),
    "tuple[str, ...]": lambda text: tuple(part for part in text.split(",") if part),
}


def parse_changes(assignments: Iterable[str]) -> dict[str, Any]:
    """Return changes of a recipe from texts such as `"epochs=10"` or `"augmentation=five_crop,flip"`.

    Raises:
        ValueError: if a text has another form, the field is unknown, or the value is not of its type.

    Example:
        >>> parse_changes(["epochs=10", "average_epochs=none"])
        {'epochs': 10, 'average_epochs': None}
    """
    types = {f.name: f.type for f in fields(TrainingRecipe)}
    changes = {}
    for text in assignments:
        field, equals, value = text.partition("=")
        if not equals or field not in types:
            raise ValueError(f"A change must be FIELD=VALUE with FIELD one of {', '.join(types)}. Received: {text!r}")
        try:
            changes[field] = _PARSERS[types[field]](value)
        except (ValueError, KeyError) as error:
            raise ValueError(f"`{field}` of a recipe must be of type {types[field]}. Received: {text!r}") from error
    return changes
