"""Pictures of models: all of them draw, and the boxes say what the models are."""

from itertools import pairwise

import numpy as np
import pytest
from kinds import EACH
from PIL import Image

import kerafer
from kerafer import structure
from kerafer.diagrams import Box, Diagram, _Layout, draw
from kerafer.structure import draw_structure


@pytest.fixture
def drawn(monkeypatch):
    """Give the boxes and arrows that are drawn."""

    def diagram(model, block=None, path=None):
        caught = []
        monkeypatch.setattr(
            structure, "draw", lambda found, *rest: (caught.append(found), draw(found, *rest) if path else None)
        )
        draw_structure(model, path or "unused.png", block=block)
        return caught[0]

    return diagram


def overlaps(layout):
    frames = [layout.frame(name) for name in layout.diagram.boxes]
    return [
        (one, other)
        for number, one in enumerate(frames)
        for other in frames[:number]
        if one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    ]


def crossed(layout):
    """Boxes that an arrow runs through."""
    found = []
    for arrow in layout.arrows:
        points = layout.points(arrow)
        for (x1, y1), (x2, y2) in pairwise(points):
            for name in layout.diagram.boxes:
                left, top, width, height = layout.frame(name)
                inside_x = min(x1, x2) < left + width and max(x1, x2) > left
                if inside_x and min(y1, y2) < top + height and max(y1, y2) > top:
                    found.append((arrow, name))
    return found


@pytest.mark.parametrize("name", EACH)
def test_every_model_draws_with_all_that_it_has(name, drawn, tmp_path):
    shown = drawn(kerafer.build_model(name), path=tmp_path / "model.png")
    with Image.open(tmp_path / "model.png") as picture:
        width, height = picture.size
        colours = len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0))
    assert 400 <= width <= 1300
    assert height > 500
    assert colours > 10
    assert (tmp_path / "model.png").stat().st_size < 100_000
    assert [path.name for path in tmp_path.iterdir()] == ["model.png"]
    costs = [line for box in shown.boxes.values() for line in box.lines if "parameters" in line]
    parameters = sum(int(line.split(" parameters")[0].replace(",", "")) for line in costs)
    assert parameters == kerafer.model_spec(name).parameters
    order = list(shown.boxes)
    assert all(order.index(source) < order.index(target) for source, target in shown.arrows)
    assert len([box for box in order if not shown.sources[box]]) == 1
    layout = _Layout(shown)
    assert not overlaps(layout)
    assert not crossed(layout)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("ean", "block3"),
        ("efficientface", "modulator"),
        ("efficientface", "stage2_unit0"),
        ("efficientface", "stage2_unit1"),
        ("lfer", "local"),
        ("lfer", "head"),
        ("lcnn", "block1"),
        ("squeezenet", "fire3"),
        ("mobilenet_v2", "block_3"),
    ],
)
def test_boxes_and_arrows_inside_a_block_keep_apart(name, block, drawn):
    layout = _Layout(drawn(kerafer.build_model(name), block))
    assert not overlaps(layout)
    assert not crossed(layout)


def test_a_block_shows_its_branches(drawn):
    shown = drawn(kerafer.build_model("ean"), "block3")
    assert shown.sources["block3_add"] == ("from block2_eca_scale", "block3_eca_scale")
    assert shown.sources["block3_eca_scale"] == ("block3_project_bn", "block3_eca_sigmoid")
    assert shown.boxes["block3_depthwise_conv"] == Box(
        "depthwise 3×3", "11×11×96", ("depthwise_conv", "864 parameters, 104,544 MACs"), "#dce9f7"
    )
    assert shown.boxes["to block4"].lines == ()


def test_units_are_counted_and_open_one_by_one(drawn):
    model = kerafer.build_model("efficientface")
    blocks = drawn(model)
    assert blocks.boxes["stage3"].head == "stage3 × 8"
    assert set(blocks.sources["fusion"]) == {"modulator", "local"}
    units = drawn(model, "stage2")
    assert [name for name in units.boxes if name.startswith("stage2")] == [f"stage2_unit{n}" for n in range(4)]


def test_a_layer_that_reads_a_map_twice_says_so(drawn):
    shown = drawn(kerafer.build_model("lfer"), "head")
    assert shown.boxes["head_mish_square"].head == "multiply by itself"
    assert shown.boxes["head_mish_double"].head == "add to itself"


def test_an_unknown_block_is_named_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"stem.*modulator.*stage2_unit1.*Received: block='block3'"):
        draw_structure(kerafer.build_model("efficientface"), tmp_path / "none.png", block="block3")
    assert not list(tmp_path.iterdir())


def test_names_that_do_not_follow_the_graph_are_one_block(drawn):
    # keras.applications calls a convolution "Conv1", its normalisation "bn_Conv1" and its ReLU "Conv1_relu"
    shown = drawn(kerafer.build_model("mobilenet_v2"))
    assert "bn" not in shown.boxes
    assert shown.boxes["Conv1"].lines[0] == "conv 3×3, BN, ReLU6"


def test_drawing_twice_gives_the_same_file(tmp_path):
    boxes = {"a": Box("a", "1×1", ("first",)), "b": Box("b", "", ("second",)), "c": Box("to c")}
    shown = Diagram(boxes, {"a": (), "b": ("a",), "c": ("a", "b")})
    for name in ("one.png", "two.png"):
        draw(shown, tmp_path / name, "three boxes")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
