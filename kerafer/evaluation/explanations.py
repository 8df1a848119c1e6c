"""Where a model looks, and how it lays out its classes: Grad-CAM and embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

    from kerafer.data.dataset import FaceDataset
    from kerafer.loading import LoadedModel

METHODS = ("pca", "tsne")
FORM = 0.35
"""How far a map's form may differ from the input's; small maps round theirs."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What Grad-CAM finds in pictures.

    Args:
        layers: name of each explained layer and the (height, width) of its map, from input to output.
        maps: (layers, pictures, height, width) float32 at the model's input size, 0 to 1 in each picture.
        probabilities: (pictures, classes) float32.
        classes: (pictures,) int: the class that each map argues for.
    """

    layers: tuple[tuple[str, tuple[int, int]], ...]
    maps: np.ndarray
    probabilities: np.ndarray
    classes: np.ndarray


def explained_layers(model: keras.Model) -> list[str]:
    """Return the last layer at each resolution of a functional model, from input to output: its blocks' ends.

    Args:
        model: (batch, height, width, channels) to (batch, classes).

    Raises:
        ValueError: if the model has no maps.

    Example:
        >>> import kerafer
        >>> explained_layers(kerafer.build_model("lcnn"))[-1]
        'tail_conv'
    """
    import keras

    _, height, width, _ = model.input_shape
    last: dict[tuple[int, int], str] = {}
    for layer in model.layers[1:]:
        shape = getattr(layer.output, "shape", ())
        if (
            len(shape) != 4
            or min(shape[1:3]) < 2
            or isinstance(layer, keras.layers.ZeroPadding2D | keras.layers.Cropping2D)
        ):
            continue
        # a map of another form is not one of the picture: ShuffleNet's channels in rows, a local extractor's halves
        if abs(shape[1] / shape[2] * width / height - 1) < FORM:
            last.pop(tuple(shape[1:3]), None)
            last[tuple(shape[1:3])] = layer.name
    if not last:
        raise ValueError(f"`model` {model.name!r} has no maps of more than one place that could be explained.")
    return list(last.values())


def grad_cam(loaded: LoadedModel, inputs: np.ndarray, classes: Sequence[int] | None = None) -> Explanation:
    """Explain predictions by Grad-CAM, at the end of every block.

    A map's place is warm where more activation there would raise the class's logit: with A the layer's activation and
    y the logit, L = ReLU(sum_k a_k A_k), a_k the mean over places of dy / dA_k.

    Args:
        loaded: a Keras model, on the TensorFlow backend.
        inputs: (pictures, height, width, 3) float32, as the model's preprocessing gives them.
        classes: what to explain in each picture; the most probable class by default.

    Returns:
        Maps, probabilities and classes.

    Raises:
        ValueError: if there is no Keras model, the backend is another one, or a class is unknown.

    Reference:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", ICCV
        2017, equations 1 and 2.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import portrait_faces
        >>> ean = kerafer.load_model("ean", weights="fer2013")
        >>> contract = ean.card.preprocessing
        >>> grad_cam(ean, contract.scale(portrait_faces(contract, 2, seed=0))).maps.shape[1:]
        (2, 44, 44)
    """
    import cv2
    import keras
    import tensorflow as tf

    if loaded.model is None or keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"`loaded` must be a Keras model on the TensorFlow backend. Received: {loaded.name}, "
            f"{'a .tflite file' if loaded.model is None else f'the backend {keras.backend.backend()}'}"
        )
    names = explained_layers(loaded.model)
    outputs = [loaded.model.get_layer(name).output for name in names]
    split = keras.Model(loaded.model.inputs, [logits_of(loaded.model), *outputs])
    count = len(loaded.card.labels)
    if classes is not None and not all(0 <= c < count for c in classes):
        raise ValueError(f"`classes` must be 0 to {count - 1}. Received: {list(classes)}")
    with tf.GradientTape() as tape:
        x = tf.convert_to_tensor(inputs)
        tape.watch(x)
        logits, *maps = split(x, training=False)
        probabilities = np.asarray(keras.ops.softmax(logits), np.float32)
        chosen = probabilities.argmax(axis=1) if classes is None else np.asarray(classes)
        score = tf.reduce_sum(logits * tf.one_hot(chosen, count, dtype=logits.dtype))
    height, width = loaded.card.preprocessing.size
    found = np.zeros((len(names), len(inputs), height, width), np.float32)
    for number, (activation, gradient) in enumerate(zip(maps, tape.gradient(score, maps), strict=True)):
        weights = np.asarray(gradient).mean(axis=(1, 2), keepdims=True)  # (pictures, 1, 1, channels)
        warm = np.maximum((weights * np.asarray(activation)).sum(axis=-1), 0)  # (pictures, h, w)
        warm /= np.maximum(warm.max(axis=(1, 2), keepdims=True), 1e-12)
        for picture, one in enumerate(warm):
            found[number, picture] = cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR)
    shapes = [tuple(int(v) for v in output.shape[1:3]) for output in outputs]
    return Explanation(tuple(zip(names, shapes, strict=True)), found, probabilities, chosen)


def logits_of(model: keras.Model) -> keras.KerasTensor:
    """Return the tensor before a model's softmax; the output itself where the last layer has none.

    Args:
        model: functional, (batch, height, width, channels) to (batch, classes).
    """
    import keras

    last = model.layers[-1]
    if isinstance(last, (keras.layers.Activation, keras.layers.Softmax)):
        return last.input
    if getattr(last, "activation", None) is keras.activations.softmax:
        plain = type(last).from_config({**last.get_config(), "activation": None, "name": f"{last.name}_logits"})
        logits = plain(last.input)
        plain.set_weights(last.get_weights())
        return logits
    return model.output


def embeddings(loaded: LoadedModel, data: FaceDataset) -> np.ndarray:
    """Return what a model makes of each picture before its classifier.

    Args:
        loaded: a Keras model.
        data: the pictures.

    Returns:
        (pictures, channels) float32: the mean over places of the last map with more channels than classes.

    Raises:
        ValueError: if there is no Keras model, or it has no such map.
    """
    import keras

    if loaded.model is None:
        raise ValueError(f"`loaded` must be a Keras model. Received: {loaded.name}, a .tflite file")
    count = len(loaded.card.labels)
    maps = [
        layer.output
        for layer in loaded.model.layers[1:]
        if len(getattr(layer.output, "shape", ())) == 4 and layer.output.shape[-1] > count
    ]
    if not maps:
        raise ValueError(f"{loaded.name} has no map with more channels than its {count} classes.")
    model = keras.Model(loaded.model.inputs, keras.ops.mean(maps[-1], axis=(1, 2)))
    contract, parts = loaded.card.preprocessing, []
    for first in range(0, len(data), 256):
        batch = data.inputs(contract, np.arange(first, min(first + 256, len(data))))
        parts.append(np.asarray(model.predict_on_batch(batch), np.float32))
    return np.concatenate(parts)


def layout(vectors: np.ndarray, method: str = "pca", seed: int = 0) -> np.ndarray:
    """Lay vectors out in a plane, (n, 2), by scikit-learn's PCA or t-SNE.

    Args:
        vectors: (n, channels).
        method: `"pca"`, which keeps directions and distances as far as a plane can, or `"tsne"`, which keeps
            neighbours.
        seed: of t-SNE.

    Raises:
        ValueError: for another method, or fewer than three vectors.

    Example:
        >>> layout(np.eye(5)).shape
        (5, 2)
    """
    if method not in METHODS or len(vectors) < 3:
        raise ValueError(
            f"`method` must be one of {METHODS}, for at least 3 vectors. Received: {method!r}, {len(vectors)}"
        )
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, random_state=seed).fit_transform(vectors)
    from sklearn.manifold import TSNE

    return TSNE(2, perplexity=min(30, (len(vectors) - 1) / 3), random_state=seed).fit_transform(vectors)
