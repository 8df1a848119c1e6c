"""Pictures of every kind, read as a person sees them."""

import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from kerafer import images
from kerafer.data.samples import portrait
from kerafer.images import read_image


@pytest.fixture
def gradient():
    """An asymmetric RGB picture, 30 high and 40 wide."""
    y, x = np.mgrid[:30, :40]
    return np.stack([x * 6, y * 8, 0 * x], axis=-1).astype(np.uint8)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_rgb(tmp_path, gradient):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient))
    np.testing.assert_array_equal(read_image(path), gradient)


def test_gray(tmp_path, gradient):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient[..., 0]))
    np.testing.assert_array_equal(read_image(path), np.repeat(gradient[..., :1], 3, axis=-1))


def test_16_bits(tmp_path, gradient):
    wide = gradient[..., 0].astype(np.uint16) * 257
    path = saved(tmp_path / "a.png", Image.fromarray(wide))
    np.testing.assert_array_equal(read_image(path)[..., 0], gradient[..., 0])


def test_16_bit_tiff(tmp_path, gradient):
    path = saved(tmp_path / "a.tiff", Image.fromarray(gradient[..., 0].astype(np.uint16) * 257))
    np.testing.assert_array_equal(read_image(path)[..., 0], gradient[..., 0])


def test_transparent_pixels_are_laid_over_white(tmp_path, gradient):
    alpha = np.zeros((30, 40, 1), np.uint8)
    alpha[:, 20:] = 255
    path = saved(tmp_path / "a.png", Image.fromarray(np.concatenate([gradient, alpha], axis=-1)))
    image = read_image(path)
    assert (image[:, :20] == 255).all()
    np.testing.assert_array_equal(image[:, 20:], gradient[:, 20:])


@pytest.mark.parametrize("mode", ["P", "1", "LA", "CMYK"])
def test_other_modes(tmp_path, gradient, mode):
    suffix = "tiff" if mode == "CMYK" else "png"
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(gradient).convert(mode))
    image = read_image(path)
    assert image.shape == (30, 40, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_rotation(tmp_path, gradient, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = {3: 2, 6: 1, 8: 3}[orientation]  # quarter turns that the camera asks to be undone
    path = saved(tmp_path / "a.png", Image.fromarray(np.rot90(gradient, turns)), exif=exif)
    np.testing.assert_array_equal(read_image(path), gradient)


def test_first_frame_of_an_animation(tmp_path, gradient):
    frames = [Image.fromarray(gradient), Image.fromarray(gradient[::-1].copy())]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif").shape == (30, 40, 3)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_a_truncated_picture_is_named(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(portrait()))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ValueError, match=r"a\.jpg cannot be read"):
        read_image(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        read_image(tmp_path / "b.png")
    with pytest.raises(ValueError, match="cannot be read"):
        read_image(tmp_path)


def test_too_many_pixels_are_refused(tmp_path, gradient, monkeypatch):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient))
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match="more than 1,000"):
        read_image(path)


def test_pillows_own_limits_do_not_show(tmp_path, gradient, monkeypatch):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient))
    images._have_one_limit.cache_clear()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # it warns above, and refuses above twice as many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_image(path), gradient)
    images._have_one_limit.cache_clear()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(ValueError, match=r"a\.png has more than 150,000,000 pixels\. Make it smaller"):
        read_image(path)


@pytest.mark.parametrize("error", [struct.error("short"), KeyError(7), OverflowError("wide"), MemoryError()])
def test_whatever_a_decoder_trips_over_is_told_as_a_bad_picture(tmp_path, gradient, monkeypatch, error):
    path = saved(tmp_path / "a.png", Image.fromarray(gradient))

    def fail(*_):
        raise error

    monkeypatch.setattr(images, "_to_rgb", fail)
    with pytest.raises(ValueError, match=r"a\.png cannot be read as a picture: ('?\w|7)"):
        read_image(path)


def test_no_other_program_is_started_for_a_picture(tmp_path, gradient, monkeypatch):
    from PIL import EpsImagePlugin

    path = saved(tmp_path / "a.eps", Image.fromarray(gradient)).rename(tmp_path / "a.png")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was asked"))
    with pytest.raises(ValueError, match=r"a\.png is not a picture in a known format \(JPEG, PNG"):
        read_image(path)
