"""What holds for any input, not only for those that somebody thought of."""

import contextlib
import json
import math
from unittest import mock

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kerafer.card import ModelCard
from kerafer.cli.common import reader_option
from kerafer.files import inside
from kerafer.labels import LABELS_7
from kerafer.preprocess import Preprocessing
from kerafer.vision import mtcnn_litert
from kerafer.vision.detect import face_within
from kerafer.vision.mtcnn_litert import squares, surest
from kerafer.vision.sampling import reduced
from kerafer.vision.tracking import Smoothing

settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("same")

number = st.floats(-1e4, 1e4, allow_nan=False)
length = st.floats(0.5, 1e4)
side = st.integers(1, 64)
channels = st.tuples(*[st.floats(0.01, 10)] * 3)
contracts = st.builds(
    lambda size, more, mean, std, scale, shift, aligned: Preprocessing(
        size, (size[0] + more[0], size[1] + more[1]), mean, std, scale, shift, aligned
    ),
    st.tuples(side, side),
    st.tuples(st.integers(0, 16), st.integers(0, 16)),
    st.tuples(*[st.floats(-1, 1)] * 3),
    channels,
    st.floats(0.1, 4),
    st.floats(-1, 1),
    st.booleans(),
)
boxes = arrays.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(5)), elements=st.floats(0, 200, width=32)).map(
    lambda b: np.column_stack([b[:, :2], b[:, :2] + b[:, 2:4] + 1, b[:, 4]])
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(contracts)
def test_a_contract_survives_its_json(contract):
    assert Preprocessing.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract


@given(contracts, st.tuples(number, number, length, length))
def test_a_face_square_is_a_square_about_the_box(contract, box):
    left, top, extent = contract.face_square(box)
    assert extent == pytest.approx(contract.face_scale * math.sqrt(box[2] * box[3]))
    assert left + extent / 2 == pytest.approx(box[0] + box[2] / 2, abs=1e-6)
    middle = box[1] + box[3] / 2 + contract.face_shift * extent
    assert top + extent / 2 == pytest.approx(middle, abs=1e-6)


@settings(max_examples=40)
@given(contracts, arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))), st.data())
def test_any_crop_of_any_picture_is_an_input(contract, image, data):
    box = data.draw(st.tuples(st.floats(-30, 60), st.floats(-30, 60), st.floats(0.5, 60), st.floats(0.5, 60)))
    assume(contract.face_square(box)[2] >= 0.5)
    x = contract(contract.crop_face(image, box))
    assert x.shape == (*contract.size, 3)
    assert x.dtype == np.float32
    low, high = (0 - np.array(contract.mean)) / contract.std, (1 - np.array(contract.mean)) / contract.std
    assert np.all(x >= low - 1e-4)
    assert np.all(x <= high + 1e-4)


@given(
    st.tuples(side, side),
    st.tuples(number, number, length, length),
    st.dictionaries(st.text(), st.tuples(number, number)),
)
def test_a_face_lies_in_its_picture(limits, box, landmarks):
    x, y, w, h = face_within(limits, box, 0.9, landmarks).box
    assert x >= 0
    assert y >= 0
    if w > 0 and h > 0:
        assert x + w <= limits[0]
        assert y + h <= limits[1]


def shares(found, of_smaller):
    """Return how much each box overlaps with each other one, by the definition."""
    low = np.maximum(found[:, None, :2], found[None, :, :2])
    high = np.minimum(found[:, None, 2:4], found[None, :, 2:4])
    common = np.maximum(high - low, 0).prod(axis=-1)
    areas = (found[:, 2:4] - found[:, :2]).prod(axis=-1)
    both = np.minimum(areas, areas[:, None]) if of_smaller else areas + areas[:, None] - common
    return common / both


@given(boxes, st.floats(0.1, 0.9), st.booleans(), st.sampled_from([1, 7, 4_000_000]))
def test_boxes_that_stay_overlap_with_no_surer_one_and_those_that_go_did(found, overlap, of_smaller, pairs):
    found[:, 4] = np.argsort(np.argsort(found[:, 4], kind="stable"))  # no two equally sure
    with mock.patch.object(mtcnn_litert, "PAIRS", pairs):
        kept = surest(found, overlap, of_smaller=of_smaller)
    assert np.all(np.diff(found[kept, 4]) < 0)
    most = np.where(found[:, 4] > found[:, None, 4], shares(found, of_smaller), 0).max(axis=1, initial=0)
    assume(np.all(np.abs(most - overlap) > 1e-4))  # where single precision decides
    assert sorted(kept) == np.flatnonzero(most <= overlap).tolist()


@given(boxes)
def test_squares_hold_their_boxes(found):
    made = squares(found)
    np.testing.assert_allclose(made[:, 2] - made[:, 0], made[:, 3] - made[:, 1], atol=1e-6)
    assert np.all(made[:, :2] <= found[:, :2] + 1e-6)
    assert np.all(made[:, 2:4] >= found[:, 2:4] - 1e-6)


@settings(max_examples=60)
@given(st.integers(2, 60), st.integers(2, 60), st.data())
def test_reducing_keeps_the_mean(height, width, data):
    size = data.draw(st.tuples(st.integers(1, width), st.integers(1, height)))
    image = data.draw(arrays.arrays(np.uint8, (height, width, 3)))
    small = reduced(cv2.integral(image, sdepth=cv2.CV_64F), size)
    assert small.shape == (size[1], size[0], 3)
    assert small.mean() == pytest.approx(image.mean(), abs=1e-3)


@given(st.lists(st.tuples(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.floats(0, 2)), max_size=8))
def test_smoothed_probabilities_are_probabilities(seen):
    smoothing, now = Smoothing(), 0.0
    for values, passed in seen:
        now += passed
        smoothed = smoothing.update(np.array(values) / sum(values), now)
        assert smoothed.sum() == pytest.approx(1, abs=1e-5)
        assert smoothed.min() >= 0


@given(st.text(max_size=40))
def test_no_name_leaves_its_folder(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp()
    with contextlib.suppress(ValueError, OSError):
        assert inside(folder, name).is_relative_to(folder.resolve())


@settings(max_examples=300)
@given(json_values, st.sampled_from(["", *ModelCard.__dataclass_fields__]))
def test_no_json_is_more_than_refused_as_a_card(value, field):
    card = ModelCard(
        "ean", "EAN", "paper", LABELS_7, Preprocessing((44, 44), (48, 48)), 1, 1, "torchstat", files={"a.tflite": {}}
    ).to_dict()
    with contextlib.suppress(ValueError):
        ModelCard.from_dict({**card, field: value} if field else value)


@given(st.text(max_size=30))
def test_no_option_is_more_than_refused(text):
    import argparse

    with contextlib.suppress(argparse.ArgumentTypeError):
        name, _ = reader_option(text)
        assert name.isidentifier()
