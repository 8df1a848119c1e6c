"""What is fuzzed: every reader that takes bytes from outside, with whole files to start from.

A reader may return, or refuse with ValueError or OSError (which FileNotFoundError is). Any other exception, a crash of
the process, a reader that takes longer than `SECONDS`, or anything left behind beside the input is a finding.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
REFUSALS = (ValueError, OSError)
SECONDS = 30


@dataclass(frozen=True)
class Target:
    """A reader and what to feed it.

    Args:
        name: of the input's file, without folder; its suffix is how readers tell a kind.
        seeds: yields the content of whole files.
        read: is given the file's path.
        share: of all inputs; readers that take long get fewer.
        form: `"bytes"`, `"zip"` (members are changed and the archive closed again) or `"json"` (values are changed).
    """

    name: str
    seeds: Callable[[], Iterator[bytes]]
    read: Callable[[Path], Any]
    share: float
    form: str = "bytes"


def _images() -> Iterator[bytes]:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    picture = Image.fromarray(pixels)
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"):
        for one in (picture, picture.convert("L")):
            content = io.BytesIO()
            one.save(content, format=kind)
            yield content.getvalue()
    content = io.BytesIO()
    turned = Image.Exif()
    turned[274] = 6  # orientation
    picture.save(content, format="JPEG", exif=turned)
    yield content.getvalue()
    content = io.BytesIO()
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(content, format="PNG")
    yield content.getvalue()
    content = io.BytesIO()
    Image.fromarray(np.dstack([pixels, pixels[..., :1]])).save(content, format="PNG")
    yield content.getvalue()


def _read_image(path: Path) -> None:
    from kerafer.images import read_image

    image = read_image(path)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise AssertionError(f"no picture: {image.dtype} {image.shape}")


def _fer2013() -> Iterator[bytes]:
    image = " ".join(str(v) for v in np.random.default_rng(0).integers(0, 256, 48 * 48))
    yield f"emotion,pixels,Usage\n3,{image},Training\n0,{image},PublicTest\n".encode()
    yield f"emotion,pixels,Usage\r\n6,{image},PrivateTest\r\n".encode()
    yield b"emotion,pixels,Usage\n3,1 2 3,Training\n"


def _read_fer2013(path: Path) -> None:
    import kerafer

    kerafer.load_data(f"fer2013:{path}", "train", progress=False)
    kerafer.load_data(f"fer2013:{path}", "train", on_error="skip", progress=False)


def _listed() -> Iterator[bytes]:
    yield b"path,label,split\none.png,happy,train\none.png,3,test\n"
    yield b"path,label,x,y,width,height\none.png,sad,2,2,20,20\n"


def _read_listed(path: Path) -> None:
    import kerafer

    picture = path.parent / "one.png"
    if not picture.exists():
        picture.write_bytes(next(_images()))
    for on_error in ("raise", "skip"):
        kerafer.load_data(f"csv:{path}", "train", on_error=on_error, progress=False)


def _npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _fer2013_npz() -> Iterator[bytes]:
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48)).astype(np.uint8)
    yield _npz(images=images, labels=np.arange(4), usage=np.array(["Training"] * 4))
    yield _npz(images=images, labels=np.arange(4))


@cache
def _small_model() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    picture = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="stem")(picture)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, keras.layers.Dense(3, activation="softmax", name="head")(x), name="small")


@cache
def _bundle() -> dict[str, bytes]:
    """Return the files of a bundle by name."""
    import tempfile

    import kerafer

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "small"
        kerafer.export(_small_model(), folder, labels=("left", "middle", "right"), recipes=("float32", "static_int8"))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _weights() -> Iterator[bytes]:
    from kerafer.weights import variable_names

    model = _small_model()
    yield _npz(**dict(zip(variable_names(model), model.get_weights(), strict=True)))


def _read_weights(path: Path) -> None:
    import kerafer

    kerafer.load_weights(_small_model(), path)


def _named(suffix: str) -> Callable[[], Iterator[bytes]]:
    return lambda: (content for name, content in sorted(_bundle().items()) if name.endswith(suffix))


def _beside(path: Path, *but: str) -> Path:
    """Put the bundle's other files beside the input, and return the folder."""
    for name, content in _bundle().items():
        if name not in (path.name, *but) and not (path.parent / name).exists():
            (path.parent / name).write_bytes(content)
    return path.parent


def _read_bundle(path: Path) -> None:
    from kerafer.exporting import Bundle
    from kerafer.exporting.bundle import read_golden

    read_golden(Bundle.open(_beside(path)))


def _read_tflite(path: Path) -> None:
    """Read what stands in a file, and run it if that is whole."""
    from kerafer.litert.metadata import read_metadata
    from kerafer.loading import load_model

    read_metadata(path)
    loaded = load_model(path)
    loaded.runner.predict(np.zeros((1, *loaded.runner.input_size, 3), np.float32))


def _read_keras(path: Path) -> None:
    from kerafer.loading import load_model

    load_model(_beside(path) / path.name)


def _torch() -> Iterator[bytes]:
    for path in sorted((ROOT / "tests" / "fixtures").glob("torch_*.p*")):
        yield path.read_bytes()


def _read_torch(path: Path) -> None:
    from kerafer.checkpoints.torch_files import read_torch_state

    read_torch_state(path)


def _keras_2() -> Iterator[bytes]:
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        layers = [{"config": {"batch_input_shape": [None, 48, 48, 1]}}]
        file.attrs["model_config"] = json.dumps({"config": {"layers": layers}})
        group = file.create_group("model_weights/conv2d_1")
        group.attrs["weight_names"] = [b"kernel"]
        group["kernel"] = np.ones((3, 3, 1, 8), np.float32)
    yield content.getvalue()


def _read_keras_2(path: Path) -> None:
    from kerafer.checkpoints.keras_2 import read_keras_2

    read_keras_2(path)


def _history() -> Iterator[bytes]:
    yield b"epoch,accuracy,loss\n1,0.5,1.25\n2,0.625,1.0\n"


def _read_history(path: Path) -> None:
    from kerafer.training.callbacks import read_history

    read_history(path)


def _read_subset(path: Path) -> None:
    from kerafer.data.samples import synthetic
    from kerafer.evaluation import read_subset

    read_subset(synthetic(14), path)


def _subset() -> Iterator[bytes]:
    yield b"0\n3\n5\n"
    yield b"row\n1\n2\n"


TARGETS: dict[str, Target] = {
    "image": Target("picture", _images, _read_image, 0.35),
    "fer2013.csv": Target("fer2013.csv", _fer2013, _read_fer2013, 0.12),
    "listed.csv": Target("faces.csv", _listed, _read_listed, 0.1),
    "fer2013.npz": Target("train.npz", _fer2013_npz, _read_fer2013, 0.05, "zip"),
    "weights.npz": Target("weights.npz", _weights, _read_weights, 0.06, "zip"),
    "card.json": Target("card.json", _named("card.json"), _read_bundle, 0.06, "json"),
    "golden.json": Target("golden.json", _named("golden.json"), _read_bundle, 0.04, "json"),
    ".tflite": Target("small_float32.tflite", _named(".tflite"), _read_tflite, 0.06),
    ".keras": Target("model.keras", _named(".keras"), _read_keras, 0.01, "zip"),
    "checkpoint.pth": Target("checkpoint.pth", _torch, _read_torch, 0.06, "zip"),
    "keras2.hdf5": Target("model.hdf5", _keras_2, _read_keras_2, 0.04),
    "history.csv": Target("history.csv", _history, _read_history, 0.03),
    "subset.txt": Target("subset.txt", _subset, _read_subset, 0.02),
}
