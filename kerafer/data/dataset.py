"""What every reader yields: faces, canonical labels, and an account of what was found on the way."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kerafer.preprocess import Preprocessing

if TYPE_CHECKING:
    import tensorflow as tf

# Where the reader of each kind of data lives: `read(path, split, **options)`, or the function named after the colon.
READERS = {
    "fer2013": "kerafer.data.fer2013",
    "ferplus": "kerafer.data.ferplus",
    "rafdb": "kerafer.data.rafdb",
    "affectnet7": "kerafer.data.affectnet:read_7",
    "affectnet8": "kerafer.data.affectnet:read_8",
    "caers": "kerafer.data.caers",
    "kdef": "kerafer.data.kdef",
    "folder": "kerafer.data.folders",
    "csv": "kerafer.data.listed",
}

ON_ERROR = ("raise", "skip")


class StoredImages(Protocol):
    """Pictures of a data set that stay on disk until they are asked for."""

    is_gray: bool
    """True where `pixels` gives one channel."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def __getitem__(self, number: int) -> np.ndarray:
        """Return one picture in its own size, (height, width[, 3]) uint8."""

    def take(self, index: np.ndarray) -> StoredImages:
        """Return some of the pictures, by number or by mask."""

    def pixels(self, index: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return pictures resized to (height, width) as `Preprocessing.pixels` does: (n, height, width[, 3]) uint8."""

    def update(self, digest: Any) -> None:
        """Feed the content of all pictures, in order, to a `hashlib` object."""


@dataclass(frozen=True)
class LoadReport:
    """What a reader found, kept or left out.

    Args:
        rows: rows or files seen in the split asked for.
        skipped: why and where bad rows were left out ("line 7: ..."), when the caller chose to skip.
        black: images of one single value, by row.
        dropped: how many good images were left out, by reason, when the caller chose to drop.
        duplicates: images of this split that also occur in another split of the same source, by that split.
        repeated: images that repeat an earlier image of the same split.
        conflicting: groups of equal images, over all splits read, whose labels differ.
    """

    rows: int
    skipped: tuple[str, ...] = ()
    black: tuple[int, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    conflicting: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class FaceDataset:
    """Faces of one split, in memory or on disk.

    Args:
        name: the kind of data, a key of `READERS`.
        split: the split's name.
        images: (n, height, width) gray or (n, height, width, 3) RGB, uint8; or pictures on disk.
        labels: (n,) int64 canonical class numbers.
        class_names: name of each class number.
        rows: (n,) int64 number of each image in its source.
        leaked: (n,) bool, True where the same image also occurs in another split.
        votes: (n, 10) FER+ votes in FER+ column order, or None.
        report: what the reader found.
        aligned: whether the faces were turned until the eyes are level (`kerafer data align`); a model that is
            trained on them has faces turned for it in use.
    """

    name: str
    split: str
    images: np.ndarray | StoredImages
    labels: np.ndarray
    class_names: tuple[str, ...]
    rows: np.ndarray
    leaked: np.ndarray
    report: LoadReport
    votes: np.ndarray | None = None
    aligned: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_gray(self) -> bool:
        """True where the images have one channel."""
        return self.images.ndim == 3 if isinstance(self.images, np.ndarray) else self.images.is_gray

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of all images, or None where they lie on disk in sizes of their own."""
        return tuple(self.images.shape[1:3]) if isinstance(self.images, np.ndarray) else None

    def take(self, index: np.ndarray) -> FaceDataset:
        """Return the data set of some images, by number or by mask."""
        parts = {k: getattr(self, k)[index] for k in ("labels", "rows", "leaked")}
        images = self.images[index] if isinstance(self.images, np.ndarray) else self.images.take(index)
        return replace(self, images=images, **parts, votes=None if self.votes is None else self.votes[index])

    def pixels(self, index: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        """Return images at the contract's `resize` size, from which crops are cut.

        Args:
            index: numbers of the images.
            preprocessing: the model's contract.

        Returns:
            (n, height, width) gray or (n, height, width, 3) RGB, uint8.
        """
        if not isinstance(self.images, np.ndarray):
            return self.images.pixels(index, preprocessing.resize)
        images = self.images[index]
        if images.shape[1:3] == tuple(preprocessing.resize):
            return images
        whole = Preprocessing(size=preprocessing.resize, resize=preprocessing.resize)
        resized = np.stack([whole.pixels(image) for image in images])
        return resized[..., 0] if self.is_gray else resized

    def inputs(self, preprocessing: Preprocessing, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the model's inputs, one centre crop an image.

        Args:
            preprocessing: the model's contract.
            index: numbers of the images, or a slice; all by default.

        Returns:
            (n, height, width, 3) float32.

        Example:
            >>> import kerafer
            >>> from kerafer.data.samples import synthetic
            >>> synthetic(7).inputs(kerafer.model_spec("ean").preprocessing, slice(2, 4)).shape
            (2, 44, 44, 3)
        """
        return preprocessing.batch(self.pixels(np.arange(len(self))[index], preprocessing))

    def normalized(self, preprocessing: Preprocessing) -> Preprocessing:
        """Return the contract with the mean and standard deviation of this split's pixels, by colour.

        Args:
            preprocessing: the model's contract; its `size` and `resize` are kept.

        Example:
            >>> import kerafer
            >>> from kerafer.data.samples import synthetic
            >>> contract = synthetic(14).normalized(kerafer.model_spec("ean").preprocessing)
            >>> bool(contract.mean[0] == contract.mean[2] > 0)
            True
        """
        total, squares, count = np.zeros(3), np.zeros(3), 0
        for start in range(0, len(self), 256):
            pixels = self.pixels(np.arange(start, min(start + 256, len(self))), preprocessing) / 255.0
            colours = pixels.reshape(-1, 1 if self.is_gray else 3)  # (pixels, 1 or 3)
            total, squares, count = (
                total + colours.sum(axis=0),
                squares + (colours**2).sum(axis=0),
                count + len(colours),
            )
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
        return replace(preprocessing, mean=tuple(map(float, mean)), std=tuple(map(float, std)))

    def counts(self) -> dict[str, int]:
        """Return the number of images of each class."""
        counts = Counter(self.labels.tolist())
        return {name: counts.get(number, 0) for number, name in enumerate(self.class_names)}

    def checksum(self) -> str:
        """Return a SHA-256 over images and labels, the same whichever form they were read from."""
        digest = hashlib.sha256()
        if isinstance(self.images, np.ndarray):
            digest.update(np.ascontiguousarray(self.images))
        else:
            self.images.update(digest)
        digest.update(np.ascontiguousarray(self.labels, dtype=np.int64))
        return digest.hexdigest()

    def distributions(self) -> np.ndarray:
        """Return FER+ votes as label distributions in canonical order.

        Votes for "unknown", "not a face" and classes that the data set lacks are left out; an image without any
        usable vote gets its hard label.

        Returns:
            (n, classes) float32, each row adding up to 1.

        Raises:
            ValueError: if the data set has no votes.
        """
        from kerafer.labels import to_canonical

        if self.votes is None:
            raise ValueError(f"{self.name} was read without FER+ votes. Read the npz form, or pass votes=CSV.")
        classes = len(self.class_names)
        out = np.zeros((len(self), classes), np.float32)
        for column, number in enumerate(to_canonical("ferplus")):
            if number is not None and number < classes:
                out[:, number] = self.votes[:, column]
        empty = out.sum(axis=1) == 0
        out[empty, self.labels[empty]] = 1.0
        return out / out.sum(axis=1, keepdims=True)

    def to_tf(self, preprocessing: Preprocessing, batch_size: int = 128, *, one_hot: bool = True) -> tf.data.Dataset:
        """Return the split as a `tf.data` pipeline in its own order, one centre crop an image.

        For shuffled and augmented batches see `kerafer.data.pipeline.TrainingBatches`.

        Args:
            preprocessing: the model's contract.
            batch_size: images in a batch.
            one_hot: labels as (batch, classes) float32 instead of (batch,) int64.

        Returns:
            Batches of (batch, height, width, 3) float32, scaled by the contract, and labels.

        Example:
            >>> import numpy as np, kerafer
            >>> from kerafer.data.samples import synthetic
            >>> data = synthetic(8)
            >>> batches = data.to_tf(kerafer.model_spec("ean").preprocessing, batch_size=4)
            >>> next(iter(batches))[0].shape
            TensorShape([4, 44, 44, 3])
        """
        import tensorflow as tf

        labels = np.eye(len(self.class_names), dtype=np.float32)[self.labels] if one_hot else self.labels
        pairs = tf.data.Dataset.from_tensor_slices((np.arange(len(self)), labels)).batch(batch_size)

        def prepare(index: tf.Tensor, batch_labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            x = tf.numpy_function(lambda i: self.inputs(preprocessing, i), [index], tf.float32, stateful=False)
            return tf.ensure_shape(x, (None, *preprocessing.size, 3)), batch_labels

        return pairs.map(prepare, num_parallel_calls=2, deterministic=True).prefetch(2)


def load_data(source: str, split: str = "train", **options: Any) -> FaceDataset:
    """Read one split of a data set.

    Args:
        source: `KIND:PATH`, such as `"fer2013:data/fer2013.csv"`; the kinds are the keys of `READERS`.
        split: `"train"`, `"public"` (validation), `"private"` (test) for FER2013; see each reader.
        **options: the reader's own, such as `on_error="skip"`, or `cache=FOLDER` for data sets of picture files, which
            are otherwise opened one and all at each call; see docs/data.md, and each reader's `read`.

    Returns:
        The split.

    Raises:
        ValueError: if the kind is unknown, or the data is malformed; the message names file and line.
        FileNotFoundError: if the path does not exist.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import write_synthetic_csv
        >>> path = write_synthetic_csv("/tmp/kerafer-doc.csv", train=14, public=7)
        >>> len(kerafer.load_data(f"fer2013:{path}", split="public"))
        7
    """
    kind, _, path = source.partition(":")
    if kind not in READERS or not path:
        raise ValueError(
            f"`source` must be KIND:PATH with KIND one of {', '.join(READERS)}, such as fer2013:data/fer2013.csv. "
            f"Received: {source!r}"
        )
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no {path} (in {source!r}). Give the path of the data set.")
    module, _, function = READERS[kind].partition(":")
    read: Callable[..., FaceDataset] = getattr(import_module(module), function or "read")
    return read(Path(path), split, **options)
