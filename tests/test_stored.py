"""Pictures on disk: as files, scanned, and decoded into one array file."""

import dataclasses
import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from layouts import LAYOUTS, picture, save

import kerafer
from kerafer.data import stored
from kerafer.data.pictures import groups
from kerafer.data.pipeline import TrainingBatches
from kerafer.data.scanning import scan
from kerafer.data.stored import DecodedImages, ImageFiles, Names, decode
from kerafer.data.threads import THREADS, in_order
from kerafer.images import read_image
from kerafer.preprocess import Preprocessing

SIZES = ((48, 48), (30, 64), (52, 44))


def whole(size):
    return Preprocessing(size=size, resize=size)


@pytest.fixture
def files(tmp_path):
    """Nine pictures of several sizes and formats."""
    sizes = ((52, 44), (20, 90), (100, 100))
    paths = [save(tmp_path / f"{i}.{'png' if i % 2 else 'jpg'}", i, size=sizes[i % 3]) for i in range(9)]
    return ImageFiles(tmp_path, [path.name for path in paths])


@pytest.fixture
def faces_on_disk(tmp_path):
    """RAF-DB's layout, training split, nine pictures."""
    return kerafer.load_data(LAYOUTS["rafdb"](tmp_path / "rafdb").source, "train")


def numbered(path, count=50, shape=(6, 4)):
    """Write pictures whose values tell their number and position."""
    images = np.arange(count * int(np.prod(shape))).reshape(count, *shape).astype(np.uint8)
    np.save(path, images)
    return images


@pytest.mark.parametrize("size", SIZES)
def test_files_are_resized_as_the_contract_does(files, size):
    index = np.array([4, 0, 0, 8, -1])
    expected = [whole(size).pixels(read_image(files.path(i))) for i in (4, 0, 0, 8, 8)]
    np.testing.assert_array_equal(files.pixels(index, size), expected)
    mask = np.arange(9) % 2 == 0
    np.testing.assert_array_equal(files.take(mask).pixels(np.array([1]), size), files.pixels(np.array([2]), size))
    assert files.pixels(np.array([], int), size).shape == (0, *size, 3)


def test_boxes_cut_and_may_reach_beyond_the_picture(files):
    boxes = np.tile([4, 6, 10, 12], (9, 1))
    boxes[1] = [-5, -5, 15, 1000]
    cut = ImageFiles(files.root, files.names, boxes)
    np.testing.assert_array_equal(cut[0], files[0][6:18, 4:14])
    np.testing.assert_array_equal(cut[1], files[1][:, :10])
    boxes[2] = [500, 5, 10, 10]
    with pytest.raises(ValueError, match=r"2\.jpg: expected a face box .* of 100x100 pixels"):
        ImageFiles(files.root, files.names, boxes)[2]
    with pytest.raises(ValueError, match=r"`boxes` must have one row a name, 9\. Received: 3"):
        ImageFiles(files.root, files.names, boxes[:3])


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_decoded_equals_files_pixel_for_pixel(tmp_path, size, gray):
    for i in range(7):
        save(tmp_path / "pictures" / "happy" / f"{i}.png", i, gray=gray)
        save(tmp_path / "pictures" / "sad" / f"{i}.jpg", 10 + i, gray=gray)
    data = kerafer.load_data(f"folder:{tmp_path / 'pictures'}")
    decoded = decode(data, tmp_path / "cache", size)
    assert isinstance(decoded.images, DecodedImages)
    assert decoded.is_gray == data.is_gray == gray
    contract = whole(size)
    index = np.array([5, 3, 4, 13, 0, 0])
    expected = data.pixels(index, contract)
    assert expected.shape == (6, *size) if gray else (6, *size, 3)
    np.testing.assert_array_equal(decoded.pixels(index, contract), expected)
    np.testing.assert_array_equal(decoded.take(index).images[2], expected[2])
    np.testing.assert_array_equal(decoded.inputs(contract), data.inputs(contract))
    assert decoded.checksum() == data.checksum()
    assert decoded.take(index).checksum() == data.take(index).checksum() != data.checksum()
    np.testing.assert_array_equal(decoded.labels, data.labels)


def test_pixels_of_another_size_are_resized_from_the_stored(tmp_path):
    images = numbered(tmp_path / "a.npy", shape=(6, 4, 3))
    found = DecodedImages(tmp_path / "a.npy").pixels(np.array([7, 3]), (9, 11))
    np.testing.assert_array_equal(found, [whole((9, 11)).pixels(images[i]) for i in (7, 3)])


def test_decoding_happens_once_and_again_where_the_file_is_damaged(faces_on_disk, tmp_path, monkeypatch):
    decoded = decode(faces_on_disk, tmp_path / "cache", (48, 48))
    path = decoded.images.path
    assert path.name == f"{faces_on_disk.checksum()}-48x48.npy"
    expected = np.load(path, mmap_mode="r", allow_pickle=False)
    assert expected.shape == (9, 48, 48, 3)
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(stored, "read_image", None)  # nothing may be decoded now
    assert decode(faces_on_disk, tmp_path / "cache", (48, 48)).images.path.stat().st_mtime_ns == before
    assert decode(decoded, tmp_path / "cache", (32, 32)) is decoded
    monkeypatch.undo()
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    again = decode(faces_on_disk, tmp_path / "cache", (48, 48))
    assert again.images.path.read_bytes() == content
    assert list((tmp_path / "cache").iterdir()) == [path]


def test_a_picture_that_vanished_is_named_and_leaves_no_half_file(faces_on_disk, tmp_path):
    faces_on_disk.images.path(4).unlink()
    with pytest.raises(FileNotFoundError, match="train_00005_aligned"):
        decode(faces_on_disk, tmp_path / "cache", (48, 48))
    assert list((tmp_path / "cache").iterdir()) == []


def test_size_is_checked(faces_on_disk, tmp_path):
    with pytest.raises(ValueError, match="positive integers"):
        decode(faces_on_disk, tmp_path, (48, 0))


@pytest.mark.parametrize("index", [[3], [0, 1, 2, 3], [9, 8, 7], [4, 5, 6, 1, 2, 30, 49], [7, 7], [-1, 0], []], ids=str)
def test_any_index_reads_what_numpy_gives(tmp_path, index):
    images = numbered(tmp_path / "a.npy")
    index = np.array(index, int)
    read = DecodedImages(tmp_path / "a.npy")
    np.testing.assert_array_equal(read.pixels(index, (6, 4)), images[index])
    np.testing.assert_array_equal(read.take(index).pixels(np.arange(len(index)), (6, 4)), images[index])
    assert len(read.take(index)) == len(index)
    with pytest.raises(IndexError):
        read.pixels(np.array([50]), (6, 4))


def test_neighbours_are_read_in_one_call_and_short_reads_go_on(tmp_path, monkeypatch):
    images = numbered(tmp_path / "a.npy")
    read, calls = DecodedImages(tmp_path / "a.npy"), []
    preadv = os.preadv

    def counting(descriptor, buffers, position):
        calls.append(position)
        return preadv(descriptor, [buffers[0][:limit]], position)

    monkeypatch.setattr(os, "preadv", counting)
    index, limit = np.array([10, 11, 12, 40, 41, 3]), 10**6
    np.testing.assert_array_equal(read.pixels(index, (6, 4)), images[index])
    assert calls == [128 + 24 * first for first in (10, 40, 3)]
    limit = 7
    np.testing.assert_array_equal(read.pixels(index, (6, 4)), images[index])


def test_a_cut_off_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    numbered(path)
    read = DecodedImages(path)
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with pytest.raises(ValueError, match=r"expected 1,328 bytes .* Received: 1,323 bytes"):
        DecodedImages(path)
    with pytest.raises(ValueError, match="shorter than when it was opened"):
        read.pixels(np.array([49]), (6, 4))
    for wrong in (np.zeros((3, 4, 4), np.float32), np.zeros((3, 4), np.uint8), np.zeros((3, 4, 4, 4), np.uint8)):
        np.save(path, wrong)
        with pytest.raises(ValueError, match=r"a\.npy: expected \(n, height, width"):
            DecodedImages(path)
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"a\.npy is not a \.npy file"):
        DecodedImages(path)


def test_resident_memory_stays_flat(tmp_path):
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    count = 2000
    header = np.lib.format.header_data_from_array_1_0(np.empty((0, 128, 128, 3), np.uint8))
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (count, 128, 128, 3)})
        file.truncate(file.tell() + count * 128 * 128 * 3)  # 98 MB

    def resident():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))

    read = DecodedImages(tmp_path / "a.npy")
    read.pixels(np.arange(64), (128, 128))
    before = resident()
    for start in range(0, count - 64, 64):
        read.pixels(np.arange(start, start + 64), (128, 128))
    assert resident() - before < 30_000  # kB


def test_pictures_on_disk_can_be_pickled(faces_on_disk, tmp_path):
    decoded = decode(faces_on_disk, tmp_path / "cache", (48, 48))
    for data in (faces_on_disk, decoded):
        copy = pickle.loads(pickle.dumps(data.images))  # noqa: S301 - made in this line
        np.testing.assert_array_equal(copy.pixels(np.arange(9), (48, 48)), data.images.pixels(np.arange(9), (48, 48)))


def test_training_batches_are_the_same_from_all_three_forms(faces_on_disk, tmp_path):
    contract = kerafer.model_spec("ean").preprocessing
    decoded = decode(faces_on_disk, tmp_path / "cache", contract.resize)
    memory = dataclasses.replace(faces_on_disk, images=faces_on_disk.pixels(np.arange(9), contract))
    forms = (faces_on_disk, decoded, memory)
    batches = [TrainingBatches(data, contract, 4, ("random_crop", "flip"), seed=3).batch(5) for data in forms]
    for x, y in batches[1:]:
        np.testing.assert_array_equal(x, batches[0][0])
        np.testing.assert_array_equal(y, batches[0][1])


def test_checksum_is_the_same_with_and_without_a_scan(files):
    found = scan(files)
    scanned = ImageFiles(files.root, files.names, hashes=found.hashes)
    digests = [hashlib.sha256(), hashlib.sha256()]
    files.take(np.array([3, 1])).update(digests[0])
    scanned.take(np.array([3, 1])).update(digests[1])
    assert digests[0].hexdigest() == digests[1].hexdigest()


def test_scan_tells_gray_black_equal_and_unreadable(tmp_path):
    save(tmp_path / "colour.png", 1)
    save(tmp_path / "gray.jpg", 2, gray=True)
    picture(3).point(lambda _: 0).save(tmp_path / "black.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "colour.png").read_bytes())
    (tmp_path / "cut.png").write_bytes((tmp_path / "colour.png").read_bytes()[:200])
    names = ["colour.png", "gray.jpg", "black.png", "copy.png", "cut.png", "none.png"]
    found = scan(ImageFiles(tmp_path, names))
    assert found.readable.tolist() == [True] * 4 + [False] * 2
    assert found.gray.tolist() == [False, True, True, False, False, False]
    assert found.black.tolist() == [False, False, True, False, False, False]
    assert set(found.problems) == {4, 5}
    assert found.problems[5] == "There is no picture none.png."
    assert str(tmp_path) not in found.problems[4]
    np.testing.assert_array_equal(found.hashes[0], found.hashes[3])
    assert len({bytes(h) for h in found.hashes[:4]}) == 3
    boxed = scan(ImageFiles(tmp_path, ["colour.png", "copy.png"], np.array([[0, 0, 9, 9], [1, 0, 9, 9]])))
    assert bytes(boxed.hashes[0]) != bytes(boxed.hashes[1])


def test_a_scan_is_kept_until_a_file_changes(files, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = scan(files, cache)
    (kept,) = cache.iterdir()

    def same(found):
        return all(
            np.array_equal(getattr(found, name), getattr(first, name)) for name in ("hashes", "gray", "readable")
        )

    monkeypatch.setattr(stored, "read_image", None)  # opening a picture would now be told as a problem
    assert same(scan(files, cache))
    assert len(scan(files).problems) == len(files)
    monkeypatch.undo()
    kept.write_bytes(kept.read_bytes()[:100])
    assert same(scan(files, cache))
    save(files.path(3), 77)
    changed = scan(files, cache)
    assert (changed.hashes != first.hashes).any(axis=1).tolist() == [i == 3 for i in range(9)]
    assert len(list(cache.iterdir())) == 2


def test_whatever_a_decoder_raises_is_told_as_a_problem(files, monkeypatch):
    def broken(path):
        raise IndexError("beyond the end")

    monkeypatch.setattr(stored, "read_image", broken)
    assert scan(files.take(np.array([0]))).problems == {0: "IndexError: beyond the end"}


def test_a_problem_that_passes_is_forgotten(files, tmp_path, monkeypatch):
    def refused(path):
        if path.name == "3.png":
            raise PermissionError("not allowed")
        return read_image(path)

    expected = scan(files)
    monkeypatch.setattr(stored, "read_image", refused)
    assert scan(files, tmp_path / "cache").problems == {3: "not allowed"}
    monkeypatch.undo()
    found = scan(files, tmp_path / "cache")
    assert found.problems == {}
    assert found.readable.all()
    np.testing.assert_array_equal(found.hashes, expected.hashes)


def test_damaged_cache_is_not_unpickled(files, tmp_path):
    cache = tmp_path / "cache"
    scan(files, cache)
    (kept,) = cache.iterdir()
    np.savez(kept, **{name: np.array([{"a": 1}]) for name in ("hashes", "flags")})
    assert scan(files, cache).readable.all()


def test_names_are_kept_as_they_are():
    texts = ["a.jpg", "", "ü/ž 1.png", os.fsdecode(b"\xff.jpg"), "x" * 500]
    names = Names(texts)
    assert list(names) == texts
    assert len(names) == 5
    with pytest.raises(IndexError):
        names[5]


def test_work_is_done_in_order_and_only_a_little_ahead():
    drawn = []

    def parts():
        for i in range(1000):
            drawn.append(i)
            yield i

    results = in_order(lambda i: i * i, parts())
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(drawn) <= 3 + 2 * THREADS + 1
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda i: 1 // i, [1, 0]))


def test_groups_of_equal_hashes():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2, (300, 16)).astype(np.uint8)
    hashes[:, 2:14] = 0
    expected = [sorted({bytes(h) for h in hashes}).index(bytes(h)) for h in hashes]
    assert groups(hashes).tolist() == expected
    assert groups(np.zeros((0, 16), np.uint8)).tolist() == []
