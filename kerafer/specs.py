"""What is known about each model, and the registry that builds them by name.

Nothing here loads Keras before a model is built, so that listing the zoo is instant.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from kerafer.labels import check_labels
from kerafer.preprocess import Preprocessing

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ModelSpec:
    """Everything about a model that a phone, a paper or a table needs.

    Args:
        name: registry name, lower case.
        title: name for people.
        paper: where the architecture was published.
        builder: function of `input_shape`, `classes`, `classifier_activation` and the model's own options.
        input_shape: default (height, width, channels).
        min_size: smallest side that the architecture takes.
        max_size: largest side that is tested.
        labels: class names in output order.
        preprocessing: contract from a picture to the input.
        parameters: trainable parameters with the defaults.
        flops: floating-point operations with the defaults, under `ruler`.
        ruler: how the paper counted, a key of `kerafer.profiling.RULERS`.
        options: arguments of the builder that this entry fixes.

    Example:
        >>> import kerafer
        >>> kerafer.model_spec("ean").parameters
        43840
    """

    name: str
    title: str
    paper: str
    builder: Callable[..., keras.Model]
    input_shape: tuple[int, int, int]
    min_size: int
    max_size: int
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    parameters: int
    flops: int
    ruler: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_labels(self.labels)
        if tuple(self.input_shape[:2]) != tuple(self.preprocessing.size):
            raise ValueError(
                f"`preprocessing.size` must equal the model's input size {self.input_shape[:2]}. "
                f"Received: {self.preprocessing.size}"
            )

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the shipped weights, for `build_model(..., weights=...)`."""
        from kerafer.weights import shipped

        return tuple(shipped(self.name))


_REGISTRY: dict[str, ModelSpec] = {}


@cache
def _discover() -> None:
    """Let the zoo register itself, once; late, because its files import this one."""
    import kerafer.models  # noqa: F401


def register_model(spec: ModelSpec) -> ModelSpec:
    """Add a model to the zoo, so that every verb and test of kerafer takes it by name.

    Args:
        spec: the model's description.

    Returns:
        The same spec.

    Raises:
        ValueError: if the name is taken by another spec or is not lower case.

    Example:
        >>> import dataclasses, kerafer
        >>> mine = dataclasses.replace(kerafer.model_spec("ean"), name="my_ean", title="My EAN")
        >>> kerafer.register_model(mine).name
        'my_ean'
    """
    if not spec.name.isidentifier() or spec.name != spec.name.lower():
        raise ValueError(f"`name` must be a lower-case identifier such as 'my_net'. Received: name={spec.name!r}")
    if _REGISTRY.get(spec.name, spec) != spec:
        raise ValueError(f"A model named {spec.name!r} is registered already; choose another name.")
    _REGISTRY[spec.name] = spec
    return spec


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the zoo, sorted.

    Args:
        pattern: shell-style filter such as `"ean*"`.

    Example:
        >>> import kerafer
        >>> "ean" in kerafer.list_models("ean*")
        True
    """
    _discover()
    return sorted(fnmatch.filter(_REGISTRY, pattern))


def model_spec(name: str) -> ModelSpec:
    """Return what is known about a model.

    Raises:
        ValueError: if no model has this name.
    """
    _discover()
    if name not in _REGISTRY:
        raise ValueError(f"`name` must be one of {', '.join(list_models())}. Received: name={name!r}")
    return _REGISTRY[name]


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
        input_shape: (height, width, channels), channels 1 or 3; the paper's by default.
        classes: number of classes; those of the spec by default.
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
    shape = tuple(spec.input_shape if input_shape is None else input_shape)
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
    count = len(spec.labels) if classes is None else classes
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
        from kerafer.weights import load_weights, resolve

        load_weights(model, resolve(name, weights))
    return model
