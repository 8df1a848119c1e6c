"""Our own plans, by name: how better weights are to be trained, as far as experiments tell (results/experiments.csv).

Provisional: no shipped weights come from them yet. So far, small rotations and shifts let a wide EAN reach 0.68 on
PublicTest; FER+ votes do not help to predict FER2013's own labels; and networks that halve their maps twice before the
first block learn slowly from 48 pixels.
"""

from __future__ import annotations

from dataclasses import replace

from kerafer.training.papers import recipe
from kerafer.training.plans import Plan, Stage

VARIED = ("affine", "random_crop", "flip")

_TEACHER = replace(
    recipe("cosine"),
    name="teacher",
    source="Ours: hard labels, smoothed, and varied pictures, for a network that will teach.",
    epochs=90,
    weight_decay=1e-3,
    augmentation=VARIED,
)

_STUDENT = replace(
    recipe("cosine"),
    name="student",
    source="Ours: a network taught by two wider ones, which are asked once about each of 30 views of a picture.",
    epochs=240,
    cycle=30,
    loss="distillation",
    alpha=0.7,
    temperature=2.0,
    label_smoothing=0.0,
    augmentation=VARIED,
)

_WIDE = {"width": 3}
_TEACHERS = (
    Stage("teacher-1", "ean", _TEACHER, seed=1, options=_WIDE),
    Stage("teacher-2", "ean", replace(_TEACHER, name="teacher_mixup", mixup=0.2), seed=2, options=_WIDE),
)


def _taught(stage: Stage) -> tuple[Stage, ...]:
    """Return the teachers' stages and the student's."""
    return (*_TEACHERS, replace(stage, seed=3, teachers=tuple(teacher.name for teacher in _TEACHERS)))


PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("ean_best", "EAN, taught by two EANs of three times its width.", _taught(Stage("ean", "ean", _STUDENT))),
        Plan(
            "lcnn_best",
            "LCNN, taught by two wide EANs, on crops of 48 from 52 pixels.",
            _taught(Stage("lcnn", "lcnn", _STUDENT, size=48, resize=52)),
        ),
    )
}
