"""Faces are followed through real videos, and videos that are damaged, turned or uneven are met."""

import csv
import json
import os
import signal

import cv2
import numpy as np
import pytest
from moving import COUNT, RATE, pictures, read, with_sample_times, write
from PIL import Image

import kerafer
from kerafer.cli.main import main
from kerafer.vision import BlazeFaceDetector, Recognizer, VideoRecognizer
from kerafer.vision.video_files import LONGEST, opened, video_file


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video of two seconds with two moving faces."""
    return write(tmp_path_factory.mktemp("video") / "two faces é.mp4", pictures())


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(kerafer.load_model("ean", weights="fer2013_qat_int8"), detector=BlazeFaceDetector())


def test_a_video_gives_tracks_a_table_a_video_and_a_plot(clip, recognizer, tmp_path):
    video = VideoRecognizer(recognizer)
    out, table = tmp_path / "out.mp4", tmp_path / "faces.csv"
    report = video.recognize(clip, out=out, table=table)
    assert (report.pictures, report.promised) == (COUNT, COUNT)
    assert report.seconds == pytest.approx((COUNT - 1) / RATE, abs=0.05)
    assert {track: len(rows) for track, rows in report.tracks.items()} == {1: COUNT, 2: COUNT}
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * COUNT
    labels = recognizer.loaded.card.labels
    for row in rows:
        shares = [float(row[label]) for label in labels]
        assert sum(shares) == pytest.approx(1, abs=0.02)  # an integer file rounds
        assert row["label"] == labels[int(np.argmax(shares))]
    images = read(out)
    assert len(images) == COUNT
    assert images[0].shape == (480, 640, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.csv", "out.mp4"]


def test_each_track_has_its_own_faces_expression(clip, recognizer):
    report = VideoRecognizer(recognizer).recognize(clip)
    [still] = recognizer.recognize([next(pictures())])
    by_place = {("left", "right")[face.face.box[0] > 250]: face for face in still.faces}
    assert {side: face.label for side, face in by_place.items()} == {"left": "neutral", "right": "happy"}
    [first] = VideoRecognizer(recognizer).follow([(0.0, next(pictures()))])
    sides = {face.track: ("left", "right")[face.seen.face.box[0] > 250] for face in first.faces}
    for track in report.to_dict()["tracks"]:
        expected = by_place[sides[track["track"]]]
        assert track["label"] == expected.label
        for label, share in track["mean_probabilities"].items():
            assert share == pytest.approx(expected.probabilities[label], abs=0.25)


def test_the_number_of_a_face_is_the_same_everywhere(clip, recognizer, tmp_path, monkeypatch):
    from kerafer.vision import video as module

    drawn = []
    monkeypatch.setattr(module, "annotate", lambda image, faces, names: drawn.append(names) or image)
    report = VideoRecognizer(recognizer).recognize(clip, out=tmp_path / "o.mp4", table=tmp_path / "o.csv", limit=0.1)
    assert drawn == [["1", "2"]] * report.pictures
    assert {row["track"] for row in csv.DictReader((tmp_path / "o.csv").open())} == {"1", "2"}
    assert [track["track"] for track in report.to_dict()["tracks"]] == [1, 2]
    from kerafer.plots import expression_timeline

    figure = expression_timeline(report.tracks, report.labels, None, "")
    assert [axes.get_ylabel() for axes in figure.axes] == ["face 1", "face 2"]


def test_the_number_is_drawn_on_the_box(recognizer):
    [picture] = VideoRecognizer(recognizer).follow([(0.0, next(pictures()))])
    labels = recognizer.loaded.card.labels
    numbered, other = picture.annotated(labels), picture.annotated(labels[::-1])
    x, y, w, h = picture.faces[0].seen.face.box
    corner = (slice(y + 3, y + h // 4), slice(x + 3, x + w // 4))
    assert (numbered[corner] != picture.image[corner]).any(axis=-1).mean() > 0.3
    np.testing.assert_array_equal(numbered[corner], other[corner])


def test_the_command(clip, tmp_path, capsys):
    files = [str(tmp_path / name) for name in ("o.mp4", "o.csv", "o.png")]
    options = ["--weights", "fer2013_qat_int8", "--detector", "blazeface", "--seconds", "0.5"]
    written = ["--out", files[0], "--csv", files[1], "--plot", files[2]]
    assert main(["video", str(clip), *options, *written, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] == 13
    assert [track["track"] for track in told["tracks"]] == [1, 2]
    assert Image.open(files[2]).size[0] > 500
    assert main(["video", str(clip), *options, "--threads", "2"]) == 0
    assert "face 2: 0.0 to 0.5 s" in capsys.readouterr().out


def test_the_command_as_it_is_shipped(clip, capsys):
    assert main(["video", str(clip), "--seconds", "0.5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "ean (fer2013)"
    assert {track["label"] for track in told["tracks"]} == {"neutral", "happy"}
    assert [track["pictures"] for track in told["tracks"]] == [13, 13]


def test_progress_is_shown_where_it_is_asked_for(clip, recognizer, capsys):
    VideoRecognizer(recognizer).recognize(clip, progress=True)
    assert f"{COUNT}/{COUNT}" in capsys.readouterr().err
    VideoRecognizer(recognizer).recognize(clip, limit=0.1)
    assert "picture" not in capsys.readouterr().err


def test_a_keras_model_gives_the_same_as_its_file(bundle_folder, ean):
    images = [(n / RATE, image) for n, image in enumerate(pictures(4))]
    one, other = (
        [[f.probabilities for f in picture.faces] for picture in VideoRecognizer(r).follow(images)]
        for r in (
            Recognizer(next(bundle_folder.glob("*_float32.tflite")), detector=BlazeFaceDetector()),
            Recognizer(ean, detector=BlazeFaceDetector()),
        )
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_turned_video_is_upright(tmp_path, recognizer):
    path = write(tmp_path / "lying.mp4", (np.ascontiguousarray(np.rot90(i)) for i in pictures(5)))
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # type, then 40 bytes of other fields
    turned = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4")  # shown a quarter clockwise
    content[matrix : matrix + 36] = turned.tobytes()
    path.write_bytes(content)
    report = VideoRecognizer(recognizer).recognize(path, out=tmp_path / "out.mp4")
    assert {track: len(rows) for track, rows in report.tracks.items()} == {1: 5, 2: 5}
    upright, shown = next(pictures()), read(tmp_path / "out.mp4")[0]
    assert shown.shape == upright.shape
    assert np.abs(shown[:, :20].astype(float) - upright[:, :20]).mean() < 15  # the pattern beside the faces


def test_pictures_are_taken_at_the_files_own_times(tmp_path, recognizer):
    """In the second half each picture is shown three times as long as in the first."""
    path = with_sample_times(write(tmp_path / "uneven.mp4", pictures(20)), [1] * 10 + [3] * 10)
    expected = np.array([*range(10), *range(10, 40, 3)]) / RATE
    report = VideoRecognizer(recognizer, every=0.4).recognize(path, table=tmp_path / "t.csv", out=tmp_path / "o.mp4")
    for rows in report.tracks.values():
        np.testing.assert_allclose([seconds for seconds, _ in rows], expected, atol=1e-6)
    told = {float(row["seconds"]) for row in csv.DictReader((tmp_path / "t.csv").open())}
    np.testing.assert_allclose(sorted(told), expected, atol=1e-3)
    with opened(path) as reader:
        assert len(read(tmp_path / "o.mp4")) == pytest.approx(expected[-1] * reader.rate + 1, abs=1)


def test_a_jump_of_hours_is_not_filled_with_pictures(tmp_path, recognizer):
    path = with_sample_times(write(tmp_path / "jump.mp4", pictures(8)), [1] * 4 + [RATE * 3600] + [1] * 3)
    report = VideoRecognizer(recognizer).recognize(path, out=tmp_path / "o.mp4")
    assert report.pictures == 8
    assert report.seconds > 3600
    with opened(path) as reader:
        assert len(read(tmp_path / "o.mp4")) <= (LONGEST + 1) * reader.rate


def test_uneven_times_become_an_even_video(tmp_path):
    path = tmp_path / "even.mp4"
    with video_file(path, 10.0) as put:
        for number, seconds in enumerate((0.0, 0.1, 0.5, 0.52, 0.6)):
            put(np.full((32, 32, 3), 40 * number, np.uint8), seconds)
    values = [round(image.mean() / 40) for image in read(path)]
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


@pytest.mark.filterwarnings("default::UserWarning")
def test_the_command_tells_an_early_end_in_one_line(tmp_path, capsys):
    path = write(tmp_path / "whole.avi", pictures(30), codec="MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    options = ["--weights", "fer2013_qat_int8", "--detector", "blazeface"]
    assert main(["video", str(path), *options]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kerafer: {path} ended after ")
    assert "of 30 pictures" in line


def test_nothing_half_written_is_left(tmp_path, clip, recognizer, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kerafer.vision.video.annotate", fail)
    with pytest.raises(KeyboardInterrupt):
        VideoRecognizer(recognizer).recognize(clip, out=tmp_path / "o.mp4", table=tmp_path / "o.csv")
    assert not list(tmp_path.iterdir())


def test_a_video_that_did_not_reach_the_disk_is_refused(tmp_path, monkeypatch):
    """OpenCV's writer says nothing of a full disk: here it writes half of the pictures."""

    class Half:
        def __init__(self, *arguments):
            self.writer, self.count = cv2_writer(*arguments), 0

        def write(self, image):
            self.count += 1
            if self.count % 2:
                self.writer.write(image)

        def __getattr__(self, name):
            return getattr(self.writer, name)

    cv2_writer = cv2.VideoWriter
    monkeypatch.setattr(cv2, "VideoWriter", Half)

    def written():
        with video_file(tmp_path / "even.mp4", 10.0) as put:
            for number in range(8):
                put(np.full((32, 32, 3), 40, np.uint8), number / 10)

    with pytest.raises(OSError, match=r"even\.mp4 could not be written whole: it holds 4 of 8 pictures\. Is the disk"):
        written()
    assert not list(tmp_path.iterdir())


class Camera:
    """A camera of pictures that never ends; after some of them somebody presses Ctrl-C."""

    def __init__(self, count):
        self.count, self.number = count, 0

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return True

    def get(self, _):
        return 0.0

    def release(self):
        pass

    def read(self):
        assert self.number <= self.count, "Ctrl-C was not heard"
        if self.number == self.count:
            os.kill(os.getpid(), signal.SIGINT)
        self.number += 1
        return True, cv2.cvtColor(next(pictures(1)), cv2.COLOR_RGB2BGR)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_camera_and_keeps_what_it_saw(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: Camera(6) if source == 0 else cv2_capture(source))
    files = ["--out", str(tmp_path / "o.mp4"), "--csv", str(tmp_path / "o.csv")]
    options = ["--weights", "fer2013_qat_int8", "--detector", "blazeface"]
    monkeypatch.chdir(tmp_path)
    assert main(["video", "0", *options, *files, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 6
    monkeypatch.undo()
    assert read(tmp_path / "o.mp4")
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 1 + 2 * 6


cv2_capture = cv2.VideoCapture


def test_ctrl_c_in_a_file_is_told_without_speaking_of_trainings(clip, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(VideoRecognizer, "recognize", stop)
    assert main(["video", str(clip), "--weights", "fer2013_qat_int8"]) == 130
    assert capsys.readouterr().err == "kerafer: stopped\n"


def test_bad_arguments_are_named(recognizer, clip, tmp_path):
    with pytest.raises(ValueError, match="every=-1"):
        VideoRecognizer(recognizer, every=-1)
    with pytest.raises(ValueError, match="seconds=-1"):
        VideoRecognizer(recognizer, smoothing=-1)
    for name, suffix in (("out", ".mp4"), ("table", ".csv")):
        with pytest.raises(ValueError, match=f"`{name}` must end in {suffix}"):
            VideoRecognizer(recognizer).recognize(clip, **{name: tmp_path / "file.txt"})
    for wrong in (-1, 0, float("nan")):
        with pytest.raises(ValueError, match=f"`limit` must be a number of seconds above 0. Received: limit={wrong}"):
            VideoRecognizer(recognizer).recognize(clip, out=tmp_path / "out.mp4", limit=wrong)
    assert not list(tmp_path.iterdir())


def test_a_video_is_not_written_over_its_source(recognizer, clip, tmp_path):
    source = tmp_path / "talk.mp4"
    source.write_bytes(clip.read_bytes())
    os.link(source, tmp_path / "same.mp4")
    for name in ("talk.mp4", "same.mp4"):
        with pytest.raises(ValueError, match="`out` must be another file than the source"):
            VideoRecognizer(recognizer).recognize(source, out=tmp_path / name)
    assert source.read_bytes() == clip.read_bytes()


def test_a_plots_suffix_is_checked_before_the_video_is_read(clip, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(VideoRecognizer, "recognize", lambda *_, **__: pytest.fail("the video was read"))
    for name in ("talk", "talk.txt"):
        assert main(["video", str(clip), "--plot", str(tmp_path / name)]) == 2
        assert "`--plot` must end in .png" in capsys.readouterr().err
