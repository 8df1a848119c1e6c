"""Our own plans, by name: how better weights are trained (results/experiments.csv tells what led to them).

Three teachers that differ: two EANs three times as wide, which learn from pictures that are turned and shifted, one of
them with parts covered, and a plain EAN. The mean of their probabilities is more accurate than each. FER+ votes do not
help to predict FER2013's own labels. Networks that halve their maps twice before the first block learn slowly from few
pixels: EfficientFace and LFER-LDL start at 64, go on at 96, where they become better than their teachers, and then
learn once more from all five, with parts covered. EAN and LCNN learn from the mean of the three and of these two. In
a last round the large networks see whole faces again, and have EAN for a teacher in place of the plain one.

EAN and LCNN learn in two halves: first from pictures that are turned and shifted, for which networks so small have
little room, then, from there, from crops and mirror images alone. The second half is what made them better; LCNN gets
more pixels in it, 64 for 48, and a third round at half the rate, taught by the others as they ended, of which the last
epoch is taken (docs/weights.md tells why). The same round gave EAN too little to ship it. EAN for FER+ learns from the
votes themselves.

All shipped weights were made by their plans. All stages but the last ones of LCNN, EfficientFace and LFER-LDL were
trained before teachers saw enlarged faces sharply (docs/weights.md).
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
_FIRST = tuple(stage.name for stage in _TEACHERS)

_STUDENT = replace(
    recipe("cosine"),
    name="student",
    source="Ours: a network taught by several others, which are asked once about each view of a cycle of epochs.",
    epochs=150,
    cycle=12,
    loss="distillation",
    alpha=0.9,
    temperature=2.0,
    label_smoothing=0.0,
    augmentation=VARIED,
)
_CLOSE = replace(
    _STUDENT,
    name="student_close",
    epochs=80,
    warmup_epochs=1,
    cycle=16,
    augmentation=("random_crop", "flip"),
)
_SHARP = replace(_CLOSE, name="student_sharp", epochs=60, cycle=12, weight_decay=2e-4)
_END = replace(_SHARP, name="student_end", epochs=30, cycle=8, learning_rate=0.05)
_COARSE = replace(
    _STUDENT,
    name="student_coarse",
    epochs=22,
    warmup_epochs=2,
    cycle=11,
    alpha=0.7,
    weight_decay=1e-3,
    augmentation=(*VARIED, "cutout"),
)
_FINE = replace(_STUDENT, name="student_fine", epochs=30, warmup_epochs=1, cycle=14, alpha=0.7, weight_decay=1e-3)
_FINAL = replace(_FINE, name="student_final", epochs=38, alpha=0.9, augmentation=(*VARIED, "cutout"))

_LAST = replace(
    _FINAL, name="student_last", epochs=12, cycle=8, learning_rate=0.05, average_epochs=2.0, augmentation=VARIED
)

_LARGE = tuple(
    stage
    for model, seed in (("lfer", 11), ("efficientface", 12))
    for stage in (
        Stage(f"{model}-64", model, _COARSE, size=64, resize=70, seed=seed, teachers=_FIRST[:2]),
        Stage(f"{model}-96", model, _FINE, size=96, resize=104, seed=21, teachers=_FIRST, initial=f"{model}-64"),
    )
)
_VOTES = replace(
    recipe("cosine"),
    name="votes",
    source="Ours: FER+ votes as distributions. The loss is a mean over 8 classes, so that its rate is 8 times as high.",
    epochs=120,
    loss="kl",
    learning_rate=0.8,
    weight_decay=6.25e-5,
    label_smoothing=0.0,
)
_TUNING = recipe("qat", epochs=2)
_ALL = (*_FIRST, "lfer-96", "efficientface-96")

_COVERED = tuple(
    Stage(f"{model}-covered", model, _FINAL, size=96, resize=104, seed=31, teachers=_ALL, initial=f"{model}-96")
    for model in ("lfer", "efficientface")
)
_FIVE = (*_FIRST, *(stage.name for stage in _COVERED))
_EAN = (
    Stage("ean-varied", "ean", _STUDENT, seed=3, teachers=_FIVE),
    Stage("ean", "ean", _CLOSE, seed=4, teachers=_FIVE, initial="ean-varied"),
)
_LCNN = (
    Stage("lcnn-48", "lcnn", _STUDENT, size=48, resize=52, seed=3, teachers=_FIVE),
    Stage("lcnn", "lcnn", _SHARP, size=64, resize=70, seed=4, teachers=_FIVE, initial="lcnn-48"),
)
_EARLIER = (*_TEACHERS, *_LARGE, *_COVERED)
_LFER, _EFFICIENTFACE = (
    Stage(
        stage.model,
        stage.model,
        _LAST,
        size=96,
        resize=104,
        seed=41,
        teachers=(*_FIRST[:2], "ean", *_FIVE[3:]),
        initial=stage.name,
    )
    for stage in _COVERED
)

# starts from the stage "lcnn"; EAN and the large networks teach as their own plans end with them
_LCNN_END = Stage(
    "lcnn-end",
    "lcnn",
    _END,
    size=64,
    resize=70,
    seed=51,
    teachers=(*_FIRST[:2], "ean", _LFER.name, _EFFICIENTFACE.name),
    initial="lcnn",
)

PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan(
            "ean_best",
            "EAN, taught by three EANs, two of them three times as wide, by LFER-LDL and by EfficientFace.",
            (*_EARLIER, *_EAN),
        ),
        Plan(
            "lcnn_best",
            "LCNN at 64 pixels, which starts at 48, taught by the same, then by what the other plans end with.",
            (*_EARLIER, *_EAN, *_LCNN, _LFER, _EFFICIENTFACE, _LCNN_END),
            result="last",
        ),
        Plan(
            "ean_ferplus",
            "EAN on FER+: eight classes, from the votes themselves.",
            (Stage("ean", "ean", _VOTES, seed=1),),
        ),
        Plan(
            "efficientface_best",
            "EfficientFace at 96 pixels, which starts at 64, taught by three EANs, then by itself, LFER-LDL and EAN.",
            (*_EARLIER, *_EAN, _EFFICIENTFACE),
            _TUNING,
        ),
        Plan(
            "lfer_best",
            "LFER-LDL at 96 pixels, which starts at 64, taught by three EANs, then by itself, EfficientFace and EAN.",
            (*_EARLIER, *_EAN, _LFER),
            _TUNING,
        ),
    )
}
