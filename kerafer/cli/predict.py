"""`kerafer predict`: the expressions in photographs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerafer.cli.common import add_detector, add_model, add_verb, chosen_recognizer, print_json, progress
from kerafer.cli.screen import tell_error


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "predict",
        "find the faces of photographs and tell their expressions",
        "kerafer predict photo.jpg --out recognized",
        _predict,
    )
    verb.add_argument("images", nargs="+", metavar="IMAGE", help="JPEG, PNG, WebP, BMP, TIFF or GIF files")
    add_model(verb, default="ean")
    verb.add_argument(
        "--out",
        default="recognized",
        help="folder for annotated pictures and JSON, named as the pictures; equal names are numbered "
        "(default: recognized)",
    )
    verb.add_argument("--no-files", action="store_true", help="write nothing, only print")
    add_detector(verb, default="mtcnn_litert")
    verb.add_argument("--min-confidence", type=float, help="of the face detector (default: mtcnn 0.9, blazeface 0.5)")


def _predict(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    sure = {} if arguments.min_confidence is None else {"min_confidence": arguments.min_confidence}
    recognizer = chosen_recognizer(arguments, **sure)
    results: list[dict[str, Any]] = []
    failed = 0
    many = len(arguments.images) > 1 and progress(arguments)
    pairs = list(zip(arguments.images, output_names(arguments.images, Path(arguments.out)), strict=True))
    for name, stem in tqdm(pairs, unit="picture", disable=not many):
        try:
            [picture] = recognizer.recognize([name])
        except (ValueError, OSError) as error:
            # one bad file never stops the others; it is told, and the exit code says so
            failed += 1
            results.append({"source": name, "error": str(error)})
            tell_error(error)
            continue
        entry = picture.to_dict()
        if not arguments.no_files:
            entry["annotated"] = str(write_picture(picture, Path(arguments.out), stem))
        results.append(entry)
        if not arguments.json:
            tell(entry)
    if arguments.json:
        print_json({"model": recognizer.loaded.name, "pictures": results})
    return 2 if failed else 0


def output_names(sources: Sequence[str], folder: Path) -> list[str]:
    """Return the name under which each picture's results are written: its own, numbered where that is taken.

    Example:
        >>> output_names(["a/photo.jpg", "b/photo.png"], Path("recognized"))
        ['photo', 'photo-2']
    """
    # an annotated picture of an earlier call may itself be among the sources
    taken, own = set(), {Path(source).resolve() for source in sources}
    names = []
    for source in sources:
        stem = name = Path(source).stem
        number = 1
        # some file systems do not tell capital letters from small ones
        while name.casefold() in taken or _annotated(folder, name).resolve() in own:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _annotated(folder: Path, name: str) -> Path:
    return folder / f"{name}.annotated.png"


def write_picture(picture: Any, folder: Path, name: str) -> Path:
    """Write the annotated picture and its JSON into a folder under a name, and return the picture's path."""
    from PIL import Image

    from kerafer.files import replacing, write_json

    path = _annotated(folder, name)
    with replacing(path) as temporary:
        Image.fromarray(picture.annotated()).save(temporary, format="PNG")
    write_json(folder / f"{name}.json", picture.to_dict())
    return path


def tell(entry: dict[str, Any]) -> None:
    """Print what was found in a picture."""
    print(f"{entry['source']}: {entry['message']}")
    for number, face in enumerate(entry["faces"], start=1):
        best = sorted(face["probabilities"].items(), key=lambda item: -item[1])[:3]
        x, y, w, h = face["box"]
        print(f"  {number}. {w}x{h} at ({x}, {y}): " + ", ".join(f"{name} {p:.0%}" for name, p in best))
    if "annotated" in entry:
        print(f"  drawn in {entry['annotated']}")
