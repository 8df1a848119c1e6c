"""What is known about each model, and the registry that the models' files fill.

Nothing here loads Keras, so that listing the zoo is instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kerafer.labels import LABELS_7, check_labels
from kerafer.preprocess import Preprocessing

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Origin:
    """Where a published checkpoint of a model comes from, and what its numbers mean.

    Args:
        source: who published it, in words.
        labels: class names in the checkpoint's output order.
        preprocessing: how its pictures were prepared.
        licence: of the checkpoint's code and, where stated, of its weights.
    """

    source: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    licence: str


@dataclass(frozen=True)
class ModelSpec:
    """Everything about a model that a phone, a paper or a table needs.

    Args:
        name: registry name, lower case.
        title: name for people.
        paper: where the architecture was published.
        builder: function of `input_shape`, `classes`, `classifier_activation` and the model's own options.
        input_shape: default (height, width, channels).
        preprocessing: contract from a picture to the input.
        parameters: trainable parameters with the defaults.
        flops: floating-point operations with the defaults, under `ruler`.
        ruler: how the paper counted, a key of `kerafer.profiling.RULERS`.
        labels: class names in output order.
        min_size: smallest side that the architecture takes.
        max_size: largest side that is tested.
        options: arguments of the builder that this entry fixes.
        size_multiple: what height and width must be multiples of.
        unseen: by ruler, patterns of layers that its tool did not see: function calls in the paper's code.
        idle: by ruler, operations that its tool counted at the default size for modules that change nothing.
        origins: published checkpoints that `kerafer.import_weights` knows, by name; the first is the default.
        torch_names: gives the layers' names in PyTorch code by ours, for `kerafer.load_torch_state`.

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
    preprocessing: Preprocessing
    parameters: int
    flops: int
    ruler: str
    labels: tuple[str, ...] = LABELS_7
    min_size: int = 32
    max_size: int = 256
    options: Mapping[str, Any] = field(default_factory=dict)
    size_multiple: int = 1
    unseen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    idle: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    torch_names: Callable[[], dict[str, str]] | None = None

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


REGISTRY: dict[str, ModelSpec] = {}
"""Every registered model by name; read it through `kerafer.list_models` and `kerafer.model_spec`."""


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
    if REGISTRY.get(spec.name, spec) != spec:
        raise ValueError(f"A model named {spec.name!r} is registered already; choose another name.")
    REGISTRY[spec.name] = spec
    return spec
