"""LFER-LDL's second loss, on hard labels."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kerafer.losses.base import EPSILON, ClassificationLoss, checked, number, one_of, reduce_classes, smooth


@keras.saving.register_keras_serializable(package="kerafer")
class ComboLoss(ClassificationLoss):
    """LFER-LDL's loss L2: weighted binary cross-entropies minus the Dice coefficient, on hard labels.

    ``L2 = alpha * wCE - (1 - alpha) * Dice`` for labels t and probabilities p, with
    ``wCE = -mean(beta * t * log(p) + (1 - beta) * (1 - t) * log(1 - p))`` in nats, over images and classes, and
    ``Dice = (2 * sum(t * p) + epsilon) / (sum(t) + sum(p) + epsilon)``. The least value is ``-(1 - alpha)``.

    What the paper leaves open, and what is chosen:

    - The sums of Dice run over the whole batch (its images and classes); `dice_over` offers each image, or each class
      and then their mean.
    - wCE is the mean of the classes' binary cross-entropies, as the text says; `class_reduction="sum"` adds them up.
    - The Dice coefficient is subtracted, as printed. `one_minus_dice` adds ``(1 - alpha) * (1 - Dice)``, the usual
      Dice loss: never negative, the same gradient.
    - p is clipped to [1e-7, 1 - 1e-7]. From logits this bounds the value only: the gradient is that of the formula
      without the clip, so that a confidently wrong image is still corrected. From probabilities it is 0 there.
    - The paper speaks of L2 "in the testing phase", but sweeps beta for its accuracy, so L2 must enter training, beside
      L1 (`KLLoss`). It gives no weight that joins the two.

    Each image's value is its own wCE minus the batch's Dice, so that the mean over the batch is L2. A sample weight
    multiplies this value; the sums inside Dice do not see it, but with `reduction="mean_with_sample_weight"` the loss
    is exactly the weighted mean of wCE minus Dice. As Dice is of the batch, so is the loss: it is no mean over images.

    Args:
        alpha: share of wCE in [0, 1].
        beta: share of the positives in wCE, in [0, 1]; below 0.5, false positives cost more than false negatives. The
            paper finds 0.2 best on RAF-DB and 0.6 on AffectNet-7; the default prefers neither.
        epsilon: smoothing of Dice, 0 or more.
        dice_over: `"batch"`, `"sample"` or `"class"`.
        class_reduction: `"mean"` or `"sum"` over the classes of wCE.
        one_minus_dice: whether to add 1 - Dice instead of subtracting Dice.
        from_logits: whether y_pred holds logits instead of probabilities.
        label_smoothing: share of each label spread over all classes, in [0, 1).
        reduction: as in Keras.
        name: as in Keras.
        dtype: as in Keras; half precision is computed in float32.

    Call arguments:
        y_true: (batch, classes), one-hot labels.
        y_pred: (batch, classes).
        sample_weight: (batch,); see above.

    Raises:
        ValueError: if an argument is not one of these, or, when called, if the shapes are not.

    Example:
        >>> from kerafer.losses import ComboLoss
        >>> loss = ComboLoss(beta=0.2, from_logits=True)
        >>> [f"{float(loss([[1, 0, 0]], logits)):.4f}" for logits in ([[9.0, 0.0, 0.0]], [[0.0, 9.0, 0.0]])]
        ['-0.4999', '1.2409']

    Reference:
        Liu et al., Lightweight Facial Expression Recognition Based on Label Distribution Learning, 2022 (LFER-LDL),
        equation (6).
    """

    _arguments = ("alpha", "beta", "epsilon", "dice_over", "class_reduction", "one_minus_dice", "label_smoothing")

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        epsilon: float = 1.0,
        *,
        dice_over: str = "batch",
        class_reduction: str = "mean",
        one_minus_dice: bool = False,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "combo_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits=from_logits, reduction=reduction, name=name, dtype=dtype)
        self.alpha = number("alpha", alpha, 0 <= alpha <= 1, "in [0, 1]")
        self.beta = number("beta", beta, 0 <= beta <= 1, "in [0, 1]")
        self.epsilon = number("epsilon", epsilon, 0 <= epsilon < math.inf, "0 or more, and finite")
        self.dice_over = one_of("dice_over", dice_over, ("batch", "sample", "class"))
        self.class_reduction = one_of("class_reduction", class_reduction, ("mean", "sum"))
        self.one_minus_dice = bool(one_minus_dice)
        self.label_smoothing = number("label_smoothing", label_smoothing, 0 <= label_smoothing < 1, "in [0, 1)")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return each image's loss, (batch,)."""
        y_true, y_pred = checked(y_true, y_pred)
        t = smooth(y_true, self.label_smoothing)
        log_p, log_not_p = self._clipped_logs(y_pred)
        entropies = -(self.beta * t * log_p + (1 - self.beta) * (1 - t) * log_not_p)  # (batch, classes)
        dice = self._dice(t, ops.exp(log_p))
        dice_term = 1 - dice if self.one_minus_dice else -dice
        return self.alpha * reduce_classes(entropies, self.class_reduction) + (1 - self.alpha) * dice_term

    def _clipped_logs(self, y_pred: Any) -> tuple[Any, Any]:
        """log(p) and log(1 - p), with p clipped to [EPSILON, 1 - EPSILON]."""
        if not self.from_logits:
            # Each is clipped by itself, since float32 rounds 1 - 1e-7 to 1 - 1.2e-7.
            return tuple(ops.log(ops.clip(p, EPSILON, 1 - EPSILON)) for p in (y_pred, 1 - y_pred))
        log_p = ops.log_softmax(y_pred, axis=-1)
        return _clip_log(log_p), _clip_log(_log_complement(log_p))

    def _dice(self, t: Any, p: Any) -> Any:
        """The coefficient: a scalar, or (batch,) for one of each image."""
        axis = {"batch": None, "sample": 1, "class": 0}[self.dice_over]
        both = 2 * ops.sum(t * p, axis=axis) + self.epsilon
        dice = both / (ops.sum(t, axis=axis) + ops.sum(p, axis=axis) + self.epsilon)  # p is above 0
        return reduce_classes(dice, "mean") if self.dice_over == "class" else dice


def _log_complement(log_p: Any) -> Any:
    """log(1 - p), (batch, classes), as log-sum-exp of the other classes: finite where p rounds to 1, as 1 - p is not.

    It needs (batch, classes, classes) of memory, nothing for a handful of expressions.
    """
    itself = ops.eye(log_p.shape[-1], dtype="bool")
    return ops.logsumexp(ops.where(itself, -math.inf, log_p[:, None, :]), axis=-1)


def _clip_log(log_p: Any) -> Any:
    """Clip the value to p in [EPSILON, 1 - EPSILON], and pass the gradient as if it were not clipped."""
    clipped = ops.clip(log_p, math.log(EPSILON), math.log1p(-EPSILON))
    # The bracket is exactly 0; `log_p + stop_gradient(clipped - log_p)` would round at the size of log_p.
    return ops.stop_gradient(clipped) + (log_p - ops.stop_gradient(log_p))
