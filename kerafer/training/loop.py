"""One training run: a folder with models, curves, history and a record, that resumes where it stopped."""

from __future__ import annotations

import importlib.metadata
import platform
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras

from kerafer import __version__
from kerafer.card import ModelCard
from kerafer.data.dataset import FaceDataset
from kerafer.data.pipeline import EvaluationBatches, TrainingBatches
from kerafer.files import read_json, replacing, sha256, write_json
from kerafer.layers import fold_luma, with_rgb_input
from kerafer.plots import training_curves
from kerafer.preprocess import Preprocessing
from kerafer.profiling import profile
from kerafer.specs import ModelSpec
from kerafer.training.callbacks import ResumableState, Validate, refresh_batch_norm
from kerafer.training.fused import with_fused_batch_norm
from kerafer.training.recipes import TrainingRecipe
from kerafer.weights import resolve
from kerafer.zoo import build_model, model_spec

RECORD_FILE = "run.json"
LAST_MODEL = "last.keras"
BEST_MODEL = "best.keras"
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


@dataclass(frozen=True)
class TrainingRun:
    """A finished run.

    Args:
        folder: where its files lie: `last.keras`, `best.keras`, `card.json`, `run.json`, `history.csv`, `curves.png`.
        record: the content of `run.json`.
    """

    folder: Path
    record: dict[str, Any]

    def model(self, which: str = "last") -> keras.Model:
        """Return the run's `"last"` or `"best"` model, with softmax."""
        return keras.models.load_model(self.folder / {"last": LAST_MODEL, "best": BEST_MODEL}[which], safe_mode=True)


def train(
    name: str,
    data: FaceDataset,
    validation: FaceDataset,
    recipe: TrainingRecipe,
    out: str | Path,
    *,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    weights: str | None = None,
    verbose: int = 1,
    **options: Any,
) -> TrainingRun:
    """Train a model, or go on with an interrupted training of the same settings.

    Args:
        name: one of `list_models()`.
        data: the training split.
        validation: the split measured after each epoch; it selects `best.keras`, and nothing else.
        recipe: the settings, from `kerafer.training.recipe`.
        out: folder of the run. If it holds an interrupted run of exactly these settings, that run goes on; if it holds
            a finished one, its result is returned.
        seed: decides initial weights, order and augmentation.
        size: (height, width) of the input; the spec's by default.
        weights: initial weights, as in `build_model`.
        verbose: 1 for a progress bar, 2 for a line per epoch, 0 for silence.
        **options: of the model's builder.

    Returns:
        The finished run.

    Raises:
        ValueError: if `out` holds a run of other settings or other files, or the data does not fit.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.training import recipe
        >>> settings = recipe("ean_paper", epochs=1, batch_size=7)
        >>> run = kerafer.train("ean", synthetic(14), synthetic(7, seed=1), settings, tempfile.mkdtemp(), verbose=0)
        >>> run.record["result"]["epochs"]
        1

    Reference:
        Softmax loss on hard labels: EAN, equations (1) to (3).
    """
    out = Path(out)
    spec = model_spec(name)
    contract = spec.preprocessing if size is None else spec.preprocessing.resized_to(size)
    if data.class_names != validation.class_names:
        raise ValueError(f"`validation` must have the classes {data.class_names}. Received: {validation.class_names}")
    settings = _settings(name, data, validation, recipe, seed, contract.size, weights, options)
    record = _find_record(out, settings)
    if record is not None and record["state"] == "finished":
        return TrainingRun(out, record)

    keras.utils.set_random_seed(seed)
    if ON_TENSORFLOW:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    channels = spec.input_shape[2]
    arguments = {"input_shape": (*contract.size, channels), "classes": len(data.class_names), **options}
    plain = build_model(name, classifier_activation=None, weights=weights, **arguments)
    model = with_fused_batch_norm(plain)
    batches = TrainingBatches(data, contract, recipe.batch_size, recipe.augmentation, seed, channels)
    model.compile(
        optimizer=_optimizer(recipe, len(batches)),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
        # XLA's depthwise convolutions are ten times slower on a CPU; on an accelerator Keras knows best.
        jit_compile=False if ON_TENSORFLOW and not tf.config.list_physical_devices("GPU") else "auto",
    )
    model.optimizer.build(model.trainable_variables)  # so that its slots exist when a state is restored
    card = _card(spec, contract, data, settings, plain)
    if record is None:  # only now, when nothing can be wrong with the arguments any more
        record = {"state": "running", "settings": settings, "versions": _versions(), "started": _now()}
        write_json(out / RECORD_FILE, record)
    elif record["versions"] != _versions():
        warnings.warn(
            f"{out} was begun with {record['versions']}; going on with {_versions()} may not give the same weights.",
            stacklevel=2,
        )

    def keep(trained: keras.Model, path: Path) -> None:
        """Write a trained model as it is deployed: standard layers, softmax, colour folded in."""
        finished = build_model(name, **arguments)
        finished.set_weights(trained.get_weights())
        if channels == 1:
            finished = with_rgb_input(finished)
        elif data.is_gray:
            fold_luma(finished)
        with replacing(path) as temporary:
            finished.save(temporary)

    def draw(history: list[dict[str, float]]) -> None:
        training_curves(history, out / "curves.png", title=f"{spec.title}, {recipe.name}")

    plateau = [
        keras.callbacks.ReduceLROnPlateau("loss", recipe.plateau_factor, recipe.plateau_patience, min_delta=1e-3)
    ][: recipe.schedule == "plateau"]
    validate = Validate(
        EvaluationBatches(validation, contract, channels=channels),
        batches,
        keep=lambda trained: keep(trained, out / BEST_MODEL),
    )
    stateful = {"validate": validate, **({"plateau": plateau[0]} if plateau else {})}
    state = ResumableState(out, stateful, after_epoch=draw)
    done = state.load()
    card.write(out)
    if done < recipe.epochs:
        first = done * len(batches)
        model.fit(
            batches.to_tf(first) if ON_TENSORFLOW else batches.generator(first),
            steps_per_epoch=len(batches),
            initial_epoch=done,
            epochs=recipe.epochs,
            callbacks=[validate, *plateau, state],
            shuffle=False,  # the batches are shuffled already
            verbose=verbose,
        )
    else:  # interrupted between the last epoch and the record
        state.set_model(model)
        state.on_train_begin()
        model.optimizer.finalize_variable_values(model.trainable_variables)
    if recipe.average_epochs is not None:  # `fit` itself has put the averaged weights in by its end
        refresh_batch_norm(model, batches)
    keep(model, out / LAST_MODEL)
    record = {**record, "state": "finished", "finished": _now(), "result": _result(state.history)}
    write_json(out / RECORD_FILE, record)
    return TrainingRun(out, record)


def _settings(
    name: str,
    data: FaceDataset,
    validation: FaceDataset,
    recipe: TrainingRecipe,
    seed: int,
    size: tuple[int, int],
    weights: str | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Return all that decides the result: two runs with equal settings end with equal weights."""
    splits = {"training": data, "validation": validation}
    return {
        "model": name,
        "options": options,
        "size": list(size),
        "weights": weights and {"name": Path(weights).name, "sha256": sha256(resolve(name, weights))},
        "recipe": recipe.to_dict(),
        "seed": seed,
        "data": {
            role: {"name": part.name, "split": part.split, "images": len(part), "sha256": part.checksum()}
            for role, part in splits.items()
        },
    }


def _find_record(out: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record of a run of these settings, or None in a fresh folder."""
    path = out / RECORD_FILE
    if path.exists():
        record = read_json(path)
        if record["settings"] != settings:
            changed = sorted(k for k in settings if record["settings"].get(k) != settings[k])
            raise ValueError(
                f"{out} holds a run with other settings: {', '.join(changed)} differ. Choose another folder, or repeat "
                f"the settings in {path} to go on with it."
            )
        return record
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no run. Choose another folder for the run.")
    return None


def _optimizer(recipe: TrainingRecipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        warmup = recipe.warmup_epochs * steps_per_epoch
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else recipe.learning_rate,
            decay_steps=recipe.epochs * steps_per_epoch - warmup,
            warmup_target=recipe.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    return keras.optimizers.SGD(
        rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay or None,
        use_ema=recipe.average_epochs is not None,
        ema_momentum=_average_momentum(recipe, steps_per_epoch),
        ema_overwrite_frequency=None,
    )


def _average_momentum(recipe: TrainingRecipe, steps_per_epoch: int) -> float:
    """Return the momentum of a moving average that reaches back `average_epochs`."""
    steps = max(1.0, (recipe.average_epochs or 1.0) * steps_per_epoch)
    return 1.0 - 1.0 / (steps + 1.0)


def _card(
    spec: ModelSpec, contract: Preprocessing, data: FaceDataset, settings: dict[str, Any], model: keras.Model
) -> ModelCard:
    counted = profile(model)
    return ModelCard(
        model=spec.name,
        title=spec.title,
        paper=spec.paper,
        labels=data.class_names,
        preprocessing=contract,
        parameters=counted.trainable_parameters,
        flops=counted.flops[spec.ruler],
        ruler=spec.ruler,
        training={**settings, "versions": _versions()},
        notes=("Trained on gray pictures; colour is turned to gray inside the first convolution.",)
        if data.is_gray
        else (),
    )


def _result(history: list[dict[str, float]]) -> dict[str, Any]:
    best = max(history, key=lambda row: (row["val_accuracy"], row["epoch"]))
    return {"epochs": len(history), "last": history[-1], "best": best}


def _versions() -> dict[str, str]:
    packages = ("keras", "tensorflow", "numpy")
    found = {p: importlib.metadata.version(p) for p in packages if _installed(p)}
    return {"kerafer": __version__, "python": platform.python_version(), **found, "backend": keras.backend.backend()}


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
