"""Pictures of files: what is written in them can be read."""

from itertools import combinations

import pytest

from kerafer.plots import accuracy_against_size

SIZES = {
    **{"float32": 179_000, "float16": 96_000, "weight_int8": 66_000},
    **{"dynamic_int8": 81_000, "static_int8": 73_000, "qat_int8": 73_400},
}


@pytest.mark.parametrize(
    "accuracies",
    [[0.98] * 6, [0.9881, 0.9905, 0.9833, 0.9905, 0.9714, 0.9833], [0.9, 0.9001, 0.9002, 0.9001, 0.9, 0.9002]],
)
def test_names_of_files_lie_apart_and_within_the_frame(accuracies):
    rows = [(recipe, size, accuracy) for (recipe, size), accuracy in zip(SIZES.items(), accuracies, strict=True)]
    figure = accuracy_against_size(rows, None, "files", reference=0.98)
    figure.draw_without_rendering()
    [axes] = figure.axes
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert boxes.keys() == SIZES.keys()
    assert [pair for pair in combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])] == []
    assert [name for name, box in boxes.items() if box.x0 < axes.bbox.x0 or box.x1 > axes.bbox.x1] == []


def test_many_files_in_one_place_are_all_named():
    rows = [(f"file {number}", 50_000, 0.9) for number in range(40)]
    figure = accuracy_against_size(rows, None, "files", reference=0.9)
    assert len(figure.axes[0].texts) == 40
