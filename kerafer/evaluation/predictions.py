"""What a model says of every image of a split, kept so that measures and comparisons need not run it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from kerafer.data.dataset import FaceDataset
from kerafer.evaluation.subsets import read_subset
from kerafer.files import read_npz, replacing

if TYPE_CHECKING:
    from kerafer.loading import LoadedModel
    from kerafer.preprocess import Preprocessing

VIEWS = {"center": 1, "flip": 2, "ten_crop": 10}
"""How often an image is seen: its centre crop; that and its mirror image; four corners, centre and mirror images."""

BATCH = 256


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of every image of a split.

    Args:
        model: what was run.
        data: kind of data.
        split: which split.
        class_names: name of each class, in the data's order.
        rows: (n,) int64 number of each image in its source.
        labels: (n,) int64 class numbers.
        leaked: (n,) bool, True where the same image also occurs in another split.
        probabilities: (n, classes) float32, in the data's class order.
        data_sha256: checksum of images and labels.
        views: a key of `VIEWS`.
        subset: name of the list of images, or empty for the whole split.

    Raises:
        ValueError: if there is no image, or shapes or values do not fit each other.
    """

    model: str
    data: str
    split: str
    class_names: tuple[str, ...]
    rows: np.ndarray
    labels: np.ndarray
    leaked: np.ndarray
    probabilities: np.ndarray
    data_sha256: str
    views: str = "center"
    subset: str = ""

    def __post_init__(self) -> None:
        n, classes = len(self.labels), len(self.class_names)
        shapes = {name: getattr(self, name).shape for name in ("rows", "labels", "leaked", "probabilities")}
        if not n or shapes != {"rows": (n,), "labels": (n,), "leaked": (n,), "probabilities": (n, classes)}:
            raise ValueError(
                "Predictions must be of at least one image: `rows`, `labels` and `leaked` (n,), `probabilities` "
                f"(n, {classes}) for {classes} classes. Received: {shapes}"
            )
        if self.labels.min() < 0 or self.labels.max() >= classes:
            raise ValueError(
                f"`labels` must be 0 to {classes - 1}. Received: {self.labels.min()} to {self.labels.max()}"
            )
        broken = ~np.isfinite(self.probabilities).all(axis=1)
        if broken.any():
            raise ValueError(
                f"`probabilities` of {self.model} must be finite numbers. Received: others for {broken.sum()} of {n} "
                f"images, first in row {self.rows[broken.argmax()]}. The model is broken, or its training diverged."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> np.ndarray:
        """The best class of each image, (n,) int64; the first of equals."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """Whether the best class is the label's, (n,) bool."""
        return self.predicted == self.labels

    def save(self, path: str | Path) -> Path:
        """Write everything into a `.npz` file, whole or not at all, and return its path.

        Raises:
            ValueError: if the path does not end in .npz.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"`path` must end in .npz. Received: path={str(path)!r}")
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **{f.name: np.asarray(getattr(self, f.name)) for f in fields(self)})
        return path

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged, or holds something else.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no {path}. Write one with kerafer evaluate --predictions.")
        arrays = read_npz(path)
        kinds = {"rows": "i", "labels": "i", "leaked": "b", "probabilities": "f"}
        wanted = {f.name: kinds.get(f.name, "U") for f in fields(cls)}
        found = {name: array.dtype.kind for name, array in arrays.items()}
        if found != wanted:
            raise ValueError(
                f"{path} holds no predictions of kerafer: expected the arrays {', '.join(wanted)}, as kerafer evaluate "
                f"--predictions writes them. Received: {', '.join(f'{k} ({v.dtype})' for k, v in arrays.items())}"
            )
        values = {name: array if name in kinds else str(array) for name, array in arrays.items()}
        values["class_names"] = tuple(arrays["class_names"].ravel().tolist())
        try:
            return cls(**values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def predict(
    loaded: LoadedModel,
    data: FaceDataset,
    *,
    views: str = "center",
    subset: str | Path | np.ndarray | None = None,
    progress: bool = False,
) -> Predictions:
    """Run a model on every image of a split.

    Args:
        loaded: from `kerafer.load_model`.
        data: the split, from `kerafer.load_data`.
        views: a key of `VIEWS`; the probabilities of the views are averaged.
        subset: a list of images (see `read_subset`), or their numbers, (n,) int; all by default.
        progress: whether to show a progress bar.

    Returns:
        The predictions, in the data's order of images and of classes.

    Raises:
        ValueError: if the data has other classes than the model (their order may differ), a list does not fit the
            data, or the views do not fit the model.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> found = predict(kerafer.load_model("ean", weights="fer2013"), synthetic(14), views="flip")
        >>> found.probabilities.shape
        (14, 7)
    """
    labels = loaded.card.labels
    if set(data.class_names) != set(labels) or len(data.class_names) != len(labels):
        raise ValueError(
            f"The data must have the classes of {loaded.name}, {', '.join(labels)}, in any order. Received: "
            f"{', '.join(data.class_names)}. Take a model that was trained on these classes."
        )
    name = ""
    if isinstance(subset, (str, Path)):
        name, data = Path(subset).name, data.take(read_subset(data, subset).index)
    elif subset is not None:
        name, data = "numbers", data.take(np.asarray(subset))
    if not len(data):
        raise ValueError("`data` must hold at least one image. Received: none. Check the split and the list.")
    probabilities = predict_dataset(loaded, data, views=views, progress=progress)
    # an imported model may number the same classes in another order
    probabilities = probabilities[:, [labels.index(name) for name in data.class_names]]
    return Predictions(
        model=loaded.name,
        data=data.name,
        split=data.split,
        class_names=tuple(data.class_names),
        rows=np.asarray(data.rows, np.int64),
        labels=np.asarray(data.labels, np.int64),
        leaked=np.asarray(data.leaked, bool),
        probabilities=probabilities,
        data_sha256=data.checksum(),
        views=views,
        subset=name,
    )


def predict_dataset(
    loaded: LoadedModel, data: FaceDataset, *, views: str = "center", progress: bool = False
) -> np.ndarray:
    """Return the probabilities of every image of a split, (n, classes) float32, in the split's order.

    The classes are in the model's order, `loaded.card.labels`; arguments as `predict`.
    """
    contract = loaded.card.preprocessing
    check_views(views, contract)
    starts = range(0, len(data), BATCH)
    return np.concatenate(
        [
            predict_pixels(loaded, data.pixels(np.arange(i, min(i + BATCH, len(data))), contract), views)
            for i in tqdm(starts, desc=loaded.name, unit="batch", disable=not progress)
        ]
    )


def check_views(views: str, contract: Preprocessing) -> None:
    """Refuse unknown views, and ten crops where nothing is left to cut."""
    if views not in VIEWS:
        raise ValueError(f"`views` must be one of {', '.join(VIEWS)}. Received: views={views!r}")
    if views == "ten_crop" and tuple(contract.resize) == tuple(contract.size):
        raise ValueError(
            "views='ten_crop' needs pictures larger than the model's input, but its contract resizes to "
            f"{tuple(contract.size)} and crops nothing: all corners would be the whole picture. Use views='flip' for "
            "picture and mirror image."
        )


def predict_pixels(loaded: LoadedModel, pixels: np.ndarray, views: str = "center") -> np.ndarray:
    """Return the probabilities of pictures at the contract's `resize` size.

    Args:
        loaded: the model.
        pixels: (n, height, width) gray or (n, height, width, 3) RGB, uint8.
        views: a key of `VIEWS`.

    Returns:
        (n, classes) float32, averaged over the views.
    """
    contract = loaded.card.preprocessing
    total = None
    for crops in crops_of(pixels, contract, views):
        seen = loaded.runner.predict(contract.batch_of_crops(crops))
        total = seen if total is None else total + seen
    return total / np.float32(VIEWS[views])


def crops_of(pixels: np.ndarray, contract: Preprocessing, views: str) -> Iterator[np.ndarray]:
    """Yield the views of pictures, each (n, size[0], size[1][, 3]) uint8, the centre first."""
    (height, width), (top, left) = contract.size, contract.crop_offset()
    down, right = contract.resize[0] - height, contract.resize[1] - width
    places = [(top, left)]
    if views == "ten_crop":
        places += [(0, 0), (0, right), (down, 0), (down, right)]
    for y, x in places:
        crops = pixels[:, y : y + height, x : x + width]
        yield crops
        if views != "center":
            yield crops[:, :, ::-1]
