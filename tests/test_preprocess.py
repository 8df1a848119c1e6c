"""The contract from a picture to the input."""

import numpy as np
import pytest

from kerafer.preprocess import Preprocessing, as_rgb

CONTRACT = Preprocessing(size=(44, 44), resize=(48, 48), face_scale=1.1, face_shift=-0.016)


def test_a_picture_of_the_right_size_is_only_cropped_and_scaled():
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    expected = np.repeat(image[2:46, 2:46, None], 3, axis=-1) / np.float32(255)
    np.testing.assert_array_equal(CONTRACT(image), expected.astype(np.float32))


def test_shrinking_averages_areas():
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    mean = image.reshape(48, 2, 48, 2, 3).astype(np.float32).mean(axis=(1, 3))
    whole = np.floor(mean + 0.5)  # halves up
    assert (mean != whole).any()
    np.testing.assert_array_equal(CONTRACT.pixels(image), whole[2:46, 2:46])


def test_growing_is_bilinear_with_half_pixel_centres():
    contract = Preprocessing(size=(4, 4), resize=(4, 4))
    image = np.array([[0, 100], [200, 100]], np.uint8)
    np.testing.assert_array_equal(contract.pixels(image)[0, :, 0], [0, 25, 75, 100])


def test_batches_equal_single_pictures():
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    np.testing.assert_array_equal(CONTRACT.batch(images), np.stack([CONTRACT(image) for image in images]))
    large = np.random.default_rng(0).integers(0, 256, (3, 70, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(CONTRACT.batch(large), np.stack([CONTRACT(image) for image in large]))


def test_mean_and_std():
    contract = Preprocessing(size=(2, 2), resize=(2, 2), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    pixels = np.full((2, 2, 3), 255, np.uint8)
    np.testing.assert_allclose(contract(pixels)[0, 0], [1.0, 3.0, 0.5], rtol=1e-6)
    assert CONTRACT.is_identity
    assert not contract.is_identity


def test_face_square_is_centred_and_sized_by_the_box():
    left, top, side = CONTRACT.face_square((100, 50, 40, 90))
    assert side == pytest.approx(1.1 * 60)
    assert left + side / 2 == pytest.approx(120)
    assert top + side / 2 == pytest.approx(95 - 0.016 * side)


def test_crop_beyond_the_picture_repeats_its_edge():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    crop = Preprocessing(size=(4, 4), resize=(4, 4)).crop_face(image, (-3, -3, 6, 6))
    assert crop.shape == (6, 6)
    assert (crop[:4, :4] == image[0, 0]).all()
    np.testing.assert_array_equal(crop[3:, 3:], image[:3, :3])


def test_json_round_trip():
    assert Preprocessing.from_dict(CONTRACT.to_dict()) == CONTRACT


def test_other_sizes_keep_the_share_of_the_crop():
    assert CONTRACT.resized_to((88, 88)).resize == (96, 96)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": (0, 4)}, "positive"),
        ({"size": (4,)}, "two positive"),
        ({"resize": (40, 48)}, "at least `size`"),
        ({"std": (1.0, 0.0, 1.0)}, "positive"),
        ({"mean": (float("nan"), 0.0, 0.0)}, "finite"),
        ({"face_scale": -1.0}, "positive"),
    ],
)
def test_wrong_contracts_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing(**{"size": (44, 44), "resize": (48, 48), **arguments})


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="another version"):
        Preprocessing.from_dict({**CONTRACT.to_dict(), "gamma": 2.2})


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 4), (0, 4, 3), (2, 4, 4, 3)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(ValueError, match="Received: shape"):
        as_rgb(np.zeros(shape, np.uint8))


def test_an_empty_box_is_refused():
    with pytest.raises(ValueError, match="positive width"):
        CONTRACT.crop_face(np.zeros((9, 9), np.uint8), (1, 1, 0, 5))
