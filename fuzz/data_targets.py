"""Readers of pictures and of data sets: their lists, their names, and what is kept of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from target import Target, fresh, npz, picture


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
    from kerafer.cli.predict import write_picture
    from kerafer.images import read_image
    from kerafer.vision import Picture

    image = read_image(path)
    if image.size < 1_000_000:
        write_picture(Picture("a picture", image, ()), fresh(path, "out"), "picture")
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


def _read_with_cache(path: Path, source: str) -> None:
    """Read a data set strictly and not, keeping what was found beside the input."""
    import kerafer

    for on_error in ("raise", "skip"):
        kerafer.load_data(source, "train", on_error=on_error, cache=path.parent / "cache", progress=False)


def _listed() -> Iterator[bytes]:
    yield b"path,label,split\none.png,happy,train\none.png,3,test\n"
    yield b"path,label,x,y,width,height\none.png,sad,2,2,20,20\n"


def _read_listed(path: Path) -> None:
    (path.parent / "one.png").write_bytes(picture())
    fresh(path, "cache")
    _read_with_cache(path, f"csv:{path}")


def _fer2013_npz() -> Iterator[bytes]:
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48)).astype(np.uint8)
    yield npz(images=images, labels=np.arange(4), usage=np.array(["Training"] * 4))
    yield npz(images=images, labels=np.arange(4))


def _votes() -> Iterator[bytes]:
    head = b"Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    yield head + b"Training,fer0000000.png,8,2,0,0,0,0,0,0,0,0\nPublicTest,fer0000001.png,0,9,0,0,0,0,0,0,1,0\n"


def _read_votes(path: Path) -> None:
    (path.parent / "fer2013.csv").write_bytes(next(_fer2013()))
    _read_with_cache(path, f"ferplus:{path.parent}")


def _rafdb() -> Iterator[bytes]:
    yield b"train_00001.jpg 4\ntest_0001.jpg 7\n"


def _read_rafdb(path: Path) -> None:
    root = fresh(path, "rafdb")
    for name in ("train_00001", "test_0001"):
        place = root / "basic" / "Image" / "aligned" / f"{name}_aligned.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture())
    (root / "basic" / "EmoLabel").mkdir()
    (root / "basic" / "EmoLabel" / "list_patition_label.txt").write_bytes(path.read_bytes())
    fresh(path, "cache")
    _read_with_cache(path, f"rafdb:{root}")


def _affectnet_list() -> Iterator[bytes]:
    head = b"subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
    row = b"1/a.png,4,6,20,10,1.5;2.5;3.5,1,-0.2,0.3\n"
    yield head + row
    yield row


def _read_affectnet_list(path: Path) -> None:
    root = fresh(path, "affectnet")
    (root / "Manually_Annotated_Images" / "1").mkdir(parents=True)
    (root / "Manually_Annotated_Images" / "1" / "a.png").write_bytes(picture())
    (root / "training.csv").write_bytes(path.read_bytes())
    fresh(path, "cache")
    _read_with_cache(path, f"affectnet8:{root}")


def _annotation() -> Iterator[bytes]:
    for value in (np.array("3"), np.array([4])):
        content = io.BytesIO()
        np.save(content, value)
        yield content.getvalue()


def _read_annotation(path: Path) -> None:
    root = fresh(path, "affectnet")
    for kind in ("images", "annotations"):
        (root / "train_set" / kind).mkdir(parents=True)
    (root / "train_set" / "images" / "0.png").write_bytes(picture())
    (root / "train_set" / "annotations" / "0_exp.npy").write_bytes(path.read_bytes())
    fresh(path, "cache")
    _read_with_cache(path, f"affectnet7:{root}")


def _names() -> Iterator[bytes]:
    yield b"train/Happy/1.png\ntrain/Anger/2.png\ntest/Sad/3.png\n"
    yield b"AF01/AF01ANS.JPG\nAM02/AM02HAFL.JPG\n"
    yield b"happy/1.jpg\nsad/2.webp\nsad/notes.txt\n"


def _read_names(path: Path) -> None:
    """Read a folder whose files are named by the input's lines, as every kind of data set that goes by names."""
    from kerafer.files import inside

    root = fresh(path, "named")
    for line in path.read_bytes().split(b"\n")[:12]:
        with suppress(ValueError, OSError):  # no name that a file can have
            place = inside(root, line.decode(errors="surrogateescape"))
            # a dot marks what kerafer itself writes into
            if not any(part.startswith(".") for part in place.relative_to(root).parts):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(picture())
    fresh(path, "cache")
    problems = []
    for kind in ("caers", "kdef", "folder"):
        try:
            _read_with_cache(path, f"{kind}:{root}")
        except (ValueError, OSError) as error:
            problems.append(error)
    if len(problems) == 3:
        raise problems[0]


def _decoded() -> Iterator[bytes]:
    for shape in ((3, 8, 6), (2, 8, 6, 3)):
        content = io.BytesIO()
        np.save(content, np.arange(np.prod(shape), dtype=np.uint8).reshape(shape))
        yield content.getvalue()


def _read_decoded(path: Path) -> None:
    from kerafer.data.stored import DecodedImages

    images = DecodedImages(path)
    if len(images) and np.prod(images.shape[1:]) < 1_000_000:
        images.pixels(np.array([len(images) - 1, 0]), (8, 6))


def _scan() -> Iterator[bytes]:
    yield npz(hashes=np.zeros((1, 16), np.uint8), flags=np.ones(1, np.uint8))


def _read_scan(path: Path) -> None:
    """Read a data set whose cache holds the input: it may be made anew, and never decides what is read."""
    import kerafer

    root = fresh(path, "listed")
    (root / "one.png").write_bytes(picture())
    (root / "list.csv").write_bytes(next(_listed()))
    kept = fresh(path, "cache")
    read = {"split": "train", "cache": kept, "progress": False}
    kerafer.load_data(f"csv:{root / 'list.csv'}", **read)
    [made] = kept.iterdir()
    made.write_bytes(path.read_bytes())
    if len(kerafer.load_data(f"csv:{root / 'list.csv'}", **read)) != 1:
        raise AssertionError("a damaged cache changed what was read")


def _predictions() -> Iterator[bytes]:
    rows = np.arange(3)
    yield npz(
        **{"rows": rows, "labels": rows % 2, "leaked": np.zeros(3, bool), "class_names": np.array(["left", "right"])},
        **{"probabilities": np.full((3, 2), 0.5, np.float32), "model": "a", "data": "b", "split": "c"},
        **{"data_sha256": "0" * 64, "views": "center", "subset": ""},
    )


def _read_predictions(path: Path) -> None:
    from kerafer.evaluation import Predictions, measure

    found = Predictions.load(path)
    found.save(fresh(path, "out") / "again.npz")
    if len(found) < 1000:
        measure(found, resamples=5).to_dict()


def _read_subset(path: Path) -> None:
    from kerafer.data.samples import synthetic
    from kerafer.evaluation import read_subset

    read_subset(synthetic(14), path)


def _subset() -> Iterator[bytes]:
    yield b"0\n3\n5\n"
    yield b"row\n1\n2\n"


TARGETS = {
    "image": Target("picture", _images, _read_image, 0.4),
    "fer2013.csv": Target("fer2013.csv", _fer2013, _read_fer2013, 0.15),
    "fer2013.npz": Target("train.npz", _fer2013_npz, _read_fer2013, 0.05, "zip"),
    "fer2013new.csv": Target("fer2013new.csv", _votes, _read_votes, 0.03),
    "listed.csv": Target("faces.csv", _listed, _read_listed, 0.05),
    "rafdb.txt": Target("list.txt", _rafdb, _read_rafdb, 0.03),
    "affectnet.csv": Target("training.csv", _affectnet_list, _read_affectnet_list, 0.03),
    "affectnet.npy": Target("exp.npy", _annotation, _read_annotation, 0.02),
    "names": Target("names.txt", _names, _read_names, 0.03),
    "decoded.npy": Target("decoded.npy", _decoded, _read_decoded, 0.06),
    "scan.npz": Target("scan.npz", _scan, _read_scan, 0.01, "zip"),
    "predictions.npz": Target("predictions.npz", _predictions, _read_predictions, 0.03, "zip"),
    "subset.txt": Target("subset.txt", _subset, _read_subset, 0.02),
}
