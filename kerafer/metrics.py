"""Metrics to watch while training, on any Keras backend.

Both take labels as (batch, classes), one-hot or as distributions (the most probable class counts), and are named in
`model.compile(metrics=[...])`. For macro F1 take `keras.metrics.F1Score(average="macro")`; it counts a class
that has no images as 0, and wants one-hot labels.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


class _Counts(keras.metrics.Metric):
    """Sums over batches, and what the labels and predictions of a batch must look like."""

    def __init__(self, name: str, dtype: Any) -> None:
        super().__init__(name=name, dtype=dtype)

    def _checked(self, y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        y_true = ops.convert_to_tensor(y_true, dtype=self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        true, pred = tuple(y_true.shape), tuple(y_pred.shape)
        if len(pred) != 2 or len(true) != 2 or pred[1] != true[1]:
            raise ValueError(
                "`y_true` and `y_pred` must both have shape (batch, classes); make one-hot labels of class numbers "
                f"first. Received: y_true.shape={true}, y_pred.shape={pred}"
            )
        if sample_weight is None:
            weight = ops.ones_like(y_pred[:, 0])
        else:
            weight = ops.convert_to_tensor(sample_weight, dtype=self.dtype)
            if len(weight.shape) == 2 and weight.shape[1] == 1:
                weight = ops.squeeze(weight, axis=1)  # (batch, 1) -> (batch,)
            if len(weight.shape) != 1:
                raise ValueError(
                    "`sample_weight` must have shape (batch,), one number an image. "
                    f"Received: sample_weight.shape={tuple(weight.shape)}"
                )
        return y_true, y_pred, weight


@keras.saving.register_keras_serializable(package="kerafer")
class BalancedAccuracy(_Counts):
    """Mean recall of the classes, so that rare expressions count as much as frequent ones.

    A class without images so far is left out of the mean. The result is 0 before the first batch.

    Args:
        name: of the metric.
        dtype: of its sums.

    Example:
        >>> metric = BalancedAccuracy()
        >>> y_true = np.eye(2)[[0, 0, 0, 1]]
        >>> metric.update_state(y_true, np.eye(2)[[0, 0, 1, 1]])
        >>> round(float(metric.result()), 4)
        0.8333
    """

    def __init__(self, name: str = "balanced_accuracy", dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.right: Any = None
        self.total: Any = None

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            y_true: (batch, classes) labels, one-hot or distributions.
            y_pred: (batch, classes) probabilities or logits.
            sample_weight: (batch,) how much each image counts, or None.

        Raises:
            ValueError: if shapes do not fit, or the number of classes changes.
        """
        y_true, y_pred, weight = self._checked(y_true, y_pred, sample_weight)
        classes = y_pred.shape[1]
        if self.right is None:
            self.right = self.add_variable((classes,), initializer="zeros", name="right", dtype=self.dtype)
            self.total = self.add_variable((classes,), initializer="zeros", name="total", dtype=self.dtype)
        if self.right.shape[0] != classes:
            raise ValueError(f"`y_pred` must keep its {self.right.shape[0]} classes. Received: {classes}")
        label, best = ops.argmax(y_true, axis=1), ops.argmax(y_pred, axis=1)
        counted = ops.one_hot(label, classes, dtype=self.dtype) * weight[:, None]  # (batch, classes)
        hit = ops.cast(ops.equal(label, best), self.dtype)[:, None]
        self.right.assign_add(ops.sum(counted * hit, axis=0))
        self.total.assign_add(ops.sum(counted, axis=0))

    def result(self) -> Any:
        """Return the mean recall, a scalar from 0 to 1."""
        if self.right is None:
            return ops.zeros((), dtype=self.dtype)
        present = ops.cast(ops.greater(self.total, 0), self.dtype)
        return ops.divide_no_nan(ops.sum(ops.divide_no_nan(self.right, self.total)), ops.sum(present))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this metric again."""
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="kerafer")
class ExpectedCalibrationError(_Counts):
    """Mean gap of confidence and accuracy over bins of confidence, weighted by the images in each.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equation (3): the sum over
    bins of |B_m| / n * |acc(B_m) - conf(B_m)|, with bins (0, 1/M], (1/M, 2/M], ... of the best class's probability. The
    result is 0 before the first batch.

    Args:
        bins: M, how many.
        from_logits: whether predictions are logits, to which softmax is applied first.
        name: of the metric.
        dtype: of its sums.

    Raises:
        ValueError: if `bins` is not a whole number of 1 or more.

    Example:
        >>> metric = ExpectedCalibrationError()
        >>> metric.update_state(np.eye(2)[[0, 1]], np.array([[0.75, 0.25], [0.75, 0.25]]))
        >>> float(metric.result())
        0.25
    """

    def __init__(
        self, bins: int = 15, from_logits: bool = False, name: str = "calibration_error", dtype: Any = None
    ) -> None:
        if not isinstance(bins, int) or bins < 1:
            raise ValueError(f"`bins` must be a whole number, 1 or more. Received: bins={bins!r}")
        super().__init__(name, dtype)
        self.bins, self.from_logits = bins, bool(from_logits)
        self.images, self.confidence, self.hits = (
            self.add_variable((bins,), initializer="zeros", name=part, dtype=self.dtype)
            for part in ("images", "confidence", "hits")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            y_true: (batch, classes) labels, one-hot or distributions.
            y_pred: (batch, classes) probabilities, or logits with `from_logits`.
            sample_weight: (batch,) how much each image counts, or None.

        Raises:
            ValueError: if shapes do not fit.
        """
        y_true, y_pred, weight = self._checked(y_true, y_pred, sample_weight)
        if self.from_logits:
            y_pred = ops.softmax(y_pred, axis=1)
        sure = ops.max(y_pred, axis=1)
        hit = ops.cast(ops.equal(ops.argmax(y_true, axis=1), ops.argmax(y_pred, axis=1)), self.dtype)
        # comparing with float32 edges, not multiplying, puts a confidence on an edge where `kerafer.evaluation` does
        edges = ops.convert_to_tensor((np.arange(1, self.bins) / self.bins).astype(np.float32), dtype=self.dtype)
        number = ops.sum(ops.cast(ops.greater(sure[:, None], edges[None, :]), "int32"), axis=1)
        counted = ops.one_hot(number, self.bins, dtype=self.dtype) * weight[:, None]  # (batch, bins)
        self.images.assign_add(ops.sum(counted, axis=0))
        self.confidence.assign_add(ops.sum(counted * sure[:, None], axis=0))
        self.hits.assign_add(ops.sum(counted * hit[:, None], axis=0))

    def result(self) -> Any:
        """Return the expected calibration error, a scalar from 0 to 1."""
        # |B| * |acc - conf| is |hits - summed confidence|, so no bin's mean is needed
        return ops.divide_no_nan(ops.sum(ops.abs(self.hits - self.confidence)), ops.sum(self.images))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this metric again."""
        return {"bins": self.bins, "from_logits": self.from_logits, "name": self.name, "dtype": self.dtype}
