"""Weights for models that nobody has trained yet, under which a check of numbers means something.

A freshly initialised network gives nearly the same outputs for every picture, so that a runtime which computes
nonsense can still agree with it. Here every layer matters: nothing is zero or one where training would make it
otherwise, normalisations have the statistics of pictures, and the logits differ from face to face.
"""

from __future__ import annotations

import keras
import numpy as np

from kerafer.card import ModelCard
from kerafer.data.samples import portrait_faces
from kerafer.layers import with_rgb_input
from kerafer.loading import LoadedModel
from kerafer.profiling import profile
from kerafer.runtime import KerasRunner
from kerafer.zoo import build_model, model_spec

NOTE = "Stand-in weights, for checks of files and runtimes: nobody has trained this model."
SLACK = 10.0
"""For `kerafer.verify`: how many times as much rounding may cost these weights as trained ones."""

LOGIT_SPREAD = 0.5
"""Standard deviation over faces of the logit that varies most. (More would magnify rounding with it.)"""


def stand_in(name: str, seed: int = 0, size: int | None = None) -> LoadedModel:
    """Return a model of the zoo with weights that were drawn, not trained, as `kerafer.export` takes it.

    Args:
        name: registry name.
        seed: of the weights.
        size: height and width of the input; the spec's by default.

    Returns:
        The model with a card that says what its weights are.

    Example:
        >>> import numpy as np
        >>> model = stand_in("lcnn")
        >>> faces = portrait_faces(model.card.preprocessing, 8, seed=1)
        >>> outputs = model.runner.predict(model.card.preprocessing.scale(faces))
        >>> bool(np.ptp(outputs, axis=0).max() > 0.05)
        True
    """
    spec = model_spec(name)
    contract = spec.preprocessing if size is None else spec.preprocessing.resized_to((size, size))
    bare = build_model(name, input_shape=(*contract.size, spec.input_shape[2]), classifier_activation=None)
    faces = contract.scale(portrait_faces(contract, 16, seed))
    faces = faces.mean(axis=-1, keepdims=True) if spec.input_shape[2] == 1 else faces
    fill(bare, seed, faces)
    spread_logits(bare, faces)
    model = build_model(name, input_shape=(*contract.size, spec.input_shape[2]))
    model.set_weights(bare.get_weights())
    model = with_rgb_input(model)
    counted = profile(bare)
    card = ModelCard(
        model=name,
        title=spec.title,
        paper=spec.paper,
        labels=spec.labels,
        preprocessing=contract,
        parameters=counted.trainable_parameters,
        flops=counted.flops[spec.ruler],
        ruler=spec.ruler,
        notes=(NOTE,),
    )
    return LoadedModel(f"{name} (stand-in)", card, KerasRunner(model), model)


def fill(model: keras.Model, seed: int = 0, shown: np.ndarray | None = None) -> keras.Model:
    """Give a model drawn weights under which every layer matters.

    Args:
        model: a functional model; its weights change in place.
        seed: of the weights.
        shown: (n, height, width, channels) float32 pictures whose statistics the normalisations get, as after training,
            with room for others; None leaves drawn statistics.

    Returns:
        The same model.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        values = [_drawn(rng, weight.name, tuple(weight.shape), type(layer).__name__) for weight in layer.weights]
        if values:
            layer.set_weights(values)
    if shown is None:
        return model
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(shown, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        # a channel that hardly varies around its mean in so few pictures would magnify rounding
        _, _, mean, variance = layer.get_weights()
        layer.moving_variance.assign(np.maximum(variance, 0.1 + mean**2))
    return model


def _drawn(rng: np.random.Generator, name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    if name == "gamma":  # below 1 on average, so that a deep network does not magnify rounding
        return rng.uniform(0.3, 1.0, shape)
    if name == "moving_variance":
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) == 1:  # bias, beta, moving mean
        return rng.standard_normal(shape) * 0.1
    fan_in = np.prod(shape[:2] if "depthwise" in kind.lower() else shape[:-1])
    return rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)


def spread_logits(model: keras.Model, shown: np.ndarray) -> None:
    """Scale the last layer that has weights so that the logits vary over pictures; around 0, with a bias.

    Args:
        model: without softmax, whose last weighted layer leads to the logits in a straight line.
        shown: (n, height, width, channels) float32.
    """
    last = [layer for layer in model.layers if layer.weights][-1]
    logits = model.predict(shown, verbose=0)
    factor, *rest = last.get_weights()  # a kernel (..., classes) or gamma (classes,), then a bias or beta if there is
    scale = LOGIT_SPREAD / max(float(logits.std(axis=0).max()), 1e-6)
    if rest:
        rest[0] = (rest[0] - logits.mean(axis=0)) * scale
    last.set_weights([factor * scale, *rest])
