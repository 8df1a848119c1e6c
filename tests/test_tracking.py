"""Faces are followed from picture to picture, through misses, losses and returns."""

import numpy as np
import pytest
from moving import COUNT, PORTRAIT_FACE, RATE, SHRINK, expected_middle, pictures, place

import kerafer
from kerafer.vision import BlazeFaceDetector, Face, FaceTracker, Smoothing


class Counting:
    """A detector that counts its pictures, and can be told to miss some."""

    def __init__(self, misses=()):
        self.detector, self.misses, self.count = BlazeFaceDetector(), misses, 0

    def detect(self, images):
        self.count += len(images)
        return [[] for _ in images] if self.count in self.misses else self.detector.detect(images)


def followed(tracker, images, rate=RATE):
    """Return the numbers of the faces in each picture."""
    return [[face.track for face in tracker.follow(image, n / rate)] for n, image in enumerate(images)]


def test_faces_keep_their_numbers_and_places_between_detections():
    counting = Counting()
    tracker, side = FaceTracker(counting, every=0.4), SHRINK * np.sqrt(PORTRAIT_FACE[2] * PORTRAIT_FACE[3])
    ends = {}
    for number, image in enumerate(pictures()):
        before = counting.count
        found = tracker.follow(image, number / RATE)
        assert len(found) == 2
        for face, one in enumerate(found):
            x, y, w, h = one.face.box
            wanted = expected_middle(ends.setdefault(one.track, face if number else int(x > 250)), number)
            assert np.hypot(x + w / 2 - wanted[0], y + h / 2 - wanted[1]) < 0.15 * side
            for px, py in one.face.landmarks.values():
                assert x <= px <= x + w
                assert y <= py <= y + h
            assert one.detected == (counting.count > before)
    assert sorted(ends) == [1, 2]
    assert counting.count == 5  # at 0, 0.4, 0.8, 1.2 and 1.6 s


def test_a_face_that_comes_and_goes():
    tracker = FaceTracker(BlazeFaceDetector(), every=0.2, patience=0.5)
    one, none, both = (next(iter(pictures(1, faces))) for faces in ((0,), (), (0, 1)))
    images = [both if n < 10 else one if n < 18 else both if n < 30 else none for n in range(60)]
    told = followed(tracker, images)
    assert told[0] == [1, 2]
    assert told[14] in ([1], [2])
    assert told[24] == [1, 2]  # back within patience: the same number
    assert told[40] == []
    assert [face.track for face in tracker.follow(both, 4.0)] == [3, 4]  # too late: new ones


@pytest.mark.parametrize(("misses", "gone"), [({2}, None), ({2, 3, 4, 5, 6, 7, 8, 9}, 0.4 + 0.5)])
def test_a_face_that_the_detector_misses_is_followed_on_for_its_patience(misses, gone):
    tracker = FaceTracker(Counting(misses), every=0.4, patience=0.5)
    told = followed(tracker, pictures())
    for number, tracks in enumerate(told):
        assert tracks == ([1, 2] if gone is None or number / RATE <= gone + 1e-9 else []), number


def test_a_face_is_not_kept_beside_itself():
    class Jumping:
        """A detector whose boxes of one face lie here and there."""

        def __init__(self):
            self.count = 0

        def detect(self, images):
            self.count += 1
            x, y = place(0, 0)
            side = (60, 100)[self.count % 2]
            return [[Face((x + 70, y + 50, side, side), 0.9, {})] for _ in images]

    image = next(iter(pictures(1)))
    assert followed(FaceTracker(Jumping(), every=0.04), [image] * 20) == [[1]] * 20


def test_a_face_that_is_lost_in_each_picture_does_not_have_each_searched():
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 256, (120, 160, 3)).astype(np.uint8) for _ in range(COUNT)]

    class Somewhere:
        """A detector that finds a face in noise, which nothing can follow."""

        def __init__(self):
            self.count = 0

        def detect(self, images):
            self.count += 1
            return [[Face((40, 30, 60, 60), 0.9, {})] for _ in images]

    detector = Somewhere()
    told = followed(FaceTracker(detector, every=0.8), noise)
    # every 0.2 s instead of every 0.04 s: at 0, 0.2, ..., 1.8 s
    assert detector.count == 10
    assert sum(map(len, told)) == 10
    assert {track for tracks in told for track in tracks} == {1}


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf")])
def test_numbers_that_are_no_times_are_named(wrong):
    for name in ("every", "patience"):
        with pytest.raises(ValueError, match=f"{name}={wrong}"):
            FaceTracker(BlazeFaceDetector(), **{name: wrong})
    for name in ("seconds", "forget"):
        with pytest.raises(ValueError, match=f"{name}={wrong}"):
            Smoothing(**{name: wrong})


def test_smoothing_is_that_of_the_android_library():
    smoothing = Smoothing(seconds=0.5, forget=1.0)
    first, second = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    np.testing.assert_allclose(smoothing.update(first, 0.0), first)
    np.testing.assert_allclose(smoothing.update(second, 0.5), [np.exp(-1), 1 - np.exp(-1)], atol=1e-6)
    np.testing.assert_allclose(smoothing.update(first, 2.0), first)  # forgotten meanwhile
    assert kerafer.vision.Smoothing(0).update(second, 0.1).tolist() == [0.0, 1.0]
