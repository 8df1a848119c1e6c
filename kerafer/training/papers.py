"""The papers' training settings, and our own, by name. What a paper leaves open is said beside it."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from typing import Any

from kerafer.training.recipes import TrainingRecipe

_RAFDB_FACES = ("random_resized_crop", "flip")

SGD_DECAY = 1e-3
"""The papers' weight decay of 1e-4, as Keras counts it.

PyTorch's SGD adds it to the gradient, so that a momentum of 0.9 makes it ten times as large; Keras takes it from the
weights themselves.
"""

_EFFICIENTFACE = TrainingRecipe(
    name="efficientface_rafdb",
    source="EfficientFace, section 4 and the authors' code, RAF-DB: SGD 0.1, batch 128, 100 epochs, a tenth "
    "every 30, label distributions alone. (Its paper starts from MS-Celeb-1M weights.)",
    epochs=100,
    batch_size=128,
    learning_rate=0.1,
    weight_decay=SGD_DECAY,
    schedule="steps",
    step_epochs=30,
    augmentation=_RAFDB_FACES,
    loss="label_distribution",
)

_LFER = TrainingRecipe(
    name="lfer_rafdb",
    source="LFER-LDL section 2.2, RAF-DB: SGD 0.01, batch 32, 120 epochs, a tenth every 30, flip; KL with the "
    "generator, and Combo loss with its best beta 0.2. The weight that joins them, 1, is ours: none is given.",
    epochs=120,
    batch_size=32,
    learning_rate=0.01,
    weight_decay=SGD_DECAY,
    schedule="steps",
    step_epochs=30,
    augmentation=("random_crop", "flip"),
    loss="kl",
    combo_weight=1.0,
    combo_beta=0.2,
)

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
            name="ean_transfer",
            source="EAN sections 3.3 and 4.2, one round from teacher to student: as ean_paper, with rate 0.1, alpha "
            "0.5 and T 5, the best of its Table 2.",
            epochs=100,
            batch_size=128,
            learning_rate=0.1,
            schedule="plateau",
            augmentation=("five_crop", "flip"),
            loss="distillation",
            alpha=0.5,
            temperature=5.0,
        ),
        TrainingRecipe(
            name="lcnn_paper",
            source="LCNN section 4: Adam, 250 epochs on FER2013. Not given there: rate, batch and augmentation; "
            "chosen here are Adam's own 0.001, batch 64, a plateau's factor 0.1 after 12 epochs, and small rotations "
            "and shifts with flip.",
            epochs=250,
            batch_size=64,
            learning_rate=1e-3,
            optimizer="adam",
            schedule="plateau",
            plateau_factor=0.1,
            plateau_patience=12,
            augmentation=("affine", "random_crop", "flip"),
        ),
        _EFFICIENTFACE,
        replace(
            _EFFICIENTFACE,
            name="efficientface_affectnet",
            source="as efficientface_rafdb, AffectNet-7: 20 epochs, a tenth every 5, classes balanced.",
            epochs=20,
            step_epochs=5,
            sampling="balanced",
        ),
        replace(
            _EFFICIENTFACE,
            name="efficientface_caers",
            source="as efficientface_rafdb, CAER-S: 400 epochs, a half every 50.",
            epochs=400,
            step_factor=0.5,
            step_epochs=50,
        ),
        TrainingRecipe(
            name="ldg",
            source="EfficientFace's label distribution generator, tuned on the target set's hard labels with a small "
            "rate (its authors' word; the rate, 20 epochs and steps are ours).",
            epochs=20,
            batch_size=128,
            learning_rate=0.01,
            weight_decay=SGD_DECAY,
            schedule="steps",
            step_epochs=8,
            augmentation=_RAFDB_FACES,
        ),
        _LFER,
        replace(
            _LFER,
            name="lfer_affectnet",
            source="as lfer_rafdb, AffectNet: batch 64, a tenth every 10, classes balanced, beta 0.6.",
            batch_size=64,
            step_epochs=10,
            sampling="balanced",
            combo_beta=0.6,
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
        TrainingRecipe(
            name="qat",
            source="Ours, for quantization-aware fine-tuning: the float model teaches its rounded twin.",
            epochs=3,
            batch_size=128,
            learning_rate=1e-4,
            optimizer="adam",
            augmentation=("random_crop", "flip"),
            loss="distillation",
            alpha=1.0,
            temperature=1.0,
        ),
    )
}

DEFAULTS: dict[str, dict[str, str]] = {
    "hard": {"ean*": "ean_paper", "lcnn*": "lcnn_paper", "ldg_*": "ldg", "*": "cosine"},
    "soft": {"efficientface*": "efficientface_rafdb", "lfer*": "lfer_rafdb", "*": "efficientface_rafdb"},
    "distill": {"*": "ean_transfer"},
}
"""By method, the recipe of each family of models (shell-style patterns, the first that fits)."""


def recipe(name: str, **changes: Any) -> TrainingRecipe:
    """Return a recipe by name, with some of its values changed.

    Args:
        name: a key of `kerafer.training.RECIPES`.
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
        raise ValueError(
            f"A recipe has no field {sorted(unknown)}; it has {', '.join(TrainingRecipe.__dataclass_fields__)}. "
            f"Received: {sorted(changes)}"
        )
    return replace(RECIPES[name], **changes)


def default_recipe(model: str, method: str = "hard") -> str:
    """Return the name of the recipe that a model's paper gives for a method.

    Args:
        model: a registry name.
        method: `"hard"` for hard labels, `"soft"` for label distributions, `"distill"` for a teacher.

    Raises:
        ValueError: if the method is unknown.

    Example:
        >>> default_recipe("ean"), default_recipe("efficientface", "soft")
        ('ean_paper', 'efficientface_rafdb')
    """
    if method not in DEFAULTS:
        raise ValueError(f"`method` must be one of {', '.join(DEFAULTS)}. Received: method={method!r}")
    return next(chosen for pattern, chosen in DEFAULTS[method].items() if fnmatch.fnmatch(model, pattern))
