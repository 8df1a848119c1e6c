"""Faces are followed through real videos, and videos that are damaged, turned or uneven are met."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

import kerafer
from kerafer.cli.main import main
from kerafer.data.samples import PORTRAIT_FACE, portrait
from kerafer.vision import BlazeFaceDetector, FaceTracker, Recognizer, Smoothing, VideoRecognizer
from kerafer.vision.video import _video_file

RATE, COUNT = 25, 50
SHRINK = 0.4
"""The portrait of 512 x 600 pixels in pictures of 640 x 480."""


def place(face, number):
    """Return where the upper left corner of one of the two portraits lies in a picture."""
    return (20 + 3 * number, 10 + number) if face == 0 else (400 - 2 * number, 200 - 2 * number)


def pictures(count=COUNT, faces=(0, 1)):
    """Yield pictures in which portraits move over a pattern."""
    size = (round(512 * SHRINK), round(600 * SHRINK))
    small = np.asarray(Image.fromarray(portrait()).resize(size))
    pattern = np.random.default_rng(0).integers(60, 160, (24, 32, 3)).astype(np.uint8)
    background = cv2.resize(pattern, (640, 480), interpolation=cv2.INTER_CUBIC)
    for number in range(count):
        image = background.copy()
        for face in faces:
            x, y = place(face, number)
            image[y : y + size[1], x : x + size[0]] = small if face == 0 else small[:, ::-1]
        yield image


def write(path, images, rate=RATE, codec="mp4v"):
    writer = None
    for image in images:
        if writer is None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, image.shape[1::-1])
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video of two seconds with two moving faces."""
    return write(tmp_path_factory.mktemp("video") / "two faces é.mp4", pictures())


@pytest.fixture(scope="module")
def recognizer(bundle_folder):
    return Recognizer(next(bundle_folder.glob("*_float32.tflite")), detector=BlazeFaceDetector())


class Counting:
    """A detector that counts its pictures."""

    def __init__(self):
        self.detector, self.count = BlazeFaceDetector(), 0

    def detect(self, images):
        self.count += len(images)
        return self.detector.detect(images)


def expected_middle(face, number):
    x, y, w, h = PORTRAIT_FACE
    left, top = place(face, number)
    middle = x + w / 2 if face == 0 else 512 - x - w / 2
    return left + SHRINK * middle, top + SHRINK * (y + h / 2)


def test_faces_keep_their_numbers_and_places_between_detections(recognizer):
    counting = Counting()
    tracker, side = FaceTracker(counting, every=0.4), SHRINK * np.sqrt(PORTRAIT_FACE[2] * PORTRAIT_FACE[3])
    ends = {}
    for number, image in enumerate(pictures()):
        found = tracker.follow(image, number / RATE)
        assert len(found) == 2
        for face, one in enumerate(sorted(found, key=lambda f: f.track)):
            x, y, w, h = one.face.box
            wanted = expected_middle(ends.setdefault(one.track, face if number else int(x > 250)), number)
            assert np.hypot(x + w / 2 - wanted[0], y + h / 2 - wanted[1]) < 0.15 * side
            for px, py in one.face.landmarks.values():
                assert x <= px <= x + w
                assert y <= py <= y + h
    assert sorted(ends) == [0, 1]
    assert counting.count == 5  # at 0, 0.4, 0.8, 1.2 and 1.6 s


def test_a_face_that_comes_and_goes(recognizer):
    tracker = FaceTracker(BlazeFaceDetector(), every=0.2, patience=0.5)
    one, none, both = (next(iter(pictures(1, faces))) for faces in ((0,), (), (0, 1)))
    told = []
    for number in range(60):
        image = both if number < 10 else one if number < 18 else both if number < 30 else none
        told.append([face.track for face in tracker.follow(image, number / RATE)])
    assert told[0] == [0, 1]
    assert told[14] in ([0], [1])
    assert told[24] == [0, 1]  # back within patience: the same number
    assert told[40] == []
    assert [face.track for face in tracker.follow(both, 4.0)] == [2, 3]  # too late: new ones


def test_a_video_gives_tracks_a_table_a_video_and_a_plot(clip, recognizer, tmp_path):
    video = VideoRecognizer(recognizer)
    out, table = tmp_path / "out.mp4", tmp_path / "faces.csv"
    report = video.recognize(clip, out=out, table=table)
    assert (report.pictures, report.promised) == (COUNT, COUNT)
    assert report.seconds == pytest.approx((COUNT - 1) / RATE, abs=0.05)
    assert {track: len(rows) for track, rows in report.tracks.items()} == {0: COUNT, 1: COUNT}
    [still] = recognizer.recognize([next(pictures())])
    told = report.to_dict()["tracks"]
    assert {track["label"] for track in told} <= {face.label for face in still.faces}
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * COUNT
    labels = recognizer.loaded.card.labels
    for row in rows:
        shares = [float(row[label]) for label in labels]
        assert sum(shares) == pytest.approx(1, abs=1e-3)
        assert row["label"] == labels[int(np.argmax(shares))]
    capture = cv2.VideoCapture(str(out))
    images = []
    while (got := capture.read())[0]:
        images.append(got[1])
    assert len(images) == COUNT
    assert images[0].shape == (480, 640, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.csv", "out.mp4"]


def test_the_command(clip, bundle_folder, tmp_path, capsys):
    model = str(next(bundle_folder.glob("*_static_int8.tflite")))
    files = [str(tmp_path / name) for name in ("o.mp4", "o.csv", "o.png")]
    options = ["--model", model, "--detector", "blazeface", "--seconds", "0.5"]
    written = ["--out", files[0], "--csv", files[1], "--plot", files[2]]
    assert main(["video", str(clip), *options, *written, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] == 13
    assert len(told["tracks"]) == 2
    assert Image.open(files[2]).size[0] > 500
    assert main(["video", str(clip), *options]) == 0
    assert "face 2: 0.0 to 0.5 s" in capsys.readouterr().out


def test_a_keras_model_gives_the_same_as_its_file(recognizer, ean):
    images = [(n / RATE, image) for n, image in enumerate(pictures(4))]
    one, other = (
        [[f.probabilities for f in picture.faces] for picture in VideoRecognizer(r).follow(images)]
        for r in (recognizer, Recognizer(ean, detector=BlazeFaceDetector()))
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_turned_video_is_upright(tmp_path, recognizer):
    path = write(tmp_path / "lying.mp4", (np.ascontiguousarray(np.rot90(i)) for i in pictures(5)))
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # type, then 40 bytes of other fields
    turned = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4")  # shown a quarter clockwise
    content[matrix : matrix + 36] = turned.tobytes()
    path.write_bytes(content)
    report = VideoRecognizer(recognizer).recognize(path)
    assert {track: len(rows) for track, rows in report.tracks.items()} == {0: 5, 1: 5}


def test_uneven_times_become_an_even_video(tmp_path):
    path = tmp_path / "even.mp4"
    with _video_file(path, 10.0) as put:
        for number, seconds in enumerate((0.0, 0.1, 0.5, 0.52, 0.6)):
            put(np.full((32, 32, 3), 40 * number, np.uint8), seconds)
    capture = cv2.VideoCapture(str(path))
    values = []
    while (got := capture.read())[0]:
        values.append(round(got[1].mean() / 40))
    assert len(values) == 7  # 0.6 s and the last picture
    assert values[:2] == [0, 1]
    assert values[-1] == 4


def test_what_is_no_video_is_refused(tmp_path, clip, recognizer):
    video = VideoRecognizer(recognizer)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:20_000])
    for name in ("empty", "text", "cut"):
        with pytest.raises(ValueError, match=f"{name}.mp4"):
            video.recognize(tmp_path / f"{name}.mp4", out=tmp_path / "out.mp4", table=tmp_path / "out.csv")
    with pytest.raises(FileNotFoundError, match=r"missing\.mp4"):
        video.recognize(tmp_path / "missing.mp4")
    with pytest.raises(ValueError, match="Camera 77"):
        video.recognize(77)
    assert not list(tmp_path.glob("out*"))


def test_a_video_that_ends_early_is_reported(tmp_path, recognizer):
    path = write(tmp_path / "whole.avi", pictures(30), codec="MJPG")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match="of 30 pictures"):
        report = VideoRecognizer(recognizer).recognize(cut)
    assert 5 < report.pictures < 25


def test_nothing_half_written_is_left(tmp_path, clip, recognizer, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kerafer.vision.video.annotate", fail)
    with pytest.raises(KeyboardInterrupt):
        VideoRecognizer(recognizer).recognize(clip, out=tmp_path / "o.mp4", table=tmp_path / "o.csv")
    assert not list(tmp_path.iterdir())


def test_bad_arguments_are_named(recognizer, clip, tmp_path):
    with pytest.raises(ValueError, match="every=-1"):
        VideoRecognizer(recognizer, every=-1)
    with pytest.raises(ValueError, match="seconds=-1"):
        VideoRecognizer(recognizer, smoothing=-1)
    for name, suffix in (("out", ".mp4"), ("table", ".csv")):
        with pytest.raises(ValueError, match=f"`{name}` must end in {suffix}"):
            VideoRecognizer(recognizer).recognize(clip, **{name: tmp_path / "file.txt"})


def test_smoothing_is_that_of_the_android_library():
    smoothing = Smoothing(seconds=0.5, forget=1.0)
    first, second = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    np.testing.assert_allclose(smoothing.update(first, 0.0), first)
    np.testing.assert_allclose(smoothing.update(second, 0.5), [np.exp(-1), 1 - np.exp(-1)], atol=1e-6)
    np.testing.assert_allclose(smoothing.update(first, 2.0), first)  # forgotten meanwhile
    assert kerafer.vision.Smoothing(0).update(second, 0.1).tolist() == [0.0, 1.0]
