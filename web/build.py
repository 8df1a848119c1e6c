"""Put the page together: a folder of static files that any web server can serve.

    kerafer export ean --weights fer2013 --out ean-bundle
    python web/build.py ean-bundle --litert node_modules/@litertjs --out site
    python -m http.server --directory site

The page, the bundle, BlazeFace's networks, and LiteRT.js as npm gives it (`npm install @litertjs/core`).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from kerafer.card import FILE_NAME
from kerafer.exporting import Bundle
from kerafer.exporting.bundle import GOLDEN_FILE, GOLDEN_INPUTS
from kerafer.vision.blazeface import FOLDER as FACES

PAGE = Path(__file__).resolve().parent
PARTS = ("index.html", "style.css", "page.js", "kerafer")
RUNTIME = ("core/dist/index.js", "core/wasm", "wasm-utils/dist/index.js")
"""What the page loads of LiteRT.js; the wasm that needs threads or JSPI is chosen by the runtime itself."""


def build(bundle: Path, litert: Path, out: Path) -> None:
    """Copy all parts into a new folder."""
    files = (*Bundle.open(bundle).tflite_files, GOLDEN_FILE, GOLDEN_INPUTS, FILE_NAME)
    missing = [part for part in RUNTIME if not (litert / part).exists()]
    if missing:
        raise SystemExit(f"{litert} lacks {missing}: name the folder @litertjs that npm made.")
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty. Remove it, or choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        _copy(PAGE / part, out / part)
    for part in RUNTIME:
        _copy(litert / part, out / "litert" / part)
    for name in files:  # a folder that was trained in holds more
        _copy(bundle / name, out / "bundle" / name)
    shutil.copytree(FACES, out / "faces")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="what `kerafer export` wrote")
    parser.add_argument("--litert", required=True, type=Path, help="npm's folder @litertjs")
    parser.add_argument("--out", required=True, type=Path, help="a new folder")
    arguments = parser.parse_args()
    build(arguments.bundle, arguments.litert, arguments.out)
    print(f"Serve it with: python -m http.server --directory {arguments.out}")


if __name__ == "__main__":
    main()
