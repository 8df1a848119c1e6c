"""Keras callbacks that validate averaged weights and keep everything needed to resume exactly."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerafer.data.pipeline import EvaluationBatches, TrainingBatches
from kerafer.files import DAMAGE, read_npz, replacing
from kerafer.training.learner import Learner

STATE_FILE = "state.npz"
HISTORY_FILE = "history.csv"
REFRESH_BATCHES = 16


def read_history(path: str | Path) -> list[dict[str, float]]:
    """Return what a run wrote after each epoch.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no epochs, or something other than numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no history {path}. Name the folder of a run that has finished an epoch.")
    with open(path, newline="", encoding="utf-8") as file:
        try:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        except (csv.Error, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no history of a training: {error}.") from error
    if not rows or "epoch" not in rows[0]:
        raise ValueError(f"{path} is no history of a training: it must have a row for each epoch.")
    return rows


def refresh_batch_norm(model: keras.Model, batches: TrainingBatches) -> None:
    """Estimate the moving statistics of batch normalisation anew, for weights that were never trained as they are.

    Averaged weights have other activations than the weights whose statistics were gathered: without this, a network
    of 57 % measured 31 % with its averaged weights, and 59 % with it (EAN on FER2013 after 12 epochs).

    Args:
        model: the model; its moving statistics change in place.
        batches: the training batches; always the same first ones are used, so that a resumed run repeats exactly.
            They must be whole ones: every host computes the same.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for step in range(min(REFRESH_BATCHES, len(batches))):
        for layer in norms:  # the plain mean over the batches: the first replaces the old statistics
            layer.momentum = step / (step + 1)
        model(batches.batch(step)[0], training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


@contextmanager
def kept_weights(model: Learner, batches: TrainingBatches) -> Iterator[None]:
    """Put the weights that would be kept into the student for the block's length: the averaged ones, if there are any.

    Args:
        model: the compiled learner.
        batches: the training batches, for `refresh_batch_norm`.
    """
    # in float16 Keras wraps the optimizer in one that scales the loss
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema or int(optimizer.iterations) == 0:
        yield
        return
    variables = model.student.variables
    raw = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # JAX may let weight and average share one array, which evaluating would give away
        variable.assign(np.array(keras.ops.convert_to_numpy(variable)))
    refresh_batch_norm(model.student, batches)
    try:
        yield
    finally:
        for variable, value in zip(variables, raw, strict=True):
            variable.assign(value)


class Validate(keras.callbacks.Callback):
    """Measure the validation split at the end of each epoch with the weights that would be kept, and keep the best.

    Args:
        batches: the validation split.
        training: the whole training batches, for averaged weights.
        keep: called with the student when its accuracy is the best so far, or equals it.
    """

    def __init__(
        self, batches: EvaluationBatches, training: TrainingBatches, keep: Callable[[keras.Model], None]
    ) -> None:
        super().__init__()
        self.batches, self.training, self.keep = batches, training, keep
        self.best = -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add `val_loss` and `val_accuracy` to the epoch's logs, for the callbacks that follow."""
        with kept_weights(self.model, self.training):
            measured = self.model.evaluate(self.batches, verbose=0, return_dict=True)
            measured["loss"] *= self.batches.fill  # Keras divides by all images, those of weight 0 too
            if measured["accuracy"] >= self.best:
                self.best = measured["accuracy"]
                self.keep(self.model.student)
        logs.update({f"val_{name}": value for name, value in measured.items()})


class ResumableState(keras.callbacks.Callback):
    """Keep weights, optimizer, schedules and history in one file, replaced whole at the end of each epoch.

    Stands last in the list of callbacks. A training killed at any moment goes on from its last finished epoch; since
    batches are functions of seed and step, it ends with the same weights as one that was never interrupted.

    Args:
        folder: the run's folder.
        stateful: callbacks whose plain attributes (counters, best values) belong to the state.
        after_epoch: called with the history once the state is safe, to write models and plots.
        writes: whether this host writes; all hosts read.
    """

    def __init__(
        self,
        folder: str | Path,
        stateful: Mapping[str, keras.callbacks.Callback],
        after_epoch: Callable[[list[dict[str, float]]], None],
        *,
        writes: bool = True,
    ) -> None:
        super().__init__()
        self.writes = writes
        self.folder, self.stateful, self.after_epoch = Path(folder), dict(stateful), after_epoch
        self.history: list[dict[str, float]] = []
        self._saved: dict[str, np.ndarray] = {}

    def load(self) -> int:
        """Read the state, if there is one, and return how many epochs it has behind it.

        Raises:
            ValueError: if the file is damaged.
        """
        path = self.folder / STATE_FILE
        if not path.is_file():
            return 0
        try:
            self._saved = read_npz(path)
            self.history = json.loads(str(self._saved["history"]))
            if not self.history or not all(isinstance(row, dict) for row in self.history):
                raise ValueError("its history is no list of epochs")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{path} is damaged ({error}). Remove the folder to train from the beginning.") from error
        return len(self.history)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the state, after the other callbacks have reset theirs."""
        if not self._saved:
            return
        variables = self._variables()
        expected = sum(name.startswith("variable_") for name in self._saved)
        if len(variables) != expected:
            raise ValueError(
                f"{self.folder / STATE_FILE} holds {expected} variables, this training has {len(variables)}. "
                "Was it written by another version of Keras? Remove the folder to train from the beginning."
            )
        try:
            callbacks = json.loads(str(self._saved["callbacks"]))
            for name, callback in self.stateful.items():
                callback.__dict__.update(callbacks[name])
            for i, variable in enumerate(variables):
                variable.assign(self._saved[f"variable_{i}"])
        except DAMAGE as error:
            raise ValueError(
                f"{self.folder / STATE_FILE} is damaged ({error}). Remove the folder to train from the beginning."
            ) from error
        self._write_history()  # it may lack the epoch after which the run was stopped

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write state and history, then call `after_epoch`."""
        self.note(epoch, logs)
        self.write()

    def note(self, epoch: int, logs: dict[str, Any]) -> None:
        """Add an epoch to the history."""
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in logs.items()}}
        row["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))
        self.history.append(row)

    def write(self) -> None:
        """Write state and history as they are, then call `after_epoch`."""
        if not self.writes:
            return
        plain = (int, float, bool, type(None))
        callbacks = {
            name: {k: v for k, v in vars(callback).items() if isinstance(v, plain)}
            for name, callback in self.stateful.items()
        }
        arrays = {f"variable_{i}": np.asarray(v) for i, v in enumerate(self._variables())}
        with replacing(self.folder / STATE_FILE) as temporary:
            np.savez(temporary, history=json.dumps(self.history), callbacks=json.dumps(callbacks), **arrays)
        self._write_history()
        self.after_epoch(self.history)

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.student.variables, *self.model.optimizer.variables]

    def _write_history(self) -> None:
        if not self.writes:
            return
        with (
            replacing(self.folder / HISTORY_FILE) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(self.history[0]))
            writer.writeheader()
            writer.writerows(self.history)
