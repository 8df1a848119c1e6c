"""BlazeFace finds what MTCNN finds, framed alike, and its card says what its files are."""

import copy
import json
import shutil

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from kerafer.cli.main import main
from kerafer.data.samples import PORTRAIT_FACE, portrait
from kerafer.vision import BlazeFaceDetector, Recognizer, blazeface
from kerafer.vision.blazeface import FOLDER, Candidates, Network, merged, read_card


@pytest.fixture(scope="module")
def detector():
    return BlazeFaceDetector()


def middle(box):
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def test_the_portraits_face_is_framed_as_mtcnn_frames_it(detector):
    [[face]] = detector.detect([portrait()])
    side, wanted = np.sqrt(face.box[2] * face.box[3]), np.sqrt(PORTRAIT_FACE[2] * PORTRAIT_FACE[3])
    assert side == pytest.approx(wanted, rel=0.15)
    np.testing.assert_allclose(middle(face.box), middle(PORTRAIT_FACE), atol=0.1 * wanted)
    x, y, w, h = face.box
    for px, py in face.landmarks.values():
        assert x < px < x + w
        assert y < py < y + h
    assert face.landmarks["left_eye"][0] < face.landmarks["right_eye"][0]


def test_many_faces_where_they_are_and_at_any_size(detector):
    image = portrait()
    quilt = np.vstack([np.hstack([image, image[:, ::-1]]), np.hstack([image[:, ::-1], image])])
    height, width = image.shape[:2]
    [faces, huge] = detector.detect([quilt, np.asarray(Image.fromarray(image).resize((2048, 2400)))])
    parts = {(middle(face.box)[0] > width, middle(face.box)[1] > height) for face in faces}
    assert len(faces) == len(parts) == 4
    np.testing.assert_allclose(huge[0].box, np.array(PORTRAIT_FACE) * 4, rtol=0.25, atol=60)


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 400, 3), (3000, 8, 3), (300, 200, 3), (64, 64)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_no_face(detector, shape, value):
    assert detector.detect([np.full(shape, value, np.uint8)]) == [[]]


def test_gray_gives_nearly_the_same_face(detector):
    [[face]] = detector.detect([np.asarray(Image.fromarray(portrait()).convert("L"))])
    np.testing.assert_allclose(middle(face.box), middle(PORTRAIT_FACE), atol=20)


def test_a_recognizer_takes_it_and_it_can_be_sent(ean, detector):
    sent = copy.deepcopy(detector)  # as `kerafer data align` sends a detector to its workers: without the networks
    one, other = (Recognizer(ean, detector=d).recognize([portrait()])[0].faces for d in (detector, sent))
    assert len(one) == 1
    assert one == other


@pytest.mark.parametrize(("name", "value"), [("min_confidence", 0), ("min_confidence", 1.5), ("threads", 0)])
def test_bad_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        BlazeFaceDetector(**{name: value})


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    shutil.copytree(FOLDER, tmp_path / "copy")
    path = tmp_path / "copy" / read_card()["networks"][0]["file"]
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(blazeface, "FOLDER", tmp_path / "copy")
    with pytest.raises(ValueError, match="Install kerafer again"):
        BlazeFaceDetector().detect([portrait()])


def test_the_card_describes_the_files():
    for entry in read_card()["networks"]:
        network = Network(entry, 1)
        assert (FOLDER / entry["file"]).stat().st_size == entry["bytes"]
        details = network.graph.outputs
        # the other clients know the outputs by their order
        assert [detail["name"] for detail in details] == [entry["boxes"], entry["scores"]]
        assert [d["shape"].tolist() for d in details] == [[1, len(network.anchors), size] for size in (16, 1)]


def test_boxes_are_turned_into_mtcnns_as_measured():
    measured = json.loads((ROOT / "results" / "face_framing.json").read_text(encoding="utf-8"))["blazeface"]
    for entry in read_card()["networks"]:
        [found] = [one for one in measured if one["file"] == entry["file"]]
        assert entry["box_scale"] == pytest.approx(found["box_scale"], abs=0.006)
        assert entry["box_shift"] == pytest.approx(found["box_shift"], abs=0.006)


def test_candidates_of_one_face_are_averaged_by_their_scores():
    boxes = np.array([[50.0, 50, 20, 20], [52, 50, 20, 20], [90, 90, 10, 10]])
    found = merged(Candidates(boxes, np.zeros((3, 6, 2)), np.array([0.6, 0.9, 0.7])), 0.3)
    np.testing.assert_allclose(found.boxes, [[(50 * 0.6 + 52 * 0.9) / 1.5, 50, 20, 20], [90, 90, 10, 10]])
    np.testing.assert_allclose(found.scores, [0.9, 0.7])


@pytest.mark.parametrize(("detector", "landmark"), [("blazeface", "mouth"), ("mtcnn_litert", "mouth_left")])
def test_the_command_takes_a_detector(tmp_path, capsys, detector, landmark):
    Image.fromarray(portrait()).save(tmp_path / "photo.png")
    assert main(["predict", str(tmp_path / "photo.png"), "--no-files", "--detector", detector, "--json"]) == 0
    [face] = json.loads(capsys.readouterr().out)["pictures"][0]["faces"]
    assert landmark in face["landmarks"]
