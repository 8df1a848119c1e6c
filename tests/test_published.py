"""The papers' figures: those that stand are ours to their last digit, and those called misprints are not."""

import runpy
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from conftest import ROOT

import kerafer
from kerafer.profiling import RULERS
from kerafer.published import CELLS, MEBI, MILLION, QUANTITIES, agrees, as_printed, cells, measure, verdict

COUNTS = runpy.run_path(str(ROOT / "benchmarks" / "counts.py"))
MODELS = kerafer.list_models()


def named(cell):
    words = (cell.paper or "unprinted", cell.table, cell.row, cell.model, cell.quantity, cell.printed)
    return "-".join(str(word).replace(" ", "_") for word in words)


@pytest.mark.parametrize("cell", CELLS, ids=named)
def test_a_figure_is_ours_unless_it_is_called_wrong(cell):
    value = measure(cell)
    if cell.model is None:
        assert value is None
        assert cell.note.startswith("not reproducible: ")
        return
    assert cell.counted in (None, value), "another counter gives another figure"
    assert agrees(cell, value) is not bool(cell.note)
    assert verdict(cell, value) != "differs"


@pytest.mark.parametrize("cell", CELLS, ids=named)
def test_a_cell_is_complete(cell):
    assert cell.quantity in QUANTITIES
    assert (cell.ruler in RULERS) == (cell.quantity == "flops")
    assert cell.model is None or cell.model in MODELS
    assert cell.unit in (1, MILLION, MEBI)
    assert cell.rounding in ("round", "truncate", "exact")
    assert bool(cell.paper) == bool(cell.table) == bool(cell.printed)
    assert cell.printed or cell.counted is not None
    assert not cell.note or cell.note.startswith(("misprint: ", "not reproducible: "))


def test_no_figure_is_listed_twice():
    seen = Counter((c.paper, c.table, c.row, c.quantity, c.ruler, c.model, c.input_shape) for c in CELLS)
    assert max(seen.values()) == 1


def test_the_misprints_are_few_and_known():
    wrong = [(cell.paper, cell.row, cell.printed) for cell in CELLS if cell.note.startswith("misprint")]
    assert wrong == [
        ("EAN", "model_b", "0.069"),
        ("EAN", "model_b", "24.834"),
        ("EAN", "model_e", "11.157"),
        ("EAN", "proposed", "43,843"),
        ("EfficientFace", "+ modulator", "153.79"),
        ("LCNN", "pooling", "9"),
    ]


def test_every_network_of_the_zoo_has_figures():
    assert set(MODELS) == {cell.model for cell in CELLS} - {None}


def test_rounding_follows_the_paper():
    cell = replace(cells("ean")[0], printed="1.24", unit=MILLION, rounding="round")
    cut = replace(cell, rounding="truncate")
    assert (as_printed(cell, 1_238_184), as_printed(cut, 1_238_184)) == ("1.24", "1.23")
    assert (agrees(cell, 1_238_184), agrees(cut, 1_238_184)) == (True, False)
    assert as_printed(cell, 1_235_000) == "1.24", "halves go up"
    assert verdict(cut, 1_238_184) == "differs"
    assert verdict(cell, None) == "differs"
    assert agrees(replace(cell, printed="43,840", unit=1, rounding="exact"), 43_840)


def test_a_figure_that_no_paper_printed_is_compared_exactly():
    cell = next(c for c in CELLS if not c.printed)
    assert (agrees(cell, cell.counted), agrees(cell, cell.counted + 1)) == (True, False)


@pytest.mark.exhaustive
def test_the_file_holds_what_is_measured():
    assert COUNTS["written"]() == COUNTS["measured"]()


def test_the_list_loads_no_framework():
    code = "import sys, kerafer.published; sys.exit(any(m in sys.modules for m in ('keras', 'tensorflow')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
