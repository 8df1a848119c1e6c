"""What `fit` trains: a student, with the loss of its recipe and, where it has one, its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerafer.loading import LoadedModel
from kerafer.losses import ComboLoss, DistillationLoss, KLLoss, LabelDistributionLoss
from kerafer.preprocess import Preprocessing
from kerafer.training.recipes import SOFT_LOSSES, TrainingRecipe


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Return whether the best class is the hard label's, (batch,), for labels as `Learner` takes them."""
    hard = y_true[:, 0] if len(y_true.shape) == 3 else y_true
    return keras.metrics.categorical_accuracy(hard, y_pred)


SMALLEST = 1e-30
"""Probability whose logarithm stands for that of any smaller one."""

ENOUGH = 0.9
"""Share of a picture's own pixels, along a side, that can show all of it but its finest noise."""


class Learner(keras.Model):
    """A student that learns from hard labels, from distributions or from a teacher, by plain `fit`.

    Evaluated, its loss is always the cross-entropy with hard labels, so that methods can be compared.

    Args:
        student: the model that is trained; it gives logits.
        recipe: which loss, and its constants.
        teacher: gives the teacher's logits for the student's input; with the loss `"distillation"` only.

    Call arguments:
        x: the student's input.

    Labels, as `fit` and `evaluate` take them: (batch, classes) hard labels, one-hot or mixed; or (batch, 2, classes):
    ``y[:, 0]`` the hard labels, ``y[:, 1]`` the distributions, or the log-probabilities that a teacher gave before.
    """

    def __init__(self, student: keras.Model, recipe: TrainingRecipe, teacher: Teacher | None = None) -> None:
        super().__init__(name="learner")
        self.student, self.teacher, self.loss_name = student, teacher, recipe.loss
        hard = {"from_logits": True, "label_smoothing": recipe.label_smoothing}
        self.losses_of_recipe = {
            "cross_entropy": keras.losses.CategoricalCrossentropy(**hard, dtype="float32"),
            "label_distribution": LabelDistributionLoss(from_logits=True),
            "kl": KLLoss(from_logits=True),
            "distillation": DistillationLoss(recipe.alpha, recipe.temperature, **hard),
            "combo": ComboLoss(recipe.combo_alpha, recipe.combo_beta, **hard),
        }
        self.measured_loss = keras.losses.CategoricalCrossentropy(from_logits=True, dtype="float32")
        self.combo_weight = recipe.combo_weight
        self.build((None, *student.input_shape[1:]))

    def build(self, input_shape: Any) -> None:
        """Nothing is left to build: the student is whole."""
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return the student's logits, (batch, classes)."""
        return self.student(x, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the recipe's loss in training, else the cross-entropy with hard labels; a scalar in nats."""
        packed = len(y.shape) == 3
        hard = y[:, 0] if packed else y
        if not training:
            return self.measured_loss(hard, y_pred, sample_weight)
        if self.loss_name == "distillation" and packed:  # the teacher was asked beforehand
            y_true = y
        elif self.loss_name == "distillation":
            y_true = ops.stack([hard, ops.stop_gradient(self.teacher(x))], axis=1)  # (batch, 2, classes)
        else:
            y_true = y[:, 1] if self.loss_name in SOFT_LOSSES else hard
        loss = self.losses_of_recipe[self.loss_name](y_true, y_pred, sample_weight)
        if self.combo_weight:
            loss += self.combo_weight * self.losses_of_recipe["combo"](hard, y_pred, sample_weight)
        for penalty in self.student.losses:  # weight regularisers
            loss += ops.cast(penalty, "float32")
        return loss


class Teacher(keras.Model):
    """One frozen model, or the mean of several, that a student's inputs can be shown to.

    It undoes the student's scaling, resizes to the teacher's size and scales as the teacher's contract says, so that
    any model of any size may teach: it sees the very crop that the student sees.

    Args:
        models: the teachers, from `kerafer.load_model`; their probabilities are averaged.
        contract: the student's preprocessing.
        class_names: the student's classes, in order.
        channels: of the student's input.
        enlarged: how many times larger a picture's own pixels are in the student's input; 1 where that is unknown. A
            teacher that has pixels for all that such a picture shows sees it as sharp as it was.

    Raises:
        ValueError: if there is no model, one has other classes, or is not a Keras model.
    """

    def __init__(
        self,
        models: Sequence[LoadedModel],
        contract: Preprocessing,
        class_names: Sequence[str],
        channels: int = 3,
        enlarged: float = 1.0,
    ) -> None:
        super().__init__(name="teacher", dtype="float32")  # half precision would round the pictures before they arrive
        if not models:
            raise ValueError("`teacher` must be one model or more. Received: none")
        for loaded in models:
            if loaded.model is None:
                raise ValueError(f"`teacher` must be a Keras model (.keras, run or bundle). Received: {loaded.name}")
            if set(loaded.card.labels) != set(class_names):
                raise ValueError(
                    f"`teacher` must have the classes {tuple(class_names)}. Received: {loaded.name} with "
                    f"{loaded.card.labels}"
                )
        self.networks = [_copy(loaded.model) for loaded in models]  # freezing the caller's own would show outside
        self.contracts = [loaded.card.preprocessing for loaded in models]
        self.orders = [[loaded.card.labels.index(name) for name in class_names] for loaded in models]
        self.contract, self.channels, self.enlarged = contract, channels, enlarged
        self.trainable = False
        self.built = True

    def call(self, x: Any) -> Any:
        """Return log-probabilities, (batch, classes) float32: logits up to a constant, which no softmax sees."""
        total = 0.0
        for network, shown, order in zip(self.networks, self.views(x), self.orders, strict=True):
            total = total + ops.take(network(shown, training=False), np.array(order), axis=-1)
        return ops.log(ops.maximum(ops.cast(total, "float32") / len(self.networks), SMALLEST))

    def views(self, x: Any) -> list[Any]:
        """Return what each teacher is shown of a student's inputs, (batch, height, width, 3) of its own size."""
        x = ops.cast(x, "float32")
        if self.channels == 1:
            x = ops.repeat(x, 3, axis=-1)  # a gray student's input is the luma of a scaled picture
        pixels = x * _constant(self.contract.std) + _constant(self.contract.mean)
        views = []
        for contract in self.contracts:
            shown = pixels if tuple(pixels.shape[1:3]) == tuple(contract.size) else self._resized(pixels, contract.size)
            views.append((shown - _constant(contract.mean)) / _constant(contract.std))
        return views

    def _resized(self, pixels: Any, size: tuple[int, int]) -> Any:
        sides = list(zip(size, pixels.shape[1:3], strict=True))
        shrinks = all(target < side for target, side in sides)
        if shrinks and all(target >= ENOUGH * side / self.enlarged for target, side in sides):
            # nothing is lost that a low pass would have to keep from folding over, and it would blur: EAN, which
            # teaches a student of 96 pixels, would be three points less accurate
            return ops.clip(ops.image.resize(pixels, size, interpolation="bicubic", antialias=False), 0.0, 1.0)
        return ops.image.resize(pixels, size, interpolation="bilinear", antialias=True)


def _copy(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def _constant(values: Sequence[float]) -> Any:
    return np.asarray(values, np.float32)
