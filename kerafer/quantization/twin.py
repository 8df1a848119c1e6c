"""The `tf_keras` (Keras 2) twin of a Keras 3 model.

The `.tflite` converter folds batch normalisation and infers static shapes only from models it knows through and
through, and quantization-aware training knows `tf_keras` models alone. So a functional Keras 3 model, made of standard
layers on any backend, is rebuilt layer by layer from its public `get_config()`, gets the same weights, and is proved to
compute the same numbers. Models within the model are unpacked, a layer that is used twice becomes two with the same
weights, and what does nothing outside training (augmentation) is left out: in the twin each layer is called once, with
tensors alone. The only file that imports `tf_keras`.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.quantization.graphs import (
    check_layer,
    check_model,
    in_single_precision,
    is_graph,
    is_idle,
    operations,
    standard_class,
)

if TYPE_CHECKING:
    import keras

# Only the values of weights matter here: how they were initialised or regularised does not.
_DROPPED = ("_initializer", "_regularizer", "_constraint")
# What Keras 2 calls otherwise.
_RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
# Activations that Keras 2 lacks or computes otherwise, composed of layers: relu6(x + 3) / 6, and x times that.
_COMPOSED = ("hard_sigmoid", "hard_silu", "hard_swish")
TOLERANCE = 1e-4
"""How far a probability of the twin may stray: rounding of deep networks reaches 1e-5, a wrong layer far more."""


def to_twin(model: keras.Model, batch_size: int | None = 1) -> Any:
    """Return the `tf_keras` twin of a functional Keras 3 model.

    Args:
        model: a functional or sequential model of standard layers with one input and one output; models within it are
            unpacked, and half precision becomes single.
        batch_size: fixed batch size of the twin; 1 for clean `.tflite` graphs, None for training.

    Returns:
        A `tf_keras.Model` with the same layer names and weights.

    Raises:
        TypeError: if the model is not functional or holds what Keras 2 does not know; the message names the layer.
        ValueError: if the input's size is not fixed, or the twin's outputs differ from the model's.

    Example:
        >>> import kerafer
        >>> from kerafer.quantization.twin import to_twin
        >>> to_twin(kerafer.build_model("ean")).output_shape
        (1, 7)
    """
    import tf_keras

    check_model(model)
    for operation in operations(model):
        check_layer(operation)
    model = in_single_precision(model)
    builder = _Builder()
    inputs = tf_keras.Input(model.inputs[0].shape[1:], batch_size, name=builder.free_name(model.inputs[0].name))
    (output,) = builder.rebuild(model, model.get_config(), [inputs])
    twin = tf_keras.Model(inputs, output, name=_scope_name(model.name))
    for layer, copy in builder.weighted:
        _copy_weights(layer, copy)
    _prove_equal(model, twin)
    return twin


class _Builder:
    """Rebuilds graphs of layers in Keras 2, and remembers which layers want weights."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.weighted: list[tuple[keras.Layer, Any]] = []

    def free_name(self, name: str, inside: str = "") -> str:
        """Return a layer's name, or a new one where two layers of the twin would share it."""
        name = _scope_name(name)
        candidates = [name, f"{_scope_name(inside)}_{name}"] if inside else [name]
        candidates += [f"{name}_{number}" for number in range(1, len(self.names) + 2)]
        free = next(candidate for candidate in candidates if candidate not in self.names)
        self.names.add(free)
        return free

    def rebuild(self, model: keras.Model, config: dict[str, Any], given: list[Any], inside: str = "") -> list[Any]:
        """Return the outputs of a functional or sequential model for the twin's tensors that it is called with."""
        layers = {layer.name: layer for layer in model.layers}
        entries = [entry for entry in config["layers"] if entry["class_name"] != "InputLayer"]
        if "input_layers" not in config:  # Sequential
            for entry in entries:
                given = self.call(layers[entry["config"]["name"]], entry["config"], given, inside)
            return given
        tensors = {end[:2]: [tensor] for end, tensor in zip(_ends(config["input_layers"]), given, strict=True)}
        waiting = [(entry, i, node) for entry in entries for i, node in enumerate(entry["inbound_nodes"])]
        while waiting:
            later = []
            for entry, i, node in waiting:
                layer = layers[entry["config"]["name"]]
                sources = _sources(node, layer.name)
                if all(source[:2] in tensors for source in sources):
                    arguments = [tensors[source[:2]][source[2]] for source in sources]
                    packed = [arguments] if isinstance(node["args"][0], (list, tuple)) else arguments
                    tensors[layer.name, i] = self.call(layer, entry["config"], packed, inside)
                else:
                    later.append((entry, i, node))
            if len(later) == len(waiting):
                raise TypeError(f"Layer {waiting[0][0]['config']['name']!r} is called with what the model never makes.")
            waiting = later
        # a functional model counts its own making as its first call, but only where a graph ends with it
        ends = [(name, i - hasattr(layers.get(name), "operations"), k) for name, i, k in _ends(config["output_layers"])]
        return [tensors[name, i][k] for name, i, k in ends]

    def call(self, layer: keras.Layer, config: dict[str, Any], arguments: list[Any], inside: str) -> list[Any]:
        """Return the outputs of a layer, or of a model within the model, as the twin computes them."""
        if is_graph(layer):
            flat = arguments[0] if isinstance(arguments[0], list) else arguments
            return self.rebuild(layer, config, flat, inside=layer.name)
        if is_idle(layer):
            return arguments
        activation = config.get("activation")
        if activation in _COMPOSED:
            if standard_class(layer).__name__ == "Activation":
                return [self.composed(activation, layer.name, arguments[0], inside)]
            config = {**config, "activation": "linear"}
        copy = _twin_layer(layer, config, self.free_name(layer.name, inside))
        if layer.weights:
            self.weighted.append((layer, copy))
        outputs = copy(*arguments)
        if activation in _COMPOSED:
            outputs = self.composed(activation, f"{layer.name}_{activation}", outputs, inside)
        return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]

    def composed(self, activation: str, name: str, x: Any, inside: str) -> Any:
        """Return an activation of `_COMPOSED` made of layers."""
        from tf_keras import layers

        y = layers.Rescaling(1.0, 3.0, name=self.free_name(f"{name}_shift", inside))(x)
        y = layers.ReLU(6.0, name=self.free_name(f"{name}_clip", inside))(y)
        if activation == "hard_sigmoid":
            return layers.Rescaling(1 / 6, name=self.free_name(name, inside))(y)
        y = layers.Multiply(name=self.free_name(f"{name}_gate", inside))([x, y])
        return layers.Rescaling(1 / 6, name=self.free_name(name, inside))(y)


def _ends(ends: Any) -> list[tuple[str, int, int]]:
    """Return (layer, call, output) of a model's inputs or outputs, which Keras nests as the model was made."""
    import keras

    flat = keras.tree.flatten(ends)
    return [tuple(flat[i : i + 3]) for i in range(0, len(flat), 3)]


def _sources(node: dict[str, Any], layer: str) -> list[tuple[str, int, int]]:
    """Return (layer, call, output) of the tensors that a layer is called with, and refuse any other argument."""
    positional = [value for value in node["args"] if _is_given(value)]
    values = positional[0] if len(positional) == 1 and isinstance(positional[0], (list, tuple)) else positional
    # `training` says nothing here: Keras, too, predicts with training=False whatever the model was built with
    others = {key: value for key, value in node["kwargs"].items() if key != "training" and _is_given(value)}
    wrong = [v for v in values if not (isinstance(v, dict) and v.get("class_name") == "__keras_tensor__")]
    if wrong or others or not values:
        shown = ", ".join([*map(str, wrong), *(f"{key}={value}" for key, value in others.items())])
        raise TypeError(f"Layer {layer!r} is called with {shown or 'nothing'}; only tensors can be translated.")
    return [tuple(value["config"]["keras_history"]) for value in values]


def _is_given(value: Any) -> bool:
    """Tell whether an argument is more than None, or a list of it, which Keras notes for masks that nobody gave."""
    return any(_is_given(part) for part in value) if isinstance(value, (list, tuple)) else value is not None


def _twin_layer(layer: keras.Layer, config: dict[str, Any], name: str) -> Any:
    """Return the Keras 2 layer of a Keras 3 layer's configuration."""
    import tf_keras

    known = getattr(tf_keras.layers, standard_class(layer).__name__, None)
    if known is None:
        raise TypeError(
            f"Layer {layer.name!r} is a {type(layer).__name__}, which Keras 2 does not have. Compose the model of "
            "other layers."
        )
    renamed = _RENAMED.get(known.__name__, {})
    # Keras 3 knows more arguments than Keras 2; what Keras 2 knows it names in its constructors.
    accepted = {p for base in known.__mro__ if "__init__" in vars(base) for p in inspect.signature(base).parameters}
    kept = {
        renamed.get(key, key): value
        for key, value in config.items()
        if renamed.get(key, key) in accepted and key not in ("dtype", "name") and not key.endswith(_DROPPED)
    }
    for key, value in kept.items():
        if isinstance(value, dict) and "class_name" in value:
            shown = value["config"] if isinstance(value["config"], str) else value["class_name"]
            raise TypeError(f"Layer {layer.name!r} has {key}={shown!r}, which is not one of Keras's own by name.")
    if isinstance(kept.get("activation"), str):
        try:
            tf_keras.activations.get(kept["activation"])
        except ValueError as error:
            raise TypeError(
                f"Layer {layer.name!r} has the activation {kept['activation']!r}, which Keras 2 does not have. Compose "
                "it of standard layers."
            ) from error
    return known(**kept, name=name)


def _copy_weights(layer: keras.Layer, copy: Any) -> None:
    values = layer.get_weights()
    if [v.shape for v in values] != [tuple(w.shape) for w in copy.weights]:
        raise TypeError(
            f"Layer {layer.name!r}, a {type(layer).__name__}, has weights of other shapes in Keras 2: "
            f"{[tuple(w.shape) for w in copy.weights]}. Received: {[v.shape for v in values]}"
        )
    copy.set_weights(values)
    if hasattr(copy, "finalize_state"):  # a Normalization computes with what it derives from its weights
        copy.finalize_state()


def _scope_name(name: str) -> str:
    """Return a name that TensorFlow takes: letters, figures and `_.-`, first a letter or figure."""
    return re.sub(r"^[^A-Za-z0-9]+", "", re.sub(r"[^A-Za-z0-9_.\-]", "_", name)) or "layer"


def _prove_equal(model: keras.Model, twin: Any) -> None:
    import keras

    x = np.random.default_rng(0).random((twin.input_shape[0] or 1, *twin.input_shape[1:]), np.float32)
    # a model may want its input in a dictionary; its graph does not
    ours = keras.ops.convert_to_numpy(keras.Model(model.inputs[0], model.outputs[0])(x, training=False))
    theirs = np.asarray(twin(x, training=False))
    difference = float(np.max(np.abs(ours - theirs))) if ours.shape == theirs.shape else float("inf")
    if not difference <= TOLERANCE * max(1.0, float(np.max(np.abs(ours)))):
        raise ValueError(
            f"The tf_keras twin of {model.name!r} gives other numbers (largest difference {difference:g}). "
            "Is one of its layers not a standard one?"
        )
