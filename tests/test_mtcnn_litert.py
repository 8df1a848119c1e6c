"""MTCNN on LiteRT finds what the package finds, to the pixel."""

import subprocess
import sys
import tracemalloc

import cv2
import numpy as np
import pytest

from kerafer import cache
from kerafer.data.samples import portrait
from kerafer.vision import MTCNNDetector, mtcnn_litert
from kerafer.vision.detect import package_mtcnn
from kerafer.vision.mtcnn_litert import LiteRTMTCNN, converted, surest
from kerafer.vision.sampling import patches, reduced


@pytest.fixture(scope="module")
def detectors():
    return MTCNNDetector(min_confidence=0.5), MTCNNDetector(min_confidence=0.5, runtime="litert")


def pictures():
    """Return pictures of several sizes with many faces and few, turned, small, cut off, and with none."""
    image, generator = portrait(), np.random.default_rng(3)
    noise = generator.integers(0, 256, (180, 250, 3)).astype(np.uint8)
    return {
        "one": image,
        "four": np.vstack([np.hstack([image, image[:, ::-1]]), np.hstack([image[:, ::-1], image])])[::2, ::2],
        "cut off": image[60:330, 100:260],
        "turned": np.ascontiguousarray(np.rot90(image)),
        "odd": image[:397, :331],
        "noise": noise,
        "black": np.zeros((90, 120, 3), np.uint8),
        "tiny": image[:25, :31],
    }


@pytest.mark.parametrize("name", pictures())
def test_faces_are_the_packages(detectors, name):
    [expected], [found] = (detector.detect([pictures()[name]]) for detector in detectors)
    assert len(found) == len(expected)
    assert len(expected) == {"one": 1, "four": 4}.get(name, len(expected))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other.box, one.box, atol=1)
        for place in one.landmarks:
            np.testing.assert_allclose(other.landmarks[place], one.landmarks[place], atol=1)
        assert other.confidence == pytest.approx(one.confidence, abs=1e-4)


@pytest.mark.parametrize("min_face", [12, 31, 40, 60])
@pytest.mark.parametrize("runtime", ["tensorflow", "litert"])
def test_any_smallest_face_can_be_asked_for(runtime, min_face):
    picture = np.pad(portrait(), ((0, 300), (0, 500), (0, 0)))
    [[expected]] = MTCNNDetector().detect([portrait()])
    [[face]] = MTCNNDetector(runtime=runtime, min_face=min_face).detect([picture])
    np.testing.assert_allclose(face.box, expected.box, atol=0.12 * expected.box[2])


def test_a_larger_smallest_face_is_searched_for_in_a_smaller_picture(monkeypatch):
    shapes = []
    monkeypatch.setattr(LiteRTMTCNN, "detect_faces", lambda _, image, **__: shapes.append(image.shape[:2]) or [])
    for min_face in (20, 40):
        MTCNNDetector(runtime="litert", min_face=min_face).detect([portrait()])
    assert shapes == [(600, 512), (300, 256)]


def test_several_pictures_are_searched_one_by_one(detectors):
    images = [portrait(), np.zeros((90, 120, 3), np.uint8), portrait()]
    assert [len(faces) for faces in detectors[1].detect(images)] == [1, 0, 1]


@pytest.mark.parametrize("side", [24, 48])
def test_patches_are_tensorflows(side):
    import tensorflow as tf

    generator = np.random.default_rng(5)
    image = generator.normal(size=(60, 80, 3)).astype(np.float32)
    corners = generator.uniform(-20, 60, (50, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(3, 50, (50, 1))], axis=1)
    relative = boxes[:, [1, 0, 3, 2]] / [60, 80, 60, 80]
    expected = tf.image.crop_and_resize(image[None], relative, np.zeros(50, int), (side, side)).numpy()
    found = patches(image, boxes, side)
    # a sample on the very edge may be counted in or out
    assert np.mean(np.abs(found - expected) > 1e-3) < 1e-3


@pytest.mark.parametrize("size", [(90, 71), (17, 13), (41, 90), (7, 5)])
def test_reducing_is_opencvs(size):
    image = np.random.default_rng(4).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    expected = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(reduced(cv2.integral(image, sdepth=cv2.CV_64F), size), expected, atol=1e-3)


@pytest.mark.parametrize(("of_smaller", "method"), [(False, "union"), (True, "min")])
def test_overlaps_are_the_packages(of_smaller, method):
    from mtcnn.utils.bboxes import smart_nms_from_bboxes

    generator = np.random.default_rng(6)
    corners = generator.uniform(0, 60, (80, 2))
    boxes = np.column_stack([corners, corners + generator.uniform(10, 40, (80, 2)), generator.permutation(80) / 80])
    expected = smart_nms_from_bboxes(np.insert(boxes, 0, 0, axis=1), 0.5, method=method)
    np.testing.assert_allclose(boxes[surest(boxes, 0.5, of_smaller=of_smaller)], expected[:, 1:])
    assert len(expected) < len(boxes)


def test_many_boxes_take_little_memory(monkeypatch):
    generator = np.random.default_rng(6)
    corners = generator.uniform(0, 400, (6000, 2))
    boxes = np.column_stack([corners, corners + generator.uniform(8, 16, (6000, 2)), generator.random(6000)])
    tracemalloc.start()
    found = surest(boxes, 0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6  # all pairs at once take four arrays of 144 MB
    monkeypatch.setattr(mtcnn_litert, "PAIRS", 10**9)
    np.testing.assert_array_equal(found, surest(boxes, 0.5))


def test_the_package_and_tensorflow_are_not_loaded():
    code = (
        "import sys; from kerafer.data.samples import portrait; from kerafer.vision import MTCNNDetector\n"
        "print(len(MTCNNDetector(runtime='litert').detect([portrait()])[0]), 'tensorflow' in sys.modules)"
    )
    converted()  # which needs both
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", "False"]


def test_converted_networks_are_kept_and_damaged_ones_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = converted()
    contents = {path: path.read_bytes() for path in files.values()}
    assert {path.parents[1] for path in files.values()} == {tmp_path / "kerafer"}
    with monkeypatch.context() as patch:
        patch.setattr(mtcnn_litert, "_convert", None)  # not needed again
        assert converted() == files
    files["onet"].write_bytes(contents[files["onet"]][:-1])
    converted()
    assert files["onet"].stat().st_size == len(contents[files["onet"]])
    assert cache._is_whole(files["onet"])


def test_only_so_many_sizes_are_kept_prepared(monkeypatch):
    monkeypatch.setattr(mtcnn_litert, "SHAPES", 3)
    detector = LiteRTMTCNN()
    assert len(detector.detect_faces(portrait())) == 1
    assert len(detector._first) == 3


@pytest.mark.parametrize("argument", [{"runtime": "onnx"}, {"runtime": "litert", "threads": 0}])
def test_bad_arguments_are_named(argument):
    with pytest.raises(ValueError, match="`runtime` must be"):
        MTCNNDetector(**argument)


def test_what_python_says_of_the_packages_reading_is_left_out(monkeypatch):
    """Python 3.13 tells of lz4's closed files; other errors that cannot be raised are told as ever."""
    told = []

    class Reading:
        def __init__(self, error):
            self.error = error

        def __del__(self):
            raise self.error

    def network():
        Reading(ValueError("I/O operation on closed file."))
        Reading(ValueError("another"))
        return "network"

    monkeypatch.setattr("mtcnn.MTCNN", network)
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(str(unraisable.exc_value)))
    hook = sys.unraisablehook
    assert package_mtcnn() == "network"
    assert told == ["another"]
    assert sys.unraisablehook is hook
