"""Quantization-aware fine-tuning: a trained model learns to compute with rounded weights and activations.

The student is the fake-quantized twin of a float model; the float model itself teaches it, by default, so that no label
is needed to say what the rounded one should give. A folder keeps state, history and record as other runs do, and an
interrupted run goes on exactly.

Reference:
    Jacob et al., CVPR 2018 (training with rounding); EAN, equations (4) to (8), with the model as its own teacher.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tqdm import tqdm

from kerafer.data.dataset import FaceDataset
from kerafer.data.pipeline import TrainingBatches
from kerafer.files import one_at_a_time, read_npz, replacing, write_json
from kerafer.layers import with_camera_input
from kerafer.loading import LoadedModel
from kerafer.plots import training_curves
from kerafer.preprocess import Preprocessing
from kerafer.quantization.fake_quant import FakeQuantModel, with_fake_quantization
from kerafer.quantization.twin import to_twin
from kerafer.training.callbacks import HISTORY_FILE, STATE_FILE
from kerafer.training.recipes import TrainingRecipe
from kerafer.training.record import (
    RECORD_FILE,
    TrainingRun,
    describe_data,
    find_record,
    now,
    versions,
    weights_checksum,
)

RANGE_BATCHES = 16
"""Batches that are shown before the first step, so that the ranges of activations are known."""

_PACKAGES = ("tf_keras", "tensorflow-model-optimization")  # what trains here, besides those of every training
_LOSSES = ("distillation", "cross_entropy")


@one_at_a_time("out")
def fine_tune(
    source: LoadedModel,
    data: FaceDataset,
    validation: FaceDataset,
    recipe: TrainingRecipe,
    out: str | Path,
    *,
    seed: int = 0,
    verbose: int = 1,
) -> TrainingRun:
    """Fine-tune a model with rounded weights and activations, or go on with an interrupted run of the same settings.

    Args:
        source: the float model, from `kerafer.load_model`.
        data: the training split.
        validation: the split measured after each epoch; nothing is chosen by it.
        recipe: the settings; its loss is `"distillation"` from the float model, or `"cross_entropy"` on the labels.
        out: folder of the run.
        seed: decides order and augmentation.
        verbose: 1 for a progress bar, 0 for silence.

    Returns:
        The finished run; `read_fine_tuned` gives its model.

    Raises:
        ValueError: if the recipe says what fine-tuning cannot do, or the data's classes are not the model's.
        TypeError: if the model has a layer without an integer form.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.training import recipe
        >>> from kerafer.training.quantization_aware import fine_tune
        >>> source = kerafer.load_model("ean", weights="fer2013")
        >>> settings = recipe("qat", epochs=1, batch_size=7)
        >>> run = fine_tune(source, synthetic(14), synthetic(7, seed=1), settings, tempfile.mkdtemp(), verbose=0)
        >>> run.record["result"]["epochs"]
        1
    """
    out = Path(out)
    _check(source, data, validation, recipe)
    settings = {
        "model": source.card.model,
        "source": {"name": source.name, "weights_sha256": weights_checksum(source.model)},
        "preprocessing": source.card.preprocessing.to_dict(),
        "recipe": recipe.to_dict(),
        "seed": seed,
        "data": {"training": describe_data(data), "validation": describe_data(validation)},
    }
    record = find_record(out, settings)
    if record is not None and record["state"] == "finished":
        return TrainingRun(out, record)
    tf.config.experimental.enable_op_determinism()
    tf_keras.utils.set_random_seed(seed)
    contract = source.card.preprocessing.camera()
    student = fake_quantized(source)
    batches = TrainingBatches(data, contract, recipe.batch_size, recipe.augmentation, seed, mixup=recipe.mixup)
    optimizer = _optimizer(recipe, len(batches))
    optimizer.build(student.logits.trainable_variables)
    variables = [*student.model.variables, *optimizer.variables]
    history = _load(out, variables)
    if record is None:
        used = versions() | {name: importlib.metadata.version(name) for name in _PACKAGES}
        record = {"state": "running", "settings": settings, "versions": used, "started": now()}
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RECORD_FILE, record)
    source.card.write(out)
    if history:
        _write_history(out, history)  # it may lack the epoch after which the run was stopped
    else:
        for step in range(min(RANGE_BATCHES, len(batches))):
            student.model(batches.batch(step)[0], training=True)
    teacher = _teacher(source) if recipe.loss == "distillation" else None
    step_function = None
    for epoch in range(len(history), recipe.epochs):
        if step_function is None or _drops(student):
            # dropout draws what follows from seed and epoch alone, so that an interrupted run goes on exactly
            tf.random.set_seed(seed + epoch)
            step_function = _step(student, teacher, recipe, optimizer)
        measured = _epoch(step_function, batches, epoch, f"epoch {epoch + 1}/{recipe.epochs}", verbose)
        measured |= {f"val_{k}": v for k, v in _measure(student, validation, contract).items()}
        row = {"epoch": epoch + 1, **measured, "learning_rate": float(optimizer.learning_rate)}
        history.append(row)
        _save(out, variables, history)
        if verbose:
            tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in row.items()))
        training_curves(history, out / "curves.png", title=f"{source.card.title}, {recipe.name}, rounded")
    result = {"epochs": len(history), "last": history[-1]}
    record = {**record, "state": "finished", "finished": now(), "result": result}
    write_json(out / RECORD_FILE, record)
    return TrainingRun(out, record)


def fake_quantized(source: LoadedModel, batch_size: int | None = None) -> FakeQuantModel:
    """Return the model that fine-tuning trains: it takes RGB in [0, 1], whatever the float model takes."""
    contract = source.card.preprocessing
    return with_fake_quantization(with_camera_input(source.model, contract.mean, contract.std), batch_size)


def read_fine_tuned(folder: str | Path, source: LoadedModel, batch_size: int | None = None) -> FakeQuantModel:
    """Return the model that a run of `fine_tune` in this folder has trained.

    Args:
        folder: of the run.
        source: the float model that it was made of.
        batch_size: fixed batch size, or None.

    Raises:
        FileNotFoundError: if the folder holds no such run.
        ValueError: if its state is damaged or belongs to another model.
    """
    model = fake_quantized(source, batch_size)
    if not _load(Path(folder), model.model.variables):
        raise FileNotFoundError(f"{folder} holds no fine-tuned model ({STATE_FILE}). Run `kerafer quantize` first.")
    model.round_biases()
    return model


def _check(source: LoadedModel, data: FaceDataset, validation: FaceDataset, recipe: TrainingRecipe) -> None:
    if source.model is None:
        raise ValueError(f"`source` must be a Keras model to be fine-tuned. Received: {source.name}")
    for name, part in (("data", data), ("validation", validation)):
        if tuple(part.class_names) != tuple(source.card.labels):
            raise ValueError(
                f"`{name}` must have the model's classes {source.card.labels}. Received: {tuple(part.class_names)}"
            )
    fixed = {
        "sampling": "shuffle",
        "normalization": "spec",
        "combo_weight": 0.0,
        "average_epochs": None,
        "dtype_policy": "float32",
    }
    wrong = {k: getattr(recipe, k) for k, v in fixed.items() if getattr(recipe, k) != v}
    if recipe.loss not in _LOSSES:
        wrong["loss"] = recipe.loss
    if recipe.schedule not in ("cosine", "constant"):
        wrong["schedule"] = recipe.schedule
    if wrong:
        raise ValueError(
            f"`recipe` of a fine-tuning must have loss {' or '.join(_LOSSES)}, schedule cosine or constant, and "
            f"{', '.join(f'{k}={v!r}' for k, v in fixed.items())}. Received: {recipe.name!r} with {wrong}"
        )


def _optimizer(recipe: TrainingRecipe, steps_per_epoch: int) -> Any:
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        warmup = recipe.warmup_epochs * steps_per_epoch
        rate = tf_keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else recipe.learning_rate,
            recipe.epochs * steps_per_epoch - warmup,
            warmup_target=recipe.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    common = {"weight_decay": recipe.weight_decay or None, "jit_compile": False}
    if recipe.optimizer == "adam":
        return tf_keras.optimizers.Adam(rate, **common)
    return tf_keras.optimizers.SGD(rate, momentum=recipe.momentum, nesterov=recipe.nesterov, **common)


def _teacher(source: LoadedModel) -> Any:
    """Return the float model as the student's teacher: from RGB in [0, 1] to probabilities."""
    contract = source.card.preprocessing
    return to_twin(with_camera_input(source.model, contract.mean, contract.std), None)


def _drops(student: FakeQuantModel) -> bool:
    return any("Dropout" in type(layer).__name__ for layer in student.logits.layers)


def _step(student: FakeQuantModel, teacher: Any, recipe: TrainingRecipe, optimizer: Any) -> Any:
    """Return the function of one training step: from inputs and labels to loss and share of right answers."""
    smoothing, share, temperature = recipe.label_smoothing, recipe.alpha, recipe.temperature
    hard = tf_keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    soft = tf_keras.losses.KLDivergence()
    variables = student.logits.trainable_variables

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = student.logits(x, training=True)
            if teacher is None:
                loss = hard(y, logits)
            else:
                # softened like softmax(logits / T), from probabilities: powers of them, made to add up to 1
                known = tf.nn.softmax(tf.math.log(tf.maximum(teacher(x, training=False), 1e-7)) / temperature)
                loss = share * temperature**2 * soft(known, tf.nn.softmax(logits / temperature))
                if share < 1:
                    loss += (1 - share) * hard(y, logits)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss, tf.reduce_mean(tf_keras.metrics.categorical_accuracy(y, logits))

    return step


def _epoch(step: Any, batches: TrainingBatches, epoch: int, title: str, verbose: int) -> dict[str, float]:
    first = epoch * len(batches)
    totals = np.zeros(2)
    with tqdm(total=len(batches), desc=title, unit="batch", disable=not verbose) as bar:
        for x, y in batches.to_tf(first, first + len(batches)):
            totals += [float(value) for value in step(x, y)]
            bar.update()
    loss, accuracy = totals / len(batches)
    return {"loss": float(loss), "accuracy": float(accuracy)}


def _measure(student: FakeQuantModel, data: FaceDataset, contract: Preprocessing) -> dict[str, float]:
    """Return cross-entropy and accuracy of the rounded model on a split."""
    probabilities = predict_rounded(student, data.inputs(contract))
    right = probabilities[np.arange(len(data)), data.labels]
    # rounded probabilities can be 0; half a step stands for what is below one
    loss = float(-np.log(np.maximum(right, 1 / 512)).mean())
    return {"loss": loss, "accuracy": float((probabilities.argmax(axis=1) == data.labels).mean())}


def predict_rounded(student: FakeQuantModel, x: np.ndarray) -> np.ndarray:
    """Return (n, classes) float32 probabilities of a rounded model for (n, height, width, 3) inputs in [0, 1]."""
    return np.asarray(student.model.predict(x, batch_size=256, verbose=0), np.float32)


def _save(folder: Path, variables: Sequence[Any], history: list[dict[str, float]]) -> None:
    arrays = {f"variable_{i}": np.asarray(v) for i, v in enumerate(variables)}
    with replacing(folder / STATE_FILE) as temporary:
        np.savez(temporary, history=json.dumps(history), **arrays)
    _write_history(folder, history)


def _write_history(folder: Path, history: list[dict[str, float]]) -> None:
    with (
        replacing(folder / HISTORY_FILE) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def _load(folder: Path, variables: Sequence[Any]) -> list[dict[str, float]]:
    """Restore variables from a folder's state and return its history, empty where there is none."""
    path = folder / STATE_FILE
    if not path.is_file():
        return []
    try:
        arrays = read_npz(path)
        history = json.loads(str(arrays["history"]))
        values = [arrays[f"variable_{i}"] for i in range(len(variables))]
        if not history or not all(isinstance(row, dict) for row in history):
            raise ValueError("its history is no list of epochs")
        if not all(np.issubdtype(value.dtype, np.number) for value in values):
            raise ValueError("its variables are no numbers")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}). Remove the folder to start from the beginning.") from error
    if any(tuple(value.shape) != tuple(variable.shape) for value, variable in zip(values, variables, strict=True)):
        raise ValueError(f"{path} belongs to another model. Name the model that was fine-tuned, or another folder.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return history
