"""Run every notebook from top to bottom and keep what it prints and draws: what `make notebooks` does.

python notebooks/run.py [--check] [NAME ...]

Each runs in an empty folder of its own, so that it shows all that it needs. `--check` writes nothing back. A cell that
fails ends the command with its error and a non-zero exit code.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from kerafer.files import replacing

HERE = Path(__file__).resolve().parent
SECONDS = 600
"""Most time for one cell."""


def main() -> int:
    """Run the notebooks named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="such as 01_quickstart (default: all)")
    parser.add_argument("--check", action="store_true", help="run, and leave the files as they are")
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["PYTHONWARNINGS"] = "ignore"
    paths = sorted(HERE.glob("*.ipynb"))
    unknown = set(arguments.names) - {path.stem for path in paths}
    if unknown:
        raise SystemExit(f"`names` must be among {', '.join(path.stem for path in paths)}. Received: {sorted(unknown)}")
    failed = 0
    for path in paths:
        if arguments.names and path.stem not in arguments.names:
            continue
        print(path.name, flush=True)
        try:
            notebook = run(path)
        except CellExecutionError as error:
            print(error, file=sys.stderr)
            failed += 1
            continue
        if not arguments.check:
            with replacing(path) as temporary:
                nbformat.write(notebook, temporary)
    return 1 if failed else 0


def run(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a run in an empty folder."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
        )
        # what native libraries write goes nowhere; a cell's error still comes as an exception
        with client.setup_kernel(stderr=subprocess.DEVNULL):
            for number, cell in enumerate(notebook.cells):
                client.execute_cell(cell, number)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kept = [_kept(output) for output in cell.outputs if output.get("name") != "stderr"]
            cell.outputs = [output for output in kept if output.get("text", "-").strip()]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def _kept(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return an output without what differs from one run or machine to the next."""
    output.metadata = {}
    for holder in (output, output.get("data", {})):
        for key in ("text", "text/plain"):
            if isinstance(holder.get(key), str):
                # TensorFlow's logger writes to standard output in a notebook
                holder[key] = re.sub(r"(?m)^WARNING:tensorflow:.*\n?", "", holder[key])
                holder[key] = re.sub(r" at 0x[0-9a-f]+", "", holder[key])
    return output


if __name__ == "__main__":
    sys.exit(main())
