"""Training on an accelerator: the pictures of a cycle lie on the device, and an epoch is one call.

In a cycle the same batches come again, so that they can be made once and stay where they are needed: a GPU then waits
for no host. Everything is computed as `fit` with the callbacks of `train` computes it, to rounding.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from kerafer.data.dataset import FaceDataset
from kerafer.data.pipeline import EvaluationBatches, TrainingBatches
from kerafer.layers import LUMA
from kerafer.training.callbacks import REFRESH_BATCHES, ResumableState, Validate
from kerafer.training.learner import Learner, Teacher
from kerafer.training.recipes import TrainingRecipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from kerafer.preprocess import Preprocessing

Views = tuple[np.ndarray, np.ndarray]

EVALUATED = 256
"""Images that are measured at a time."""


def suits(batches: TrainingBatches, validation: FaceDataset, recipe: TrainingRecipe) -> bool:
    """Return whether such a training can stay on a device: JAX has one, and gray pictures come again in a cycle.

    Pictures that lie on disk stay there: a cycle of them may be more than any memory holds.
    """
    if keras.backend.backend() != "jax":
        return False
    import jax

    return (
        jax.default_backend() != "cpu"
        and recipe.cycle > 0
        and not recipe.mixup
        and recipe.schedule != "plateau"
        and recipe.dtype_policy != "mixed_float16"  # its optimizer is wrapped in one that scales the loss
        and all(part.is_gray and part.size is not None for part in (batches.data, validation))
        and batches.part == (0, 1)
    )


class DeviceTraining:
    """A learner, its batches and its validation split on the device.

    Args:
        learner: compiled, with its optimizer built.
        batches: the training batches, with a cycle.
        evaluation: the validation split.
        views: what `make_views` makes.
    """

    def __init__(self, learner: Learner, batches: TrainingBatches, evaluation: EvaluationBatches, views: Views) -> None:
        import jax

        self.learner, self.batches, self.cycle = learner, batches, len(views[0])
        self.contract, self.channels = batches.preprocessing, batches.channels
        self.classes = len(batches.data.class_names)
        self.device = jax.devices()[0]
        pictures, numbers = views
        self.shown, self.labels = self._put((pictures, batches.data.labels[numbers].astype(np.int32)))
        soft = batches.distributions
        self.soft = None if soft is None else self._put(soft[numbers].astype(np.float32))
        self.evaluated = self._put(_evaluated(evaluation))
        self._epoch = jax.jit(self._train_epoch, donate_argnums=0)
        self._measured = jax.jit(self._measure)

    def inputs(self, pictures: Any) -> Any:
        """Return what the network sees of (batch, height, width) uint8, as `TrainingBatches` makes it."""
        return _inputs(pictures, self.contract, self.channels)

    def ask(self, teacher: Teacher) -> Callable[[int], np.ndarray]:
        """Return a function that gives a teacher's answers about an epoch's pictures, (batches, batch, classes)."""
        import jax

        values = self._put([np.asarray(v) for v in teacher.variables])

        def answer(values: Any, pictures: Any) -> Any:
            def one(_: Any, batch: Any) -> Any:
                with keras.StatelessScope(state_mapping=zip(teacher.variables, values, strict=True)):
                    return None, teacher(self.inputs(batch))

            return jax.lax.scan(one, None, pictures)[1]

        compiled = jax.jit(answer)
        return lambda epoch: np.asarray(compiled(values, self.shown[epoch]))

    def fit(self, validate: Validate, state: ResumableState, *, first: int, epochs: int, verbose: int) -> None:
        """Train from an epoch on, and leave the weights in the learner that are to be kept as the last ones.

        The models and the state are written after each cycle and at the end.
        """
        learner = self.learner
        for callback in (validate, state):
            callback.set_model(learner)
            callback.on_train_begin()
        if self.batches.answers is not None:
            self.soft = self._put(self.batches.answers)
        # copies: JAX gives their memory away
        variables = self._put([[np.array(v) for v in part] for part in self._parts()])
        kept = weights = None
        for epoch in tqdm(range(first, epochs), learner.student.name, unit="epoch", disable=verbose != 1):
            turn = epoch % self.cycle
            soft = None if self.soft is None else self.soft[turn]
            logs, variables = self._epoch(variables, self.shown[turn], self.labels[turn], soft)
            weights, measured = self._measured(variables, self.shown[0], self.evaluated)
            logs = {name: float(value) for name, value in logs.items()}
            logs |= {f"val_{name}": float(value) for name, value in measured.items()}
            if logs["val_accuracy"] >= validate.best:
                validate.best, kept = logs["val_accuracy"], weights
            last = epoch + 1 == epochs
            if last or turn + 1 == self.cycle:
                if kept is not None:
                    self._assign([*kept, variables[2]])
                    validate.keep(learner.student)
                    kept = None
                self._assign(variables)
            learner.optimizer.iterations.assign((epoch + 1) * len(self.batches))
            state.note(epoch, logs)
            if last or turn + 1 == self.cycle:
                state.write()
            if verbose == 2:
                shown = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
                print(f"epoch {epoch + 1}/{epochs}: {shown}", flush=True)
        self._assign([*weights, variables[2]])

    def _put(self, values: Any) -> Any:
        import jax

        return jax.device_put(values, self.device)

    def _parts(self) -> tuple[list[keras.Variable], ...]:
        learner = self.learner
        return learner.trainable_variables, learner.non_trainable_variables, learner.optimizer.variables

    def _assign(self, values: list[list[Any]]) -> None:
        for variables, part in zip(self._parts(), values, strict=True):
            for variable, value in zip(variables, part, strict=True):
                variable.assign(np.asarray(value))

    def _train_epoch(self, variables: Any, pictures: Any, labels: Any, soft: Any) -> Any:
        import jax

        def step(variables: Any, batch: Any) -> Any:
            shown, label, answer = batch
            y = ops.one_hot(label, self.classes)
            if answer is not None:
                y = ops.stack([y, answer], axis=1)  # (batch, 2, classes)
            trained, others, slots = variables
            learn = jax.value_and_grad(self._loss, has_aux=True)
            (loss, (logits, others)), gradients = learn(trained, others, self.inputs(shown), y)
            trained, slots = self.learner.optimizer.stateless_apply(slots, gradients, trained)
            right = ops.mean(ops.cast(ops.argmax(logits, axis=-1) == label, "float32"))
            return [list(trained), list(others), list(slots)], (loss, right)

        variables, (losses, right) = jax.lax.scan(step, variables, (pictures, labels, soft))
        return {"accuracy": right.mean(), "loss": losses.mean()}, variables

    def _loss(self, trained: Any, others: Any, x: Any, y: Any) -> Any:
        learner = self.learner
        variables = [*learner.trainable_variables, *learner.non_trainable_variables]
        with keras.StatelessScope(state_mapping=[*zip(variables, [*trained, *others], strict=True)]) as scope:
            logits = learner(x, training=True)
            loss = learner.compute_loss(x, y, logits)
            others = [scope.get_current_value(v) for v in learner.non_trainable_variables]
        return loss, (logits, others)

    def _measure(self, variables: Any, pictures: Any, evaluated: Any) -> Any:
        """Return the weights that would be kept, trained and not trained ones, and what they measure."""
        import jax

        learner, (trained, others, slots) = self.learner, variables
        if learner.optimizer.use_ema:
            pairs = [
                *zip(learner.trainable_variables, trained, strict=True),
                *zip(learner.optimizer.variables, slots, strict=True),
            ]
            with keras.StatelessScope(state_mapping=pairs) as scope:
                learner.optimizer.finalize_variable_values(learner.trainable_variables)
                trained = [scope.get_current_value(v) for v in learner.trainable_variables]
            others = self._refreshed(trained, others, pictures[:REFRESH_BATCHES])

        def one(sums: Any, batch: Any) -> Any:
            shown, label = batch
            logits, _ = learner.stateless_call(trained, others, self.inputs(shown), training=False)
            logits = ops.cast(logits, "float32")
            real = ops.cast(label >= 0, "float32")
            y = ops.one_hot(ops.maximum(label, 0), self.classes)
            losses = keras.losses.categorical_crossentropy(y, logits, from_logits=True) * real
            right = ops.cast(ops.argmax(logits, axis=-1) == label, "float32")
            return [sums[0] + losses.sum(), sums[1] + right.sum(), sums[2] + real.sum()], None

        (loss, right, count), _ = jax.lax.scan(one, [0.0, 0.0, 0.0], evaluated)
        return (trained, others), {"loss": loss / count, "accuracy": right / count}

    def _refreshed(self, trained: Any, others: Any, pictures: Any) -> Any:
        """Return the not trained values with the mean statistics of these batches, as `refresh_batch_norm` does."""
        import jax

        norms = [layer for layer in self.learner.student.layers if isinstance(layer, keras.layers.BatchNormalization)]
        moving = {id(v) for layer in norms for v in (layer.moving_mean, layer.moving_variance)}
        places = [i for i, v in enumerate(self.learner.non_trainable_variables) if id(v) in moving]
        momenta = [layer.momentum for layer in norms]
        for layer in norms:
            layer.momentum = 0.0  # a batch's own statistics

        def one(_: Any, batch: Any) -> Any:
            _, updated = self.learner.stateless_call(trained, others, self.inputs(batch), training=True)
            return None, [updated[place] for place in places]

        try:
            _, statistics = jax.lax.scan(one, None, pictures)
        finally:
            for layer, momentum in zip(norms, momenta, strict=True):
                layer.momentum = momentum
        refreshed = list(others)
        for place, values in zip(places, statistics, strict=True):
            refreshed[place] = values.mean(axis=0)
        return refreshed


def make_views(batches: TrainingBatches, epochs: int, *, progress: bool = False) -> Views:
    """Make a cycle's pictures.

    Args:
        batches: the training batches of a gray data set, with a cycle.
        epochs: of the training; no more of the cycle are made.
        progress: whether to show a progress bar.

    Returns:
        Pictures, (cycle or epochs, batches, batch, height, width) uint8, and the images' numbers,
        (cycle or epochs, batches, batch).
    """
    cycle, count = min(batches.cycle, epochs), len(batches)
    views = np.empty((cycle, count, batches.batch_size, *batches.preprocessing.size), np.uint8)
    numbers = np.empty(views.shape[:3], np.int64)

    def make(step: int) -> None:
        epoch, position = divmod(step, count)
        views[epoch, position], numbers[epoch, position] = batches.pictures(epoch, position)

    with ThreadPoolExecutor() as pool:
        made = pool.map(make, range(cycle * count))
        for _ in tqdm(made, "making the views", total=cycle * count, unit="batch", disable=not progress):
            pass
    return views, numbers


def _evaluated(evaluation: EvaluationBatches) -> tuple[np.ndarray, np.ndarray]:
    """Return the split's pictures, (n, EVALUATED, height, width) uint8, and labels, -1 where a batch is filled up."""
    data, contract = evaluation.data, evaluation.preprocessing
    images = contract.centre(data.pixels(np.arange(len(data)), contract))
    missing = -len(images) % EVALUATED
    images = np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)])
    labels = np.concatenate([data.labels, np.full(missing, -1)]).astype(np.int32)
    return images.reshape(-1, EVALUATED, *images.shape[1:]), labels.reshape(-1, EVALUATED)


def _inputs(pictures: Any, contract: Preprocessing, channels: int) -> Any:
    x = ops.cast(pictures, "float32")[..., None] / 255.0  # (batch, height, width, 1)
    x = (x - np.asarray(contract.mean, np.float32)) / np.asarray(contract.std, np.float32)  # (batch, h, w, 3)
    return x if channels == 3 else ops.sum(x * np.asarray(LUMA, np.float32), axis=-1, keepdims=True)
