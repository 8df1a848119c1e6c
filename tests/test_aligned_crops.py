"""Faces with level eyes: the crop, and the detector's search of several pictures at once."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

import kerafer
from kerafer.data.samples import PORTRAIT_FACE, portrait
from kerafer.preprocess import Preprocessing, eye_angle
from kerafer.training import recipe
from kerafer.vision import MTCNNDetector
from kerafer.vision.detect import Face

CONTRACT = kerafer.model_spec("ean").preprocessing


@pytest.fixture(scope="module")
def mtcnn():
    return MTCNNDetector(batch=16)


def rotated(angle):
    """Return the portrait turned clockwise."""
    image = portrait()
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1)
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("box", [PORTRAIT_FACE, (-40, -30, 101, 90), (450, 500, 90, 131)])
@pytest.mark.parametrize("image", [portrait(), portrait()[..., 1]], ids=["rgb", "gray"])
def test_with_level_eyes_the_crop_is_that_of_the_recognizer(image, box):
    np.testing.assert_array_equal(CONTRACT.crop_aligned(image, box, (5, 9), (30, 9)), CONTRACT.crop_face(image, box))


def test_a_quarter_turn_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    contract = Preprocessing(size=(20, 20), resize=(20, 20), face_shift=0.1)
    upright = contract.crop_face(image, (30, 40, 20, 20))
    # turned clockwise, (x, y) is at (89 - y, x), and a box at (30, 40) at (89 - 59, 30)
    turned = np.ascontiguousarray(np.rot90(image, -1))
    crop = contract.crop_aligned(turned, (30, 30, 20, 20), (50, 30), (50, 60))
    np.testing.assert_array_equal(crop, upright)


@pytest.mark.parametrize("angle", [20, -15])
def test_a_turned_portrait_is_turned_back(mtcnn, angle):
    crops = []
    for image in (portrait(), rotated(angle)):
        [[face]] = mtcnn.detect([image])
        eyes = face.landmarks["left_eye"], face.landmarks["right_eye"]
        crops.append(CONTRACT.crop_aligned(image, face.box, *eyes))
    assert eye_angle(*eyes) == pytest.approx(angle, abs=4)
    around = cv2.copyMakeBorder(crops[1], 60, 60, 60, 60, cv2.BORDER_REPLICATE)
    [[again]] = mtcnn.detect([around])
    assert abs(eye_angle(again.landmarks["left_eye"], again.landmarks["right_eye"])) < 3
    whole = replace(CONTRACT, size=CONTRACT.resize)
    plain, turned = (whole.pixels(crop).astype(np.float64).ravel() for crop in crops)
    assert np.corrcoef(plain, turned)[0, 1] > 0.9
    # without the turning they are far from each other
    unaligned = whole.pixels(CONTRACT.crop_face(rotated(angle), face.box)).ravel()
    assert np.corrcoef(plain, unaligned)[0, 1] < 0.75


@pytest.mark.parametrize("eyes", [((3, 3), (3, 3)), ((float("nan"), 3), (4, 4))])
def test_eyes_in_one_place_are_refused(eyes):
    with pytest.raises(ValueError, match="two different places"):
        CONTRACT.crop_aligned(portrait(), PORTRAIT_FACE, *eyes)


def test_pictures_searched_together_give_the_faces_found_alone(mtcnn):
    image = portrait()
    pictures = [image, image[:, ::-1], np.zeros_like(image), cv2.resize(image, (256, 300)), image, image[:9]]
    alone = MTCNNDetector().detect(pictures)
    together = mtcnn.detect(pictures)
    assert [len(faces) for faces in together] == [1, 1, 0, 1, 1, 0]
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=6)
            np.testing.assert_allclose(list(a.landmarks.values()), list(b.landmarks.values()), atol=6)
    assert mtcnn.__getstate__()["_network"] is None
    assert mtcnn.detect(pictures[:1]) == alone[:1]


class OneFace:
    """A detector that finds one tilted face."""

    def __init__(self, landmarks):
        self.face = Face((30, 40, 60, 66), 1.0, landmarks)

    def detect(self, images):
        return [[self.face] for _ in images]


TILTED = {"left_eye": (45, 60), "right_eye": (75, 72)}


@pytest.mark.parametrize(
    ("aligned", "landmarks", "turned"),
    [(False, TILTED, False), (True, TILTED, True), (True, {}, False)],
    ids=["upright contract", "aligned contract", "no landmarks"],
)
def test_the_recognizer_turns_faces_as_the_models_training_did(ean, aligned, landmarks, turned):
    loaded = replace(ean, card=replace(ean.card, preprocessing=replace(CONTRACT, aligned=aligned)))
    image, detector = portrait(), OneFace(landmarks)
    [[found]] = [picture.faces for picture in kerafer.Recognizer(loaded, detector=detector).recognize([image])]
    upright = CONTRACT.crop_face(image, detector.face.box)
    level = CONTRACT.crop_aligned(image, detector.face.box, *TILTED.values())
    expected, other = (
        ean.runner.predict(CONTRACT(crop)[None])[0] for crop in ((level, upright)[:: 1 if turned else -1])
    )
    given = np.array([found.probabilities[name] for name in ean.card.labels])
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert np.abs(given - other).max() > 1e-3


def test_training_on_aligned_faces_says_so_in_the_contract(tmp_path):
    for name, shift in (("happy", 0), ("sad", 3)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for number in range(4):
            picture = portrait()[100 + number :, 150 + shift :][:220, :220]
            assert cv2.imwrite(str(tmp_path / "faces" / name / f"{number}.png"), picture)
    plain = kerafer.load_data(f"folder:{tmp_path / 'faces'}")
    assert not plain.aligned
    (tmp_path / "faces" / "align.json").write_text("{}")
    data = kerafer.load_data(f"folder:{tmp_path / 'faces'}")
    assert data.take(np.arange(2)).aligned
    settings = recipe("ean_paper", epochs=1, batch_size=4)
    run = kerafer.train("ean", data, data, settings, tmp_path / "run", size=(32, 32), verbose=0)
    assert kerafer.load_model(run.folder).card.preprocessing.aligned
