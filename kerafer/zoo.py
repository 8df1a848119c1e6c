"""The zoo: every registered model by name, its spec, and the call that builds it.

Keras is loaded when a model is built, not when the zoo is listed.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

import kerafer.models  # noqa: F401 - importing the package registers its models
from kerafer.specs import REGISTRY, ModelSpec, register_model
from kerafer.weights import load_weights, resolve, shipped

if TYPE_CHECKING:
    import keras

__all__ = ["build_model", "list_models", "model_spec", "register_model"]


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the zoo, sorted.

    Args:
        pattern: shell-style filter such as `"ean*"`.

    Example:
        >>> import kerafer
        >>> "ean" in kerafer.list_models("ean*")
        True
    """
    return sorted(fnmatch.filter(REGISTRY, pattern))


def model_spec(name: str) -> ModelSpec:
    """Return what is known about a model.

    Raises:
        ValueError: if no model has this name.
    """
    if name not in REGISTRY:
        raise ValueError(f"`name` must be one of {', '.join(list_models())}. Received: name={name!r}")
    return REGISTRY[name]


def build_model(
    name: str,
    *,
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    weights: str | None = None,
    **options: Any,
) -> keras.Model:
    """Build a model of the zoo.

    Args:
        name: one of `list_models()`.
        input_shape: (height, width, channels), channels 1 or 3; by default the paper's, or, with shipped weights, the
            size that they were trained at.
        classes: number of classes; by default the spec's, or those of shipped weights.
        classifier_activation: activation of the output, `"softmax"` for probabilities, None for logits.
        weights: name of shipped weights such as `"fer2013"`, path of a `.npz` that `kerafer.save_weights` wrote, or
            None for random ones.
        **options: further arguments of the model's builder, such as `padding="symmetric"` for EAN.

    Returns:
        A functional `keras.Model`, float32 (batch, height, width, channels) in [0, 1] to (batch, classes).

    Raises:
        ValueError: if an argument does not fit the model; the message says what does.

    Example:
        >>> import kerafer
        >>> model = kerafer.build_model("ean")
        >>> model.output_shape
        (None, 7)
    """
    spec = model_spec(name)
    card = shipped(name).get(weights)
    shape = _default_shape(spec, card) if input_shape is None else tuple(input_shape)
    if len(shape) != 3 or not all(isinstance(v, int) for v in shape) or shape[2] not in (1, 3):
        raise ValueError(
            "`input_shape` must be three integers (height, width, channels) with 1 or 3 channels. "
            f"Received: input_shape={input_shape}"
        )
    if not all(spec.min_size <= side <= spec.max_size for side in shape[:2]):
        raise ValueError(
            f"`input_shape` of {name} must have sides of {spec.min_size} to {spec.max_size} pixels. "
            f"Received: input_shape={input_shape}"
        )
    if any(side % spec.size_multiple for side in shape[:2]):
        raise ValueError(
            f"`input_shape` of {name} must have sides divisible by {spec.size_multiple}. "
            f"Received: input_shape={input_shape}"
        )
    count = len(card["labels"] if card else spec.labels) if classes is None else classes
    if not isinstance(count, int) or isinstance(count, bool) or count < 2:
        raise ValueError(f"`classes` must be an integer of 2 or more. Received: classes={classes!r}")
    if classifier_activation not in (None, "softmax"):
        raise ValueError(
            '`classifier_activation` must be "softmax" (probabilities) or None (logits). '
            f"Received: classifier_activation={classifier_activation!r}"
        )
    try:
        model = spec.builder(shape, count, classifier_activation, **{**spec.options, **options})
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise ValueError(f"`options` of {name}: {error}. Received: {sorted(options)}") from error
    if weights is not None:
        load_weights(model, resolve(name, weights))
    return model


def _default_shape(spec: ModelSpec, card: dict[str, Any] | None) -> tuple[int, int, int]:
    return spec.input_shape if card is None else (*card["preprocessing"]["size"], spec.input_shape[2])
