"""Augmentations: what each does to pixels, and that an image depends on its own random numbers alone."""

import json

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

import kerafer
from kerafer.cli.main import main
from kerafer.data.augment import AUGMENTATIONS, CUTTING, augment
from kerafer.data.augment import photometric as light
from kerafer.data.augment.drawing import augmented_views, choose_images, draw_augmentations
from kerafer.data.samples import synthetic, synthetic_faces, write_synthetic_csv
from kerafer.images import read_image

CONTRACT = kerafer.model_spec("ean").preprocessing
SIZE = CONTRACT.size
NUMBERED = np.arange(48 * 48).reshape(1, 48, 48).repeat(400, axis=0)
GRAY = synthetic_faces(24)[0]
RGB = np.random.default_rng(3).integers(0, 256, (24, 48, 48, 3), dtype=np.uint8)


def apply(name, images, size=SIZE, seed=0):
    one = AUGMENTATIONS[name]
    return one.apply(images, size, np.random.default_rng(seed).random((len(images), one.draws)))


def operation(name, images, strength, seed=0.5):
    out = images.copy()
    n = len(images)
    light._apply(name, out, np.arange(n), np.full(n, strength), np.full(n, seed), 0)
    return out


@pytest.mark.parametrize("images", [GRAY, RGB], ids=["gray", "rgb"])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_keeps_type_and_input_and_gives_rows_alone(name, images):
    before = images.copy()
    names = (name,) if name in CUTTING else (name, "random_crop")
    whole = augment(images, names, SIZE, np.random.default_rng(5))
    assert whole.shape == (len(images), *SIZE, *images.shape[3:])
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(images, before)
    rows = np.array([17, 2, 9])
    part = augment(images[rows], names, SIZE, np.random.default_rng(5), rows=rows, of=len(images))
    np.testing.assert_array_equal(part, whole[rows])
    other = augment(images, names, SIZE, np.random.default_rng(6))
    assert not np.array_equal(other, whole)
    own = AUGMENTATIONS[name].apply(images, SIZE, np.zeros((len(images), AUGMENTATIONS[name].draws)))
    assert not np.shares_memory(own, images)


def test_parts_of_a_batch_make_up_the_whole():
    names = ("photometric", "affine", "mild_resized_crop", "flip", "cutout")
    whole = augment(RGB, names, SIZE, np.random.default_rng(1))
    parts = [
        augment(RGB[host::3], names, SIZE, np.random.default_rng(1), rows=np.arange(24)[host::3], of=24)
        for host in range(3)
    ]
    np.testing.assert_array_equal(np.stack(parts, axis=1).reshape(whole.shape), whole)
    assert len({image.tobytes() for image in whole}) == 24


def test_five_crop_cuts_corners_and_centre_only():
    crops = apply("five_crop", NUMBERED)
    assert set(crops[:, 0, 0]) == {0, 4, 2 * 48 + 2, 4 * 48, 4 * 48 + 4}
    np.testing.assert_array_equal(crops[0, 1] - crops[0, 0], 48)


def test_random_crop_cuts_everywhere():
    crops = apply("random_crop", NUMBERED)
    assert set(crops[:, 0, 0]) == {48 * y + x for y in range(5) for x in range(5)}


def test_flip_mirrors_about_half():
    flipped = apply("flip", NUMBERED)
    mirrored = flipped[:, 0, 0] == 47
    assert 120 < mirrored.sum() < 280
    np.testing.assert_array_equal(flipped[mirrored][0], NUMBERED[0, :, ::-1])
    np.testing.assert_array_equal(flipped[~mirrored][0], NUMBERED[0])


@pytest.mark.parametrize(("name", "least"), [("random_resized_crop", 0.08), ("mild_resized_crop", 0.6)])
def test_resized_crops_keep_area_and_shape_in_range(name, least):
    side = 100
    y, x = np.mgrid[:side, :side].astype(np.uint8)
    images = np.stack([x, y, np.zeros_like(x)], axis=-1)[None].repeat(300, axis=0)
    crops = apply(name, images, (50, 50)).astype(np.float64)
    # each channel is a ramp, so its slope in the result tells the window's side
    widths = (crops[:, :, -1, 0] - crops[:, :, 0, 0]).mean(axis=1) + 2
    heights = (crops[:, -1, :, 1] - crops[:, 0, :, 1]).mean(axis=1) + 2
    area, shape = widths * heights / side**2, widths / heights
    assert least * 0.85 < area.min() < least + 0.1
    assert area.max() > 0.9
    assert 0.7 < shape.min() < 0.8
    assert 1.25 < shape.max() < 1.45
    assert np.mean(np.log(shape)) == pytest.approx(0, abs=0.05)


def test_a_window_that_never_fits_is_cut_from_the_centre():
    images = np.arange(200, dtype=np.uint8).reshape(1, 1, 200).repeat(10, axis=1)  # (1, 10, 200)
    u = np.full((1, AUGMENTATIONS["random_resized_crop"].draws), 0.999)  # all of the area never fits
    [crop] = AUGMENTATIONS["random_resized_crop"].apply(images, (10, 13), u)
    np.testing.assert_array_equal(crop[0], np.arange(93, 106))


def test_affine_in_the_middle_of_its_range_changes_nothing():
    u = np.full((len(RGB), 5), 0.5)
    np.testing.assert_array_equal(AUGMENTATIONS["affine"].apply(RGB, SIZE, u), RGB)


@pytest.mark.parametrize(
    ("draw", "down", "right"),
    [
        (0, 40 * np.sin(np.deg2rad(12)), 40 * np.cos(np.deg2rad(12))),  # 12 degrees
        (1, 0, 40),  # shear leaves the row through the centre
        (2, 0, 40 * 1.1),
        (3, 0, 40 + 0.06 * 101),
        (4, 0.06 * 101, 40),
    ],
)
def test_affine_turns_scales_and_shifts_about_the_centre(draw, down, right):
    image = np.zeros((1, 101, 101), np.uint8)
    image[0, 49:52, 89:92] = 255  # 40 to the right of the centre
    u = np.full((1, 5), 0.5)
    u[0, draw] = 1.0
    [out] = AUGMENTATIONS["affine"].apply(image, SIZE, u)
    found = np.argwhere(out > 127).mean(axis=0) - 50
    np.testing.assert_allclose(found, (down, right), atol=0.6)


def test_affine_shears_sideways():
    image = np.zeros((1, 101, 101), np.uint8)
    image[0, 89:92, 49:52] = 255  # 40 below the centre
    [out] = AUGMENTATIONS["affine"].apply(image, SIZE, np.array([[0.5, 1.0, 0.5, 0.5, 0.5]]))
    found = np.argwhere(out > 127).mean(axis=0) - 50
    np.testing.assert_allclose(found, (40, 40 * np.tan(np.deg2rad(8))), atol=0.6)


def test_affine_repeats_the_edge():
    flat = np.full((50, 20, 20), 90, np.uint8)
    np.testing.assert_array_equal(apply("affine", flat), flat)


def test_cutout_fills_one_square_with_the_mean():
    out = apply("cutout", RGB)
    sides = []
    for before, after in zip(RGB, out, strict=True):
        changed = np.argwhere((before != after).any(axis=-1))
        (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0) + 1
        sides.append(max(bottom - top, right - left))
        square = after[top:bottom, left:right].reshape(-1, 3)
        np.testing.assert_array_equal(
            square, np.rint(before.mean(axis=(0, 1))).astype(np.uint8)[None].repeat(len(square), 0)
        )
    assert max(sides) <= 24
    assert len(set(sides)) > 8


def test_gray_is_luma():
    out = apply("gray", RGB)
    np.testing.assert_allclose(out[..., 0], RGB @ np.array([0.299, 0.587, 0.114]), atol=0.51)
    np.testing.assert_array_equal(out[..., :1].repeat(3, axis=-1), out)
    np.testing.assert_array_equal(apply("gray", GRAY), GRAY)


@pytest.mark.parametrize("images", [GRAY, RGB], ids=["gray", "rgb"])
@pytest.mark.parametrize(
    ("name", "strength"),
    [("brightness", 0.5), ("contrast", 0.5), ("gamma", 0.5), ("equalize", 0.0), ("sharpen", 0.0)],
)
def test_neutral_strengths_change_nothing(name, strength, images):
    np.testing.assert_array_equal(operation(name, images, strength), images)


def test_what_the_operations_do():
    mean = GRAY.mean()
    assert operation("brightness", GRAY, 0.75).mean() == pytest.approx(mean + 30, abs=3)
    assert operation("contrast", GRAY, 0.0).std() == pytest.approx(GRAY.std() / 2, rel=0.2)
    np.testing.assert_array_equal(
        operation("gamma", GRAY, 0.0), np.rint(255 * np.sqrt(GRAY / np.float64(255))).astype(np.uint8)
    )
    assert set(np.unique(operation("posterize", RGB, 0.99))) == {16 + 32 * k for k in range(8)}
    flat = np.sort(operation("equalize", GRAY, 1.0).reshape(24, -1), axis=1)
    np.testing.assert_allclose(flat[:, ::100], np.linspace(0, 255, 2304)[::100][None].repeat(24, 0), atol=12)
    assert operation("blur", RGB, 0.9).std() < 0.5 * RGB.std()
    assert operation("sharpen", GRAY, 0.9).std() > GRAY.std()
    middle = np.full((24, 48, 48), 128, np.uint8)
    noisy = operation("noise", middle, 0.5, seed=0.123).astype(np.float64) - 128
    assert noisy.mean() == pytest.approx(0, abs=1)
    assert noisy.std() == pytest.approx(11, rel=0.05)
    assert not np.array_equal(operation("noise", middle, 0.5, seed=0.123), operation("noise", middle, 0.5, seed=0.124))
    np.testing.assert_array_equal(operation("saturation", RGB, 0.9 / 1.9), RGB)
    vivid = cv2.cvtColor(RGB.reshape(-1, 48, 3), cv2.COLOR_RGB2HSV)[..., 1].mean()
    for strength, factor in ((0.0, 0.3), (0.3, 0.8)):
        dull = operation("saturation", RGB, strength)
        assert cv2.cvtColor(dull.reshape(-1, 48, 3), cv2.COLOR_RGB2HSV)[..., 1].mean() < factor * vivid


def test_photometric_uses_every_operation_and_never_moves_pixels():
    u = np.random.default_rng(0).random((400, 5))
    seen = {int(c * len(light.OPERATIONS)) for c in u[:, 0]}
    assert seen == set(range(len(light.OPERATIONS)))
    half = np.zeros((400, 48, 48), np.uint8)
    half[:, :, 24:] = 200
    out = light.photometric(half, SIZE, u).astype(np.float64)
    assert (out[:, :, 30:].mean(axis=(1, 2)) > out[:, :, :18].mean(axis=(1, 2)) + 20).all()


def test_wrong_arguments_are_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"five_crop.*Received: 'rotate'"):
        augment(GRAY, ("rotate",), SIZE, rng)
    with pytest.raises(ValueError, match=r"48x48 to \(44, 44\); use one of five_crop.*Received: \('flip',\)"):
        augment(GRAY, ("flip",), SIZE, rng)
    with pytest.raises(ValueError, match=r"at least 50x50.*Received: 48x48"):
        augment(GRAY, ("random_crop",), (50, 50), rng)
    with pytest.raises(ValueError, match=r"Received: float64\(400, 48, 48\)"):
        augment(NUMBERED.astype(np.float64), ("five_crop",), SIZE, rng)
    for rows, of in ([[0, 24], 24], [[-1, 3], 24], [[1], 24], [[0, 1], 1]):
        with pytest.raises(ValueError, match="`rows` must be"):
            augment(GRAY[:2], ("five_crop",), SIZE, rng, rows=rows, of=of)


def test_preview_shows_each_class_and_what_a_training_sees():
    data = synthetic(35)
    index = choose_images(data, 14)
    assert np.bincount(data.labels[index]).tolist() == [2] * 7
    images, seen = augmented_views(data, index, CONTRACT, ("five_crop",), 6, seed=1)
    np.testing.assert_array_equal(images, data.images[index])
    assert seen.shape == (14, 6, 44, 44)
    offsets = [(0, 0), (0, 4), (2, 2), (4, 0), (4, 4)]
    places = set()
    for image, versions in zip(images, seen, strict=True):
        for version in versions:
            [place] = [(y, x) for y, x in offsets if np.array_equal(image[y : y + 44, x : x + 44], version)]
            places.add(place)
    assert places == set(offsets)
    _, centre = augmented_views(data, index[:1], CONTRACT, (), 2)
    np.testing.assert_array_equal(centre[0, 1], images[0, 2:46, 2:46])
    for wrong in ({"count": 0}, {"views": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            augmented_views(data, choose_images(data, wrong.get("count", 2)), CONTRACT, (), wrong.get("views", 2))


def test_a_preview_is_a_figure_of_the_chosen_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = synthetic(35)
    figure = draw_augmentations(data, CONTRACT, ("five_crop", "flip"), None, count=5, views=3, seed=4)
    assert isinstance(figure, Figure)
    classes = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert classes == [data.class_names[label] for label in data.labels[choose_images(data, 5, 4)]]
    assert not list(tmp_path.iterdir())


def test_the_command_draws_a_preview(tmp_path, capsys):
    source = f"fer2013:{write_synthetic_csv(tmp_path / 'faces.csv', train=21)}"
    out = tmp_path / "preview.png"
    arguments = ["data", "preview", source, "--count", "3", "--views", "2", "--out", str(out), "--json"]
    assert main([*arguments, "--augmentation", "mild_resized_crop", "photometric"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["augmentation"] == ["mild_resized_crop", "photometric"]
    data = kerafer.load_data(source, progress=False)
    assert told["rows"] == data.rows[choose_images(data, 3)].tolist()
    drawn = read_image(out)
    assert main([*arguments, "--augmentation", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["augmentation"] == []
    assert not np.array_equal(drawn, read_image(out))
    assert main([*arguments, "--recipe", "ean_paper"]) == 0
    assert json.loads(capsys.readouterr().out)["augmentation"] == ["five_crop", "flip"]
    assert main([*arguments, "--augmentation", "blur"]) == 2
    assert "must be among five_crop" in capsys.readouterr().err
