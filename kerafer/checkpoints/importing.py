"""Somebody else's checkpoint into a model of ours with its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.card import ModelCard
from kerafer.checkpoints.keras_2 import load_mini_xception, read_keras_2
from kerafer.checkpoints.torch_files import read_torch_state
from kerafer.checkpoints.torch_state import load_torch_state
from kerafer.files import replacing, sha256
from kerafer.labels import canonical_name
from kerafer.layers import with_rgb_input
from kerafer.profiling import profile
from kerafer.specs import ModelSpec, Origin
from kerafer.zoo import build_model, model_spec

if TYPE_CHECKING:
    import keras

MODEL_FILE = "model.keras"


def import_weights(
    name: str,
    checkpoint: str | Path,
    out: str | Path,
    *,
    origin: str | None = None,
    labels: tuple[str, ...] | None = None,
) -> Path:
    """Turn somebody else's checkpoint into a folder that every verb of kerafer takes: a Keras model with its card.

    Args:
        name: a model of the zoo with PyTorch names, or `"lcnn"`.
        checkpoint: `.pth`, `.pth.tar`, `.pt` or `.npz` with PyTorch's names; for `lcnn` a Keras 2 `.hdf5`.
        out: the folder to write; refused if it holds a model already.
        origin: which published checkpoint it is, a key of the spec's `origins`, which tells label order and
            normalisation; the first by default.
        labels: class names in the checkpoint's output order; needed where it is none of the published ones.

    Returns:
        The folder.

    Raises:
        FileExistsError: if `out` holds a model already.
        ValueError: if the checkpoint does not fit the model, or its number of classes the labels.

    Example:
        >>> import kerafer
        >>> kerafer.import_weights("efficientface", "none.pth.tar", "imported")
        Traceback (most recent call last):
        FileNotFoundError: There is no file none.pth.tar.
    """
    spec, out, checkpoint = model_spec(name), Path(out), Path(checkpoint)
    if (out / MODEL_FILE).exists():
        raise FileExistsError(f"{out} holds a model already. Choose another folder.")
    known = _origin(spec, origin, labels)
    if not checkpoint.is_file():
        raise FileNotFoundError(f"There is no file {checkpoint}.")
    if name == "lcnn":
        height, width, channels = read_keras_2(checkpoint)["input_shape"]
        contract = known.preprocessing.resized_to((height, width))
        model = load_mini_xception(build_model(name, input_shape=(height, width, channels)), checkpoint)
    else:
        contract = known.preprocessing
        state = read_torch_state(checkpoint)
        model = load_torch_state(_built_for(spec, state), state)
    named = tuple(canonical_name(label) for label in (labels or known.labels))
    if len(named) != model.output_shape[-1]:
        raise ValueError(
            f"`labels` must name the {model.output_shape[-1]} classes of {checkpoint.name} in its order. "
            f"Received: {', '.join(named)}"
        )
    counted = profile(model)
    card = ModelCard(
        model=spec.name,
        title=spec.title,
        paper=spec.paper,
        labels=named,
        preprocessing=contract,
        parameters=counted.trainable_parameters,
        flops=counted.flops[spec.ruler],
        ruler=spec.ruler,
        weights=checkpoint.name,
        training={"imported_from": known.source, "file": checkpoint.name, "sha256": sha256(checkpoint)},
        licences={"weights": known.licence},
        notes=("Imported, not trained by kerafer.",),
    )
    out.mkdir(parents=True, exist_ok=True)
    card.write(out)
    with replacing(out / MODEL_FILE) as temporary:  # last, so that a folder with a model is whole
        with_rgb_input(model).save(temporary)
    return out


def _origin(spec: ModelSpec, origin: str | None, labels: tuple[str, ...] | None) -> Origin:
    if spec.torch_names is None and not spec.origins:
        raise ValueError(f"No checkpoints can be imported for {spec.name}; its layers have no PyTorch names.")
    if origin is not None and origin not in spec.origins:
        raise ValueError(f"`origin` for {spec.name} must be one of {list(spec.origins)}. Received: origin={origin!r}")
    if spec.origins:
        return spec.origins[origin or next(iter(spec.origins))]
    if labels is None:
        raise ValueError(
            f"`labels` must be given for {spec.name}: no checkpoint of it is published, so only you know the order of "
            "its classes."
        )
    return Origin("a checkpoint of unknown origin", labels, spec.preprocessing, "unknown")


def _built_for(spec: ModelSpec, state: Mapping[str, np.ndarray]) -> keras.Model:
    """Return a model with the checkpoint's number of classes and, for LFER-LDL's head, its free choices."""
    names = spec.torch_names()
    heads = [names[layer] for layer in ("logits", "head_pointwise_conv", "tail_conv") if layer in names]
    shape = next((np.shape(state[f"{head}.weight"]) for head in heads if f"{head}.weight" in state), ())
    options: dict[str, Any] = {"padding": "symmetric"}
    if shape and shape[0] >= 2:
        options["classes"] = shape[0]
    if spec.name in ("lfer", "lfer_output"):
        options["head_batch_normalized"] = "out.bn1.weight" in state
        options["head_bias"] = "out.pw.bias" in state
    if spec.name == "ean" and "f.3.b.8.conv.weight" not in state:
        options["eca_kernel"] = None
    return build_model(spec.name, classifier_activation="softmax", **options)
