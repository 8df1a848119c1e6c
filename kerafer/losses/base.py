"""What the losses share: their base class, checks of shapes and arguments, and small sums."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

EPSILON = 1e-7
"""Smallest probability whose logarithm is taken."""


class ClassificationLoss(keras.losses.Loss):
    """What the four losses share: `from_logits`, a dtype of at least float32, and `get_config`."""

    _arguments: tuple[str, ...] = ()

    def __init__(self, *, from_logits: bool, reduction: str | None, name: str | None, dtype: Any) -> None:
        # Keras would compute in a policy's float16, whose smallest step below 1 is 5e-4.
        compute_dtype = keras.dtype_policies.get(dtype or keras.config.floatx()).compute_dtype
        super().__init__(name=name, reduction=reduction, dtype="float64" if compute_dtype == "float64" else "float32")
        self.from_logits = bool(from_logits)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this loss again."""
        arguments = {name: getattr(self, name) for name in ("dtype", "from_logits", *self._arguments)}
        return {**super().get_config(), **arguments}

    def _log_probabilities(self, y_pred: Any) -> Any:
        if self.from_logits:
            return ops.log_softmax(y_pred, axis=-1)
        return ops.log(ops.maximum(y_pred, EPSILON))


def checked(y_true: Any, y_pred: Any, packed: int | None = None) -> tuple[Any, Any]:
    """Return both as tensors; refuse shapes that would broadcast to a wrong loss (a size not known yet passes)."""
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    if len(pred) != 2 or pred[1] == 1:
        raise ValueError(f"`y_pred` must have shape (batch, classes), 2 classes or more. Received: y_pred.shape={pred}")
    expected = pred if packed is None else (pred[0], packed, pred[1])
    fits = [None in sizes or sizes[0] == sizes[1] for sizes in zip(true, expected, strict=False)]
    if len(true) != len(expected) or not all(fits):
        raise ValueError(f"`y_true` must have shape {expected}. Received: y_true.shape={true}, y_pred.shape={pred}")
    return y_true, y_pred


def number(name: str, value: float, fine: bool, what: str) -> float:
    """Return an argument as a float if it is fine; the error says what it must be."""
    if not fine:
        raise ValueError(f"`{name}` must be {what}. Received: {name}={value!r}")
    return float(value)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return an argument if it is one of the choices."""
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(choices)}. Received: {name}={value!r}")
    return value


def reduce_classes(values: Any, class_reduction: str) -> Any:
    """Return the `"sum"` or `"mean"` over the last axis."""
    total = ops.sum(values, axis=-1)
    # Not `ops.mean`: on JAX it computes float64 in float32.
    return total / values.shape[-1] if class_reduction == "mean" else total


def smooth(labels: Any, label_smoothing: float) -> Any:
    """Spread a share of each label over all classes."""
    return labels * (1 - label_smoothing) + label_smoothing / labels.shape[-1]
