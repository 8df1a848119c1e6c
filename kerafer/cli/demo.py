"""`kerafer demo`: the main job on a picture that a dependency ships."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kerafer.cli.common import add_verb, print_json
from kerafer.cli.screen import print_verdict


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "demo",
        "recognise a face in a sample picture, export the model, verify it",
        "kerafer demo --out demo",
        _demo,
    )
    verb.add_argument("--out", default="demo", help="folder for what it makes, written anew each time (default: demo)")


def _demo(arguments: argparse.Namespace) -> int:
    from PIL import Image

    from kerafer.cli.predict import tell, write_picture
    from kerafer.data.samples import portrait
    from kerafer.exporting import export
    from kerafer.files import replacing
    from kerafer.loading import load_model
    from kerafer.verification import verify
    from kerafer.vision import Recognizer

    out = Path(arguments.out)
    model = load_model("ean", weights="fer2013")
    photo = out / "grace_hopper.png"
    with replacing(photo) as temporary:
        Image.fromarray(portrait()).save(temporary, format="PNG")
    say = (lambda *_: None) if arguments.json else print
    say("1. recognise the face in matplotlib's sample picture of Grace Hopper\n")
    [picture] = Recognizer(model).recognize([photo])
    entry = {**picture.to_dict(), "annotated": str(write_picture(picture, out, photo.stem))}
    if not arguments.json:
        tell(entry)
    say("\n2. export EAN for Android\n")
    bundle = export(model, out / "ean", overwrite=True)
    for name in bundle.tflite_files:
        say(f"  {bundle.folder / name}  {bundle.card.files[name]['bytes']:,} bytes")
    say("\n3. verify: does each file compute what Keras computes?\n")
    report = verify(bundle.folder)
    if not arguments.json:
        print_verdict(report.table())
    say(f"\npictures and files are in {out}: look at {entry['annotated']}")
    if arguments.json:
        print_json({"picture": entry, "bundle": str(bundle.folder), "verification": report.to_dict()})
    return 0 if report.passed and picture.faces else 1
