"""Notebooks run from top to bottom, and keep what they print and draw."""

import re
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHORT = ("01_quickstart",)
LONG = tuple(path.stem for path in NOTEBOOKS if path.stem not in SHORT)
"""They train, measure or run files on the GPU: `make notebooks` and `make test-all` run them, not every test run."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SHORT, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in LONG)])
def test_it_runs(name):
    command = [sys.executable, str(ROOT / "notebooks" / "run.py"), name, "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_kept_and_name_no_machine(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))  # run in order, nothing left out
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    text = nbformat.writes(notebook)
    assert "WARNING" not in text
    assert not re.search(r" at 0x[0-9a-f]+", text)
    assert "/tmp/" not in text  # noqa: S108
    assert "/home/" not in text
    assert path.stat().st_size < 500_000
