"""EAN's loss of a student that learns from a teacher, and the targets that it takes."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerafer.losses.base import ClassificationLoss, checked, number, one_of, reduce_classes, smooth


@keras.saving.register_keras_serializable(package="kerafer")
class DistillationLoss(ClassificationLoss):
    """EAN's loss of the student: divergence from the teacher's softened output, and cross-entropy with the labels.

    ``L = alpha * T^2 * KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) * CE(labels, softmax(student))``
    in nats. Labels and teacher travel together in y_true, so that plain `model.fit` trains a student:
    `distillation_targets` packs them.

    What the paper leaves open, and what is chosen (after Hinton et al., 2015):

    - KL sums over the classes, as equation (5) prints it; `class_reduction="mean"` divides by their number.
    - The cross-entropy takes the plain student, the "softmax loss" of the text; `soften_cross_entropy` divides its
      logits by T too, which is equation (6) to the letter.

    The metrics of `model.compile` see the packed y_true, which `"accuracy"` cannot read. Write
    ``def accuracy(y_true, y_pred): return keras.metrics.categorical_accuracy(y_true[:, 0], y_pred)``, and give
    `sample_weight` instead of `class_weight`.

    Args:
        alpha: share of the teacher in [0, 1].
        temperature: T, above 0.
        class_reduction: `"sum"` or `"mean"` over the classes of KL.
        soften_cross_entropy: whether the cross-entropy takes softmax(student / T).
        from_logits: whether y_pred holds logits. If False it holds probabilities, and their logarithms take the
            logits' place: they differ by a constant for each image, which no softmax sees.
        label_smoothing: share of each label spread over all classes, in [0, 1); the teacher's are left as they are.
        reduction: as in Keras.
        name: as in Keras.
        dtype: as in Keras; half precision is computed in float32.

    Call arguments:
        y_true: (batch, 2, classes): ``y_true[:, 0]`` one-hot or soft labels, ``y_true[:, 1]`` the teacher's logits.
        y_pred: (batch, classes), the student.
        sample_weight: (batch,), multiplies each image's value, as in Keras.

    Raises:
        ValueError: if an argument is not one of these, or, when called, if the shapes are not.

    Example:
        >>> from kerafer.losses import DistillationLoss, distillation_targets
        >>> y_true = distillation_targets(labels=[2, 0], teacher_logits=[[0.0, 1.0, 3.0], [2.0, 1.0, -1.0]])
        >>> y_true.shape
        (2, 2, 3)
        >>> f"{float(DistillationLoss()(y_true, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])):.4f}"
        '0.4545'

    Reference:
        Kong et al., Real-time facial expression recognition based on iterative transfer learning and efficient
        attention network (EAN), IET Image Processing 2022, equations (4) to (8).
    """

    _arguments = ("alpha", "temperature", "class_reduction", "soften_cross_entropy", "label_smoothing")

    def __init__(
        self,
        alpha: float = 0.5,
        temperature: float = 5.0,
        *,
        class_reduction: str = "sum",
        soften_cross_entropy: bool = False,
        from_logits: bool = True,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "distillation_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits=from_logits, reduction=reduction, name=name, dtype=dtype)
        self.alpha = number("alpha", alpha, 0 <= alpha <= 1, "in [0, 1]")
        self.temperature = number("temperature", temperature, 0 < temperature < math.inf, "above 0, and finite")
        self.class_reduction = one_of("class_reduction", class_reduction, ("sum", "mean"))
        self.soften_cross_entropy = bool(soften_cross_entropy)
        self.label_smoothing = number("label_smoothing", label_smoothing, 0 <= label_smoothing < 1, "in [0, 1)")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return each image's loss, (batch,)."""
        y_true, y_pred = checked(y_true, y_pred, packed=2)
        labels, teacher = smooth(y_true[:, 0], self.label_smoothing), y_true[:, 1]
        student = y_pred if self.from_logits else self._log_probabilities(y_pred)
        log_p = ops.log_softmax(teacher / self.temperature, axis=-1)
        log_q = ops.log_softmax(student / self.temperature, axis=-1)
        divergence = reduce_classes(ops.exp(log_p) * (log_p - log_q), self.class_reduction)
        log_hard = log_q if self.soften_cross_entropy else ops.log_softmax(student, axis=-1)
        cross_entropy = -ops.sum(labels * log_hard, axis=-1)
        return self.alpha * self.temperature**2 * divergence + (1 - self.alpha) * cross_entropy


def distillation_targets(labels: Any, teacher_logits: Any) -> np.ndarray:
    """Pack hard labels and the teacher's logits into the y_true of `DistillationLoss`.

    It takes arrays; inside a `tf.data` pipeline, ``tf.stack([one_hot_labels, teacher_logits], axis=1)`` does the same.

    Args:
        labels: (batch,) integer class indices, or (batch, classes) one-hot or soft labels.
        teacher_logits: (batch, classes), what the teacher gives with `classifier_activation=None`. If you only have
            probabilities, pass their logarithms.

    Returns:
        (batch, 2, classes), float32 (float64 if the logits are): labels in ``[:, 0]``, logits in ``[:, 1]``.

    Raises:
        ValueError: if the shapes differ, a label is no class or no distribution, a logit is not finite, or
            probabilities were given for logits.
    """
    logits = np.asarray(teacher_logits)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"`teacher_logits` must have shape (batch, classes). Received: shape {logits.shape}")
    if not np.isfinite(logits).all():
        raise ValueError("`teacher_logits` must be finite. Received: infinite or missing values")
    if len(logits) and _are_distributions(logits):
        raise ValueError(
            "`teacher_logits` must be logits (classifier_activation=None), or logarithms of probabilities. "
            "Received: probabilities"
        )
    labels = np.asarray(labels)
    if labels.ndim == 1:
        labels = _one_hot(labels, logits.shape[1])
    if labels.shape != logits.shape:
        raise ValueError(
            "`labels` must have shape (batch,) or that of `teacher_logits`, (batch, classes). "
            f"Received: labels of shape {labels.shape}, teacher_logits of shape {logits.shape}"
        )
    if not _are_distributions(labels):
        raise ValueError("`labels` must be 0 or more and add up to 1 over the classes. Received: other rows")
    return np.stack([labels, logits], axis=1).astype(np.result_type(logits.dtype, np.float32))


def _one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    if not np.issubdtype(labels.dtype, np.integer) or not ((labels >= 0) & (labels < classes)).all():
        raise ValueError(f"`labels` must be integers from 0 to {classes - 1}. Received: labels={labels!r}")
    return np.eye(classes)[labels]


def _are_distributions(x: np.ndarray) -> bool:
    return bool((x >= 0).all() and np.allclose(x.sum(axis=1, dtype=np.float64), 1, atol=1e-2))  # float16 adds up so
