"""From photographs to expressions, with the real detector."""

import json

import numpy as np
import pytest
from PIL import Image

import kerafer
from kerafer.data.samples import PORTRAIT_FACE, portrait, portrait_faces
from kerafer.vision import Face, MTCNNDetector, Recognizer


@pytest.fixture(scope="module")
def recognizer(ean):
    return Recognizer(ean)


@pytest.fixture(scope="module")
def quilt():
    """Four people beside and below each other, mirrored to differ."""
    image = portrait()
    return np.vstack([np.hstack([image, image[:, ::-1]]), np.hstack([image[:, ::-1], image])])


def test_the_portraits_face_is_where_it_is_said_to_be(recognizer):
    [[face]] = recognizer.detector.detect([portrait()])
    np.testing.assert_allclose(face.box, PORTRAIT_FACE, atol=3)
    x, y, w, h = face.box
    for px, py in face.landmarks.values():
        assert x < px < x + w
        assert y < py < y + h
    assert face.landmarks["left_eye"][0] < face.landmarks["right_eye"][0]


def test_one_face(recognizer):
    [picture] = recognizer.recognize([portrait()])
    [face] = picture.faces
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert face.label == max(face.probabilities, key=face.probabilities.get)
    assert tuple(face.probabilities) == recognizer.loaded.card.labels


def test_many_faces_and_pictures_at_once_equal_single_ones(recognizer, quilt):
    together = recognizer.recognize([portrait(), quilt])
    assert [len(p.faces) for p in together] == [1, 4]
    alone = recognizer.recognize([quilt])[0]
    for one, other in zip(together[1].faces, alone.faces, strict=True):
        assert one.face == other.face
        np.testing.assert_allclose(list(one.probabilities.values()), list(other.probabilities.values()), atol=1e-6)


@pytest.mark.parametrize("image", [np.zeros((300, 200, 3), np.uint8), np.full((64, 64), 255, np.uint8)])
def test_no_face(recognizer, image):
    [picture] = recognizer.recognize([image])
    assert picture.faces == ()
    assert picture.to_dict()["message"] == "no face found"
    assert picture.annotated().shape == (*image.shape[:2], 3)


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 400, 3), (11, 11, 3), (3000, 8, 3), (12, 2600, 3)])
def test_tiny_and_thin_pictures_hold_no_face(recognizer, shape):
    assert recognizer.recognize([np.zeros(shape, np.uint8)])[0].faces == ()


def test_gray_gives_the_same_face(recognizer):
    gray = np.asarray(Image.fromarray(portrait()).convert("L"))
    [picture] = recognizer.recognize([gray])
    np.testing.assert_allclose(picture.faces[0].face.box, PORTRAIT_FACE, atol=12)


def test_a_huge_picture_is_searched_small_and_cropped_large(recognizer):
    huge = np.asarray(Image.fromarray(portrait()).resize((4096, 4800)))
    [picture] = recognizer.recognize([huge])
    [face] = picture.faces
    np.testing.assert_allclose(face.face.box, np.array(PORTRAIT_FACE) * 8, rtol=0.12, atol=60)


def test_a_file_from_tflite_and_from_keras_agree(recognizer, bundle_folder, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(portrait()).save(path)
    expected = recognizer.recognize([path])[0].faces[0].probabilities
    for name, tolerance in (("float32", 1e-5), ("float16", 5e-3), ("static_int8", 0.1)):
        other = Recognizer(bundle_folder / f"ean_{name}.tflite", detector=recognizer.detector)
        found = other.recognize([path])[0].faces[0].probabilities
        np.testing.assert_allclose(list(found.values()), list(expected.values()), atol=tolerance)


def test_any_detector_serves(ean):
    class Whole:
        def detect(self, images):
            return [[Face((0, 0, i.shape[1], i.shape[0]), 1.0, {})] for i in images]

    [picture] = Recognizer(ean, detector=Whole()).recognize([np.full((90, 80, 3), 128, np.uint8)])
    assert picture.faces[0].face.box == (0, 0, 80, 90)


def test_results_are_json_and_the_drawing_differs_from_the_picture(recognizer):
    [picture] = recognizer.recognize([portrait()])
    assert json.loads(json.dumps(picture.to_dict()))["faces"][0]["label"] == picture.faces[0].label
    drawn = picture.annotated()
    assert drawn.shape == picture.image.shape
    x, y, w, _ = picture.faces[0].face.box
    assert (drawn[y, x : x + w] != picture.image[y, x : x + w]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8)])
def test_arrays_that_are_no_pictures_are_refused(recognizer, image):
    with pytest.raises(ValueError, match="Received"):
        recognizer.recognize([image])


def test_one_picture_without_a_list_is_refused(recognizer):
    with pytest.raises(ValueError, match="sequence"):
        recognizer.recognize(portrait())


def test_wrong_detector_arguments():
    with pytest.raises(ValueError, match="min_confidence"):
        MTCNNDetector(min_confidence=2)


def test_portrait_faces_vary_and_repeat():
    contract = kerafer.model_spec("ean").preprocessing
    faces = portrait_faces(contract, 5, seed=1)
    assert faces.shape == (5, 44, 44, 3)
    np.testing.assert_array_equal(faces, portrait_faces(contract, 5, seed=1))
    assert len({face.tobytes() for face in faces}) == 5
