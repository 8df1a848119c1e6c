"""One training run: a folder with models, curves, history and a record, that resumes where it stopped."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from kerafer.card import ModelCard
from kerafer.data.dataset import FaceDataset
from kerafer.data.pipeline import EvaluationBatches, TrainingBatches
from kerafer.files import one_at_a_time, replacing, sha256, write_json
from kerafer.layers import fold_luma, with_rgb_input
from kerafer.loading import LoadedModel
from kerafer.plots import training_curves
from kerafer.preprocess import Preprocessing
from kerafer.profiling import profile
from kerafer.specs import ModelSpec
from kerafer.training import hosts
from kerafer.training.answers import kept_answers
from kerafer.training.callbacks import ResumableState, Validate, refresh_batch_norm
from kerafer.training.distributions import Distributions
from kerafer.training.learner import Learner, Teacher, accuracy
from kerafer.training.on_device import DeviceTraining, make_views, suits
from kerafer.training.quick_layers import with_quick_layers
from kerafer.training.recipes import SOFT_LOSSES, TrainingRecipe
from kerafer.training.record import (
    BEST_MODEL,
    LAST_MODEL,
    RECORD_FILE,
    TrainingRun,
    describe_data,
    find_record,
    now,
    result,
    versions,
    weights_checksum,
)
from kerafer.weights import resolve
from kerafer.zoo import build_model, model_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


@one_at_a_time("out", when=lambda: hosts.part()[0] == 0)
def train(
    name: str,
    data: FaceDataset,
    validation: FaceDataset,
    recipe: TrainingRecipe,
    out: str | Path,
    *,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    resize: tuple[int, int] | None = None,
    weights: str | None = None,
    distributions: Distributions | None = None,
    teacher: LoadedModel | Sequence[LoadedModel] | None = None,
    initial: LoadedModel | None = None,
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
        resize: (height, width) that pictures are brought to before `size` is cut from them, so that crops can vary; by
            default in the spec's proportion to `size`.
        weights: initial weights, as in `build_model`.
        distributions: a label distribution for each image, for the losses `"label_distribution"` and `"kl"`.
        teacher: one or more models that teach, for the loss `"distillation"`; several are averaged.
        initial: a trained model of the same name and size whose weights the training starts from, instead of `weights`.
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
        Softmax loss on hard labels: EAN, equations (1) to (3). Distributions: EfficientFace, equation (5), and
        LFER-LDL, equations (5) and (6). Distillation: EAN, equations (4) to (8).
    """
    out, host = Path(out), hosts.part()
    teachers = [teacher] if isinstance(teacher, LoadedModel) else list(teacher or ())
    _check(data, validation, recipe, distributions, teachers)
    spec = model_spec(name)
    contract = spec.preprocessing if size is None else spec.preprocessing.resized_to(size)
    contract = replace(contract, aligned=data.aligned, resize=tuple(resize or contract.resize))
    if recipe.normalization == "data":
        contract = data.normalized(contract)
    settings = {
        "model": name,
        "options": options,
        "size": list(contract.size),
        "resize": list(contract.resize),
        "weights": _describe_weights(name, weights, initial),
        "recipe": recipe.to_dict(),
        "seed": seed,
        "data": {"training": describe_data(data), "validation": describe_data(validation)},
        "distributions": distributions and dict(distributions.source),
        "teacher": [{"name": t.name, "weights_sha256": weights_checksum(t.model)} for t in teachers],
    }
    record = find_record(out, settings)
    if record is not None and record["state"] == "finished":
        return TrainingRun(out, record)

    keras.utils.set_random_seed(seed)
    if ON_TENSORFLOW:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    channels = spec.input_shape[2]
    arguments = {"input_shape": (*contract.size, channels), "classes": len(data.class_names), **options}
    with _policy(recipe.dtype_policy):
        plain = build_model(name, classifier_activation=None, weights=weights, **arguments)
        if initial is not None:
            copy_weights(initial, plain)
        student = with_quick_layers(plain)
        teaching = teachers and Teacher(teachers, contract, data.class_names, channels, _enlarged(data, contract))
        model = Learner(student, recipe, None if recipe.cycle else teaching or None)  # in a cycle it is asked before
    whole, batches = (
        TrainingBatches(
            data,
            contract,
            recipe.batch_size,
            recipe.augmentation,
            seed,
            channels,
            distributions=None if distributions is None else distributions.mixed(data.labels, recipe.hard_share),
            balanced=recipe.sampling == "balanced",
            mixup=recipe.mixup,
            cycle=recipe.cycle,
            part=part,
        )
        for part in ((0, 1), host)
    )
    model.compile(
        optimizer=_optimizer(recipe, len(batches)),
        weighted_metrics=[accuracy],
        # XLA's depthwise convolutions are ten times slower on a CPU; on an accelerator Keras knows best.
        jit_compile=False if ON_TENSORFLOW and not tf.config.list_physical_devices("GPU") else "auto",
    )
    model.optimizer.build(model.trainable_variables)  # so that its slots exist when a state is restored
    card = _card(spec, contract, data, settings, plain)
    if record is None:  # only now, when nothing can be wrong with the arguments any more
        record = {"state": "running", "settings": settings, "versions": versions(), "started": now()}
    elif record["versions"] != versions():
        warnings.warn(
            f"{out} was begun with {record['versions']}; going on with {versions()} may not give the same weights.",
            stacklevel=2,
        )
    writes = host[0] == 0

    def keep(trained: keras.Model, path: Path) -> None:
        """Write a trained model as it is deployed: standard layers, float32, softmax, colour folded in."""
        finished = build_model(name, **arguments)
        finished.set_weights(trained.get_weights())
        if channels == 1:
            finished = with_rgb_input(finished)
        elif data.is_gray:
            fold_luma(finished)
        if writes:  # only now: hosts build together, since JAX compares what they put on their devices
            with replacing(path) as temporary:
                finished.save(temporary)

    def draw(history: list[dict[str, float]]) -> None:
        training_curves(history, out / "curves.png", title=f"{spec.title}, {recipe.name}")

    plateau = [
        keras.callbacks.ReduceLROnPlateau("loss", recipe.plateau_factor, recipe.plateau_patience, min_delta=1e-3)
    ][: recipe.schedule == "plateau"]
    validate = Validate(
        EvaluationBatches(validation, contract, channels=channels, part=host),
        whole,
        keep=lambda trained: keep(trained, out / BEST_MODEL),
    )
    stateful = {"validate": validate, **({"plateau": plateau[0]} if plateau else {})}
    state = ResumableState(out, stateful, after_epoch=draw, writes=writes)
    done = state.load()
    if writes:
        write_json(out / RECORD_FILE, record)
        card.write(out)
    on_device = None
    if done < recipe.epochs:
        if suits(batches, validation, recipe):
            views = make_views(batches, recipe.epochs, progress=verbose == 1)
            on_device = DeviceTraining(model, batches, validate.batches, views)
        if teachers and recipe.cycle:
            ask = on_device and on_device.ask(teaching)
            batches.answer(kept_answers(teaching, batches, recipe.epochs, out, ask=ask, progress=verbose == 1))
        if on_device:
            on_device.fit(validate, state, first=done, epochs=recipe.epochs, verbose=verbose)
        else:
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
    if recipe.average_epochs is not None and not on_device:  # `fit` itself has put the averaged weights in by its end
        refresh_batch_norm(model.student, whole)
    keep(model.student, out / LAST_MODEL)
    record = {**record, "state": "finished", "finished": now(), "result": result(state.history)}
    if writes:
        write_json(out / RECORD_FILE, record)
    return TrainingRun(out, record)


def _check(
    data: FaceDataset,
    validation: FaceDataset,
    recipe: TrainingRecipe,
    distributions: Distributions | None,
    teachers: Sequence[LoadedModel],
) -> None:
    """Refuse data, distributions and teachers that do not belong together."""
    if data.class_names != validation.class_names:
        raise ValueError(f"`validation` must have the classes {data.class_names}. Received: {validation.class_names}")
    if (recipe.loss in SOFT_LOSSES) != (distributions is not None):
        raise ValueError(
            f"`distributions` go with the losses {', '.join(SOFT_LOSSES)}, and with no other. Received: recipe "
            f"{recipe.name!r} with loss={recipe.loss!r}, distributions={'none' if distributions is None else 'given'}"
        )
    if (recipe.loss == "distillation") != bool(teachers):
        raise ValueError(
            f"`teacher` goes with the loss distillation, and with no other. Received: recipe {recipe.name!r} with "
            f"loss={recipe.loss!r}, {len(teachers)} teachers"
        )
    if recipe.cycle and teachers and hosts.part()[1] > 1:
        raise ValueError(
            f"`cycle` with a teacher goes with one host, which keeps its answers. Received: cycle={recipe.cycle}, "
            f"{hosts.part()[1]} hosts"
        )


@contextmanager
def _policy(name: str) -> Iterator[None]:
    """Build layers under a dtype policy, and leave Keras's own as it was."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _enlarged(data: FaceDataset, contract: Preprocessing) -> float:
    """Return how many times larger the data's pixels are in a model's input."""
    return 1.0 if data.size is None else max(1.0, min(r / s for r, s in zip(contract.resize, data.size, strict=True)))


def _describe_weights(name: str, weights: str | None, initial: LoadedModel | None) -> dict[str, str] | None:
    if weights is not None and initial is not None:
        raise ValueError(
            f"`weights` and `initial` exclude each other. Received: weights={weights!r} and {initial.name}"
        )
    if initial is not None:
        return {"name": initial.name, "weights_sha256": weights_checksum(initial.model)}
    return weights and {"name": Path(weights).name, "sha256": sha256(resolve(name, weights))}


def copy_weights(initial: LoadedModel, model: keras.Model) -> None:
    """Copy the weights of a finished model, which may have got a colour input, into one as it is built."""
    values, own = initial.model.get_weights(), model.get_weights()
    if values and own and values[0].ndim == 4 and values[0].shape[2] == 3 and own[0].shape[2] == 1:
        values[0] = values[0].sum(axis=2, keepdims=True)  # undoes `with_rgb_input`: luma's weights add up to 1
    if [v.shape for v in values] != [v.shape for v in own]:
        raise ValueError(
            f"`initial` must be a model of the same architecture, options and classes. Received: {initial.name} with "
            f"{len(values)} weights, expected {len(own)} of the same shapes"
        )
    model.set_weights(values)


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
    elif recipe.schedule == "steps":
        ends = range(recipe.step_epochs, recipe.epochs, recipe.step_epochs)
        if ends:
            rate = keras.optimizers.schedules.PiecewiseConstantDecay(
                [end * steps_per_epoch - 1 for end in ends],  # the rate changes after the boundary
                [recipe.learning_rate * recipe.step_factor**i for i in range(len(ends) + 1)],
            )
    common = {
        "weight_decay": recipe.weight_decay or None,
        "use_ema": recipe.average_epochs is not None,
        "ema_momentum": _average_momentum(recipe, steps_per_epoch),
        "ema_overwrite_frequency": None,
    }
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate, **common)
    return keras.optimizers.SGD(rate, momentum=recipe.momentum, nesterov=recipe.nesterov, **common)


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
        training={**settings, "versions": versions()},
        notes=("Trained on gray pictures; colour is turned to gray inside the first convolution.",)
        if data.is_gray
        else (),
    )
