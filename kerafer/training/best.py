"""Our own plans, by name: how the shipped weights were trained, found by experiment (results/experiments.csv)."""

from __future__ import annotations

from dataclasses import replace

from kerafer.training.papers import recipe
from kerafer.training.plans import Plan, Stage

VARIED = ("affine", "random_crop", "flip", "cutout")

_CLASSES = 7
"""KL is a mean over the classes: a rate as many times as high makes the steps that a cross-entropy's rate would."""

_TEACHER = replace(
    recipe("cosine"),
    name="teacher",
    source="Ours: half FER2013's label and half FER+'s votes, varied pictures.",
    epochs=60,
    loss="kl",
    hard_share=0.5,
    label_smoothing=0.0,
    learning_rate=0.1 * _CLASSES,
    weight_decay=4e-3 / _CLASSES,
    augmentation=VARIED,
)

_TEACHERS = (
    Stage("teacher-lfer", "lfer", _TEACHER, size=48, seed=1),
    Stage("teacher-efficientface", "efficientface", _TEACHER, size=48, seed=2),
)

_STUDENT = replace(
    recipe("cosine"),
    name="student",
    source="Ours: a small network taught by two larger ones, asked once about each of 30 views of a picture.",
    epochs=240,
    cycle=30,
    loss="distillation",
    alpha=0.7,
    temperature=2.0,
    label_smoothing=0.0,
    augmentation=("affine", "random_crop", "flip"),
)

_NAMES = tuple(stage.name for stage in _TEACHERS)

PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan(
            "ean_best",
            "EAN, taught by LFER and EfficientFace.",
            (*_TEACHERS, Stage("ean", "ean", _STUDENT, seed=3, teachers=_NAMES)),
        ),
        Plan(
            "lcnn_best",
            "LCNN, taught by LFER and EfficientFace.",
            (*_TEACHERS, Stage("lcnn", "lcnn", _STUDENT, seed=3, teachers=_NAMES)),
        ),
        Plan(
            "efficientface_best",
            "EfficientFace, taught by LFER and itself.",
            (*_TEACHERS, Stage("efficientface", "efficientface", _STUDENT, size=64, seed=3, teachers=_NAMES)),
        ),
        Plan(
            "lfer_best",
            "LFER, taught by itself and EfficientFace.",
            (*_TEACHERS, Stage("lfer", "lfer", _STUDENT, size=64, seed=3, teachers=_NAMES)),
        ),
    )
}
