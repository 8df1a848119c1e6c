"""What the tests of the losses share: two images' logits, and values and gradients of a loss."""

import numpy as np
import tensorflow as tf

from kerafer.losses import ComboLoss, DistillationLoss, KLLoss, LabelDistributionLoss, distillation_targets

STUDENT = np.array([[1, 0.5, -0.5, 2, 0, -1, 0.25], [0.1, -0.2, 0.3, 0, 1.5, -0.7, 0.4]])
TEACHER = np.array([[0.8, 0.2, -1, 3, 0.5, -0.5, 0], [0, 0.1, 0.2, -0.3, 2.5, -1, 0.9]])
LABELS = np.array([3, 6])


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


P, Q = softmax(TEACHER), softmax(STUDENT)
ONE_HOT = np.eye(7)[LABELS]
PACKED = distillation_targets(LABELS, TEACHER)
EXACT = {"from_logits": True, "dtype": "float64"}
LOSSES = [LabelDistributionLoss, KLLoss, ComboLoss, DistillationLoss]
OPTIONS = {
    LabelDistributionLoss: {},
    KLLoss: {"class_reduction": "sum"},
    ComboLoss: {
        "alpha": 0.3,
        "beta": 0.2,
        "epsilon": 0.5,
        "dice_over": "class",
        "class_reduction": "sum",
        "one_minus_dice": True,
        "label_smoothing": 0.1,
    },
    DistillationLoss: {
        "alpha": 0.3,
        "temperature": 4.0,
        "class_reduction": "mean",
        "soften_cross_entropy": True,
        "label_smoothing": 0.1,
    },
}


def targets(loss):
    """y_true for STUDENT."""
    return {ComboLoss: ONE_HOT, DistillationLoss: PACKED}.get(loss, P)


def value(loss, y_true, y_pred, **call):
    return np.asarray(loss(y_true, y_pred, **call))


def gradient(loss, y_true, y_pred):
    y_pred = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        result = loss(y_true, y_pred)
    return tape.gradient(result, y_pred).numpy()


def numeric_gradient(loss, y_true, y_pred, step=1e-5):
    result = np.zeros_like(y_pred)
    for index in np.ndindex(*y_pred.shape):
        shift = np.zeros_like(y_pred)
        shift[index] = step
        result[index] = value(loss, y_true, y_pred + shift) - value(loss, y_true, y_pred - shift)
    return result / (2 * step)
