"""Recognise the expressions in a folder of photographs, and make docs/gallery.md of them.

python tools/gallery.py FOLDER

Only photographs in the public domain are kept: a licence must allow anybody anything, since nobody can ask the people.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from kerafer.exporting import load_exported
from kerafer.files import replacing
from kerafer.vision import DETECTORS, Picture, Recognizer

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIDE = 720
"""Longest side of a kept picture."""
RIGHT = {
    "astronaut.png": "Eileen Collins, NASA; public domain, from scikit-image",
    "grace_hopper.jpg": "Grace Hopper, US Navy; public domain, from matplotlib",
    "luciano.png": "CODAIT team; CC0, from MAX-Facial-Recognizer",
    "bryan_small.png": "115 x 115 pixels. CODAIT team; CC0, from MAX-Facial-Recognizer",
    "women-on-phones.jpg": "Pexels; CC0, from amazon-rekognition by Niremizov",
    "noface_coffee.png": "Rachel Michetti; CC0, from scikit-image",
}
"""What a person who looks at the picture calls right, too: whose it is."""
WRONG = {
    "camera_man.png": "Lav Varshney; CC0, from scikit-image",
}
HEAD = """# Gallery

For the reader who wants to see what comes out: `kerafer predict` with its defaults, {model}, on photographs in the
public domain (`tools/gallery.py`). Boxes and dots are the detector's; the three most probable expressions stand below.
"""
LIMIT = """## A limit

A face in profile, bent over a camera, is found too, and called {label} with {share:.0%}, which nobody could tell from
it. FER2013, which the weights learned from, has mostly frontal faces, and one of its classes is always chosen.
"""


def main() -> None:
    """Write the pictures and the page."""
    folder = Path(sys.argv[1])
    recognizer = Recognizer(load_exported("ean", "fer2013"), detector=DETECTORS["mtcnn_litert"]())
    found = dict(zip([*RIGHT, *WRONG], recognizer.recognize([folder / name for name in (*RIGHT, *WRONG)]), strict=True))
    parts = [HEAD.format(model=f"`{recognizer.loaded.name}`")]
    parts += [entry(name, found[name], owner) for name, owner in RIGHT.items()]
    for name, owner in WRONG.items():
        face = found[name].faces[0]
        parts += [LIMIT.format(label=face.label, share=face.probabilities[face.label]), entry(name, found[name], owner)]
    with replacing(DOCS / "gallery.md") as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def entry(name: str, picture: Picture, owner: str) -> str:
    """Keep a picture, and return its part of the page."""
    drawn = Image.fromarray(picture.annotated())
    drawn.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    path = DOCS / "gallery" / f"{Path(name).stem}.jpg"
    with replacing(path) as temporary:
        drawn.save(temporary, format="JPEG", quality=85)
    said = ", ".join(f"{face.label} {face.probabilities[face.label]:.0%}" for face in picture.faces) or "no face found"
    return f"![{said}](gallery/{path.name})\n\n{said[0].upper()}{said[1:]}. *{owner}.*\n"


if __name__ == "__main__":
    main()
