"""Losses between distributions over the classes: EfficientFace's and LFER-LDL's first."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerafer.losses.base import ClassificationLoss, checked, one_of, reduce_classes

_TINY = 1e-37  # above float32's denormals, which some processors round to 0 and so to a logarithm of -inf


@keras.saving.register_keras_serializable(package="kerafer")
class LabelDistributionLoss(ClassificationLoss):
    """EfficientFace's loss: cross-entropy from a generated label distribution, as a mean over the classes.

    ``L = -1 / (N c) * sum_n sum_j d[n, j] * log(q[n, j])`` in nats, for N images, c classes, the distribution d from a
    label distribution generator and the model's q.

    The 1/c is meant (the authors' code says `torch.mean` too): this is `keras.losses.CategoricalCrossentropy` divided
    by the number of classes. Put Keras's loss in its place, and at the paper's learning rate every step is 7 times as
    long.

    Args:
        from_logits: whether y_pred holds logits instead of probabilities.
        reduction: as in Keras. Each image's value is already the mean over the classes, so the default reduction gives
            the equation.
        name: as in Keras.
        dtype: as in Keras; half precision is computed in float32.

    Call arguments:
        y_true: (batch, classes), distributions that add up to 1; one-hot labels are one kind.
        y_pred: (batch, classes).
        sample_weight: (batch,), multiplies each image's value, as in Keras.

    Raises:
        ValueError: when called, if the shapes are not these.

    Example:
        >>> import keras
        >>> from kerafer.losses import LabelDistributionLoss
        >>> d, logits = [[0.7, 0.2, 0.1, 0.0]], [[2.0, 1.0, 0.0, -1.0]]
        >>> ours = LabelDistributionLoss(from_logits=True)(d, logits)
        >>> kerass = keras.losses.CategoricalCrossentropy(from_logits=True)(d, logits)
        >>> f"{float(ours):.4f} {float(kerass / ours):.4f}"
        '0.2100 4.0000'

    Reference:
        Zhao et al., Robust Lightweight Facial Expression Recognition Network with Label Distribution Training
        (EfficientFace), AAAI 2021, equation (5).
    """

    def __init__(
        self,
        *,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "label_distribution_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits=from_logits, reduction=reduction, name=name, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return each image's loss, (batch,)."""
        y_true, y_pred = checked(y_true, y_pred)
        return -reduce_classes(y_true * self._log_probabilities(y_pred), "mean")


@keras.saving.register_keras_serializable(package="kerafer")
class KLLoss(ClassificationLoss):
    """LFER-LDL's loss L1: divergence of the model's distribution Q from the generator's distribution P.

    ``L1 = KL(P || Q) = 1 / (N c) * sum_n sum_j P[n, j] * log(P[n, j] / Q[n, j])`` in nats; a P of 0 adds nothing.

    It differs from `LabelDistributionLoss` by the entropy of P alone: the gradients are equal, and so is the training.
    The equation uses one letter both as class index and as number of classes. It is read as the mean over all elements
    (PyTorch's `reduction="mean"`); `class_reduction="sum"` is the divergence proper (PyTorch's `"batchmean"` and
    `keras.losses.KLDivergence`), c times as large.

    Args:
        class_reduction: `"mean"` or `"sum"` over the classes.
        from_logits: whether y_pred holds logits instead of probabilities.
        reduction: as in Keras.
        name: as in Keras.
        dtype: as in Keras; half precision is computed in float32.

    Call arguments:
        y_true: P, (batch, classes), probabilities that add up to 1.
        y_pred: Q, (batch, classes).
        sample_weight: (batch,), multiplies each image's value, as in Keras.

    Raises:
        ValueError: if an argument is not one of these, or, when called, if the shapes are not.

    Example:
        >>> from kerafer.losses import KLLoss
        >>> p, q = [[0.75, 0.25]], [[0.5, 0.5]]
        >>> f"{float(KLLoss()(p, q)):.4f} {float(KLLoss(class_reduction='sum')(p, q)):.4f}"
        '0.0654 0.1308'

    Reference:
        Liu et al., Lightweight Facial Expression Recognition Based on Label Distribution Learning, 2022 (LFER-LDL),
        equation (5).
    """

    _arguments = ("class_reduction",)

    def __init__(
        self,
        *,
        class_reduction: str = "mean",
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "kl_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits=from_logits, reduction=reduction, name=name, dtype=dtype)
        self.class_reduction = one_of("class_reduction", class_reduction, ("mean", "sum"))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return each image's loss, (batch,)."""
        y_true, y_pred = checked(y_true, y_pred)
        log_p = ops.log(ops.maximum(y_true, _TINY))
        return reduce_classes(y_true * (log_p - self._log_probabilities(y_pred)), self.class_reduction)
