"""Measure everything again and write the tables of README.md and docs/papers.md: what `make results` runs.

python benchmarks/run_all.py --data fer2013:fer2013.csv ferplus:FOLDER

FER+ is for the accuracy of weights of its eight classes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the benchmarks one after the other, stopping at the first failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, nargs="+", metavar="KIND:PATH", help="FER2013 first")
    paths = parser.parse_args().data
    data = ["--data", paths[0]]
    for script, arguments in (
        ("face_framing.py", data),
        ("throughput.py", data),
        ("accuracy.py", ["--data", *paths]),
        ("exported_files.py", data),
        ("imported_fer.py", data),
        ("latency.py", []),
        ("counts.py", []),
        ("papers.py", []),
        ("readme.py", []),
    ):
        print(f"== {script}", flush=True)
        subprocess.run([sys.executable, str(HERE / script), *arguments], check=True)


if __name__ == "__main__":
    main()
