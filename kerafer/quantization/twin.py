"""The `tf_keras` (Keras 2) twin of a Keras 3 model.

The `.tflite` converter folds batch normalisation and infers static shapes only from models it knows through and
through, and quantization-aware training knows `tf_keras` models alone. So a functional Keras 3 model, made of standard
layers on any backend, is rebuilt layer by layer from its public `get_config()`, gets the same weights, and is proved to
compute the same numbers. The only file that imports `tf_keras`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

# Only the values of weights matter here: how they were initialised or regularised does not.
_DROPPED = ("_initializer", "_regularizer", "_constraint")
TOLERANCE = 1e-5


def to_twin(model: keras.Model, batch_size: int | None = 1) -> Any:
    """Return the `tf_keras` twin of a functional Keras 3 model.

    Args:
        model: a functional model of standard layers with one input and one output.
        batch_size: fixed batch size of the twin; 1 for clean `.tflite` graphs, None for training.

    Returns:
        A `tf_keras.Model` with the same layer names and weights.

    Raises:
        TypeError: if the model is not functional or holds a layer that Keras 2 does not know.
        ValueError: if the twin's outputs differ from the model's.

    Example:
        >>> import kerafer
        >>> from kerafer.quantization.twin import to_twin
        >>> to_twin(kerafer.build_model("ean")).output_shape
        (1, 7)
    """
    import keras
    import tf_keras

    config = model.get_config()
    if not isinstance(model, keras.Model) or "layers" not in config or len(model.inputs) != 1:
        raise TypeError(
            "`model` must be a functional keras.Model with one input (not subclassed, not Sequential without input). "
            f"Received: {type(model).__name__} named {model.name!r}"
        )
    tensors: dict[str, Any] = {}
    inputs = None
    for entry in config["layers"]:
        name, kind = entry["config"]["name"], entry["class_name"]
        if kind == "InputLayer":
            inputs = tensors[name] = tf_keras.Input(model.input_shape[1:], batch_size, name=name)
            continue
        if len(entry["inbound_nodes"]) != 1:
            raise TypeError(
                f"Layer {name!r} is used {len(entry['inbound_nodes'])} times; only models whose layers are each used "
                "once can be exported."
            )
        layer = _twin_layer(kind, entry["config"])
        arguments = entry["inbound_nodes"][0]["args"]
        tensors[name] = layer(*[_resolve(argument, tensors, name) for argument in arguments])
    output = config["output_layers"]
    while isinstance(output[0], (list, tuple)):
        output = output[0]
    twin = tf_keras.Model(inputs, tensors[output[0]], name=model.name)
    for layer in model.layers:
        if layer.weights:
            twin.get_layer(layer.name).set_weights(layer.get_weights())
    _prove_equal(model, twin)
    return twin


def _twin_layer(kind: str, config: dict[str, Any]) -> Any:
    """Return the Keras 2 layer of a Keras 3 layer's class name and configuration."""
    import tf_keras

    known = getattr(tf_keras.layers, kind, None)
    if known is None:
        raise TypeError(
            f"Layer {config['name']!r} is a {kind}, which Keras 2 does not have. Compose the model of standard layers."
        )
    # Keras 3 knows more arguments than Keras 2; what Keras 2 knows it names in its constructors.
    accepted = {p for base in known.__mro__ if "__init__" in vars(base) for p in inspect.signature(base).parameters}
    kept = {
        key: value
        for key, value in config.items()
        if key in accepted | {"name"} and key != "dtype" and not key.endswith(_DROPPED)
    }
    return known(**kept)


def _resolve(argument: Any, tensors: dict[str, Any], layer: str) -> Any:
    """Return a call's argument with the serialised Keras tensors replaced by the twin's."""
    if isinstance(argument, (list, tuple)):
        return [_resolve(a, tensors, layer) for a in argument]
    if isinstance(argument, dict) and argument.get("class_name") == "__keras_tensor__":
        source, _, _ = argument["config"]["keras_history"]
        return tensors[source]
    raise TypeError(f"Layer {layer!r} is called with {argument!r}; only tensors can be translated.")


def _prove_equal(model: keras.Model, twin: Any) -> None:
    x = np.random.default_rng(0).random((twin.input_shape[0] or 1, *model.input_shape[1:]), np.float32)
    ours, theirs = np.asarray(model.predict(x, verbose=0)), np.asarray(twin(x, training=False))
    difference = float(np.max(np.abs(ours - theirs)))
    if not difference <= TOLERANCE * max(1.0, float(np.max(np.abs(ours)))):
        raise ValueError(
            f"The tf_keras twin of {model.name!r} gives other numbers (largest difference {difference:g}). "
            "Is one of its layers not a standard one?"
        )
