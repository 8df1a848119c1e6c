"""Who knows whom: the rooms of the house, as CONTRIBUTING.md says."""

import ast

import pytest
from conftest import ROOT

FILES = {path: path.relative_to(ROOT).with_suffix("").parts[1:] for path in (ROOT / "kerafer").rglob("*.py")}
GROUND = ("labels", "files", "images", "preprocess", "layers", "losses", "specs", "weights", "profiling", "runtime")


def imported(path):
    """Return the names inside kerafer that a file imports, at its top or late, such as `training.recipes`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("kerafer.") for name in found if name.startswith("kerafer.")}


def of(*rooms):
    """Return the files of some rooms, each a module or a folder."""
    paths = [
        path for path, parts in FILES.items() if any(parts[: len(r.split("/"))] == tuple(r.split("/")) for r in rooms)
    ]
    assert len(paths) >= len(rooms)
    return sorted(paths)


def known(path, *rooms):
    """Return what a file imports of some rooms."""
    dotted = [room.replace("/", ".") for room in rooms]
    return sorted(name for name in imported(path) if any(f"{name}.".startswith(f"{room}.") for room in dotted))


@pytest.mark.parametrize("path", of(*GROUND, "quantization/twin"), ids=lambda path: "-".join(FILES[path]))
def test_what_stands_on_the_ground_knows_nothing_above(path):
    allowed = {*GROUND, "quantization.twin", "quantization.graphs"}
    assert [
        name for name in sorted(imported(path)) if not any(f"{name}.".startswith(f"{room}.") for room in allowed)
    ] == []


def test_nobody_knows_the_command_line():
    found = {path: known(path, "cli") for path in FILES if FILES[path][0] not in ("cli", "__main__")}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("room", ["verification", "vision", "exporting", "models", "layers", "losses", "metrics"])
def test_what_comes_after_training_and_before_it_knows_no_training(room):
    found = {path: known(path, "training") for path in of(room)}
    assert {path: names for path, names in found.items() if names} == {}


def test_models_know_layers_and_specs_alone():
    found = {path: known(path, "data", "training", "exporting", "verification", "vision") for path in of("models")}
    assert {path: names for path, names in found.items() if names} == {}


def test_an_import_is_found_wherever_it_stands(tmp_path):
    path = tmp_path / "one.py"
    path.write_text("def late():\n    from kerafer.cli import main\n    import kerafer.training.loop\n")
    assert known(path, "cli") == ["cli", "cli.main"]
    assert known(path, "training") == ["training.loop"]
