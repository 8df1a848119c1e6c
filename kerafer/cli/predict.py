"""`kerafer predict`: the expressions in photographs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from kerafer.cli.common import add_detector, add_model, add_verb, model_and_weights, print_json, progress


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
        "--out", default="recognized", help="folder for annotated pictures and JSON (default: recognized)"
    )
    verb.add_argument("--no-files", action="store_true", help="write nothing, only print")
    add_detector(verb, default="mtcnn_litert")
    verb.add_argument("--min-confidence", type=float, help="of the face detector (default: mtcnn 0.9, blazeface 0.5)")


def _predict(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from kerafer.vision import DETECTORS, Recognizer

    model, weights = model_and_weights(arguments)
    sure = {} if arguments.min_confidence is None else {"min_confidence": arguments.min_confidence}
    recognizer = Recognizer(model, weights=weights, detector=DETECTORS[arguments.detector](**sure))
    results: list[dict[str, Any]] = []
    failed = 0
    many = len(arguments.images) > 1 and progress(arguments)
    for name in tqdm(arguments.images, unit="picture", disable=not many):
        try:
            [picture] = recognizer.recognize([name])
        except (ValueError, OSError) as error:
            # one bad file never stops the others; it is told, and the exit code says so
            failed += 1
            results.append({"source": name, "error": str(error)})
            print(f"kerafer: {error}", file=sys.stderr)
            continue
        entry = picture.to_dict()
        if not arguments.no_files:
            entry["annotated"] = str(write_picture(picture, Path(arguments.out)))
        results.append(entry)
        if not arguments.json:
            tell(entry)
    if arguments.json:
        print_json({"model": recognizer.loaded.name, "pictures": results})
    return 1 if failed else 0


def write_picture(picture: Any, folder: Path) -> Path:
    """Write the annotated picture and its JSON into a folder, and return the picture's path."""
    from PIL import Image

    from kerafer.files import replacing, write_json

    stem = Path(picture.source).stem
    path = folder / f"{stem}.annotated.png"
    with replacing(path) as temporary:
        Image.fromarray(picture.annotated()).save(temporary, format="PNG")
    write_json(folder / f"{stem}.json", picture.to_dict())
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
