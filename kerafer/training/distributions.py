"""Label distributions: from a trained generator, kept on disk, or from people's votes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerafer.data.dataset import FaceDataset
from kerafer.evaluation import predict_dataset
from kerafer.files import read_npz, replacing
from kerafer.loading import LoadedModel
from kerafer.runtime import KerasRunner
from kerafer.training import hosts
from kerafer.training.record import weights_checksum


@dataclass(frozen=True, eq=False)
class Distributions:
    """A label distribution for each image of a split.

    Args:
        values: (n, classes) float32, each row adding up to 1, in the data set's class order.
        source: where they come from, as a run record repeats it; holds their SHA-256.

    Raises:
        ValueError: if the shape is another one, or a row is no distribution.
    """

    values: np.ndarray
    source: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            raise ValueError(f"`values` must have shape (images, classes). Received: {self.values.shape}")
        wrong = ~((self.values >= 0).all(axis=1) & np.isclose(self.values.sum(axis=1), 1, atol=1e-3))
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"`values` must be distributions, 0 or more and adding up to 1. Received: row {first}, "
                f"{self.values[first]}"
            )

    def mixed(self, labels: np.ndarray, hard_share: float) -> np.ndarray:
        """Return the values with a share of each image's hard label mixed in, (n, classes) float32.

        Args:
            labels: (n,) class numbers.
            hard_share: the hard labels' share, 0 to 1.
        """
        if not hard_share:
            return self.values
        hard = np.eye(self.values.shape[1], dtype=np.float32)[labels]
        return (hard_share * hard + (1 - hard_share) * self.values).astype(np.float32)


def distributions_from_votes(data: FaceDataset) -> Distributions:
    """Return FER+ votes as distributions.

    Args:
        data: a split that was read with votes.

    Raises:
        ValueError: if the split has no votes.

    Reference:
        Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label
        distribution", ICMI 2016.
    """
    return _described(data.distributions(), {"source": "FER+ votes"})


def generate_distributions(
    generator: LoadedModel, data: FaceDataset, cache: str | Path | None = None, *, progress: bool = False
) -> Distributions:
    """Return a trained model's probabilities for every image, one centre crop each.

    The papers' code runs the generator on every augmented batch. One distribution an image costs a single pass, and
    lets a generator of any size serve any number of trainings.

    Args:
        generator: the label distribution generator, from `kerafer.load_model`; it stays as it is.
        data: the split that a student will be trained on.
        cache: folder of a file for each pair of data and generator, found again by their checksums; None computes.
        progress: whether to show a progress bar.

    Returns:
        The distributions, in the data set's class order.

    Raises:
        ValueError: if the generator has other classes, or a kept file is damaged.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> made = generate_distributions(kerafer.load_model("ean", weights="fer2013"), synthetic(14))
        >>> made.values.shape
        (14, 7)

    Reference:
        EfficientFace, section "Label distribution learning", and LFER-LDL, section 1.3.
    """
    if set(generator.card.labels) != set(data.class_names):
        raise ValueError(f"`generator` must have the classes {data.class_names}. Received: {generator.card.labels}")
    if generator.model is None:
        raise ValueError(f"`generator` must be a Keras model (.keras, run or bundle). Received: {generator.name}")
    source = {
        "source": "generator",
        "generator": generator.card.model,
        "weights_sha256": weights_checksum(generator.model),
        "preprocessing": generator.card.preprocessing.to_dict(),
    }
    key = hashlib.sha256(f"{data.checksum()} {data.class_names} {source}".encode()).hexdigest()[:24]
    path = None if cache is None else Path(cache) / f"distributions-{key}.npz"
    if path is not None and path.exists():
        return _described(_read(path, (len(data), len(data.class_names))), source)
    order = [generator.card.labels.index(name) for name in data.class_names]
    if hosts.part()[1] > 1:  # every host makes them all: their number is small beside a training's passes
        with hosts.alone():
            model = keras.models.clone_model(generator.model)
            model.set_weights(generator.model.get_weights())
            generator = replace(generator, model=model, runner=KerasRunner(model))
            values = predict_dataset(generator, data, progress=progress)
    else:
        values = predict_dataset(generator, data, progress=progress)
    values = values[:, order].astype(np.float32)
    if path is not None:
        with replacing(path) as temporary:
            np.savez(temporary, values=values)
    return _described(values, source)


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray:
    try:
        values = read_npz(path)["values"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}). Remove it, and it is made again.") from error
    if values.shape != shape:
        raise ValueError(f"{path} must hold {shape} values. Received: {values.shape}. Remove it, to make it again.")
    return values


def _described(values: np.ndarray, source: dict[str, Any]) -> Distributions:
    checksum = hashlib.sha256(np.ascontiguousarray(values, np.float32)).hexdigest()
    return Distributions(values.astype(np.float32), {**source, "sha256": checksum})
