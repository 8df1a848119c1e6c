"""Our own plans, by name: how better weights are trained (results/experiments.csv tells what led to them).

Three teachers that differ: two EANs three times as wide, which learn from pictures that are turned and shifted, one of
them with parts covered, and a plain EAN. The mean of their probabilities is more accurate than each. Everything else
learns from that mean and from the labels. FER+ votes do not help to predict FER2013's own labels. Networks that halve
their maps twice before the first block learn slowly from few pixels: they start at 64, and go on at 96.

No shipped weights come from these plans yet.
"""

from __future__ import annotations

from dataclasses import replace

from kerafer.training.papers import recipe
from kerafer.training.plans import Plan, Stage

VARIED = ("affine", "random_crop", "flip")
_WIDE = {"width": 3}

_TEACHER = replace(
    recipe("cosine"),
    name="teacher",
    source="Ours: hard labels, smoothed, and varied pictures, for a network that will teach.",
    epochs=50,
    weight_decay=1e-3,
    augmentation=VARIED,
)
_TEACHERS = (
    Stage("teacher-1", "ean", _TEACHER, seed=1, options=_WIDE),
    Stage(
        "teacher-2",
        "ean",
        replace(_TEACHER, name="teacher_cutout", epochs=44, weight_decay=1.5e-3, augmentation=(*VARIED, "cutout")),
        seed=5,
        options=_WIDE,
    ),
    Stage("teacher-3", "ean", recipe("cosine"), seed=1),
)
_NAMES = tuple(stage.name for stage in _TEACHERS)

_STUDENT = replace(
    recipe("cosine"),
    name="student",
    source="Ours: a network taught by several others, which are asked once about each of 20 views of a picture.",
    epochs=160,
    cycle=20,
    loss="distillation",
    alpha=0.7,
    temperature=2.0,
    label_smoothing=0.0,
    augmentation=VARIED,
)
_COARSE = replace(
    _STUDENT,
    name="student_coarse",
    epochs=22,
    warmup_epochs=2,
    cycle=11,
    weight_decay=1e-3,
    augmentation=(*VARIED, "cutout"),
)
_FINE = replace(_STUDENT, name="student_fine", epochs=30, warmup_epochs=1, cycle=14, weight_decay=1e-3)


def _small(stage: Stage) -> tuple[Stage, ...]:
    """Return the teachers' stages and a small student's."""
    return (*_TEACHERS, replace(stage, seed=3, teachers=_NAMES))


def _large(model: str, coarse_seed: int) -> tuple[Stage, ...]:
    """Return the teachers' stages, and those of a network of the ShuffleNet family: 64 pixels, then 96."""
    coarse = Stage(f"{model}-64", model, _COARSE, size=64, resize=70, seed=coarse_seed, teachers=_NAMES[:2])
    fine = Stage(model, model, _FINE, size=96, resize=104, seed=21, teachers=_NAMES, initial=coarse.name)
    return (*_TEACHERS, coarse, fine)


PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan(
            "ean_best",
            "EAN, taught by three EANs, two of them three times as wide.",
            _small(Stage("ean", "ean", _STUDENT)),
        ),
        Plan(
            "lcnn_best",
            "LCNN, taught by three EANs, on crops of 48 from 52 pixels.",
            _small(Stage("lcnn", "lcnn", _STUDENT, size=48, resize=52)),
        ),
        Plan(
            "efficientface_best",
            "EfficientFace at 96 pixels, taught by three EANs; it starts at 64 pixels.",
            _large("efficientface", 12),
        ),
        Plan("lfer_best", "LFER-LDL at 96 pixels, taught by three EANs; it starts at 64 pixels.", _large("lfer", 11)),
    )
}
