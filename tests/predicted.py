"""Predictions and named pictures made by hand, for the tests of evaluation."""

from dataclasses import replace

import numpy as np
from PIL import Image

from kerafer.data.samples import synthetic
from kerafer.data.stored import ImageFiles
from kerafer.evaluation import Predictions


def predictions(labels, predicted, classes=3, confidence=0.8, **changes):
    """Predictions whose best class is sure by `confidence`, the rest spread evenly."""
    n = len(labels)
    probabilities = np.full((n, classes), (1 - confidence) / (classes - 1), np.float32)
    probabilities[np.arange(n), predicted] = confidence
    values = {
        "model": "made",
        "data": "made",
        "split": "test",
        "class_names": tuple("abcdefgh"[:classes]),
        "rows": np.arange(n),
        "labels": np.asarray(labels, np.int64),
        "leaked": np.zeros(n, bool),
        "probabilities": probabilities,
        "data_sha256": "0" * 64,
    }
    return Predictions(**{**values, **changes})


def named(*names, root="nowhere"):
    """A data set of picture files, which need not exist until pixels are asked for."""
    return replace(synthetic(len(names)), images=ImageFiles(root, names, gray=True))


def written(folder, count):
    """A data set of real files, `0.png` and so on, that hold drawn faces."""
    for number, image in enumerate(synthetic(count).images):
        Image.fromarray(image).save(folder / f"{number}.png")
    return named(*(f"{number}.png" for number in range(count)), root=folder)
