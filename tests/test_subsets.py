"""Lists that name a part of a split, in the forms that were published."""

import numpy as np
import pytest
from predicted import named, written

import kerafer
from kerafer.data.samples import synthetic
from kerafer.evaluation import image_names, read_subset

NAMES = ("test/4/test_0001_aligned.jpg", "test/4/test_0002_aligned.jpg", "test/5/1a2b.jpg", "test/1/fer0032220.png")


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("test/4/test_0001_aligned.jpg", [0]),
        ("4/test_0002_aligned.jpg\r\n", [1]),
        ("3/test_0002_aligned.jpg", [1]),  # the list numbers the classes in another way
        ("test_0001_aligned.jpg,5\n", [0]),
        ("test_0002_aligned 3 2\ntest_0001 0 4\n", [0, 1]),
        ("test_0001.png", [0]),
        ("val/5/1a2b/\n", [2]),
        ("5/1a2b/8.jpg", [2]),
        ("1_fer0032220.png 8 0", [3]),
        ("\ufeff# a comment\n\n1/fer0032220.jpg\n", [3]),
        ("test_0001 1\ntest_0001 1\n", [0]),
    ],
)
def test_published_forms_of_lists(tmp_path, text, index):
    path = tmp_path / "list.txt"
    path.write_bytes(text.encode())
    assert read_subset(named(*NAMES), path).index.tolist() == index


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("test_0001\ntest_0009\n", "line 2: 'test_0009' fits no image"),
        ("test_0001\ntest_0001_aligned.jpg\n", "line 2: .* fits the same image as line 1"),
        ("", "it names nothing"),
    ],
)
def test_names_that_fit_nothing_are_told_with_their_line(tmp_path, text, words):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"list\.txt must name images of synthetic train(?s:.*){words}"):
        read_subset(named(*NAMES), path)


def test_names_that_fit_several_images_are_refused_or_skipped(tmp_path):
    data, path = named("a/1.jpg", "b/1.jpg", "b/2.jpg"), tmp_path / "list.txt"
    path.write_text("1.jpg\nb/1.jpg\n2.jpg\nc/9.jpg\n")
    with pytest.raises(ValueError, match=r"line 1: '1\.jpg' fits 2 images\.\n  line 4"):
        read_subset(data, path)
    subset = read_subset(data, path, on_error="skip")
    assert subset.index.tolist() == [1, 2]
    assert len(subset.problems) == 2
    assert subset.entries == 4
    path.write_text("nothing\n")
    with pytest.raises(ValueError, match="fits no image"):
        read_subset(data, path, on_error="skip")


def test_names_stay_with_their_images(ean, tmp_path):
    # a part of a data set has the names of this part, and the list finds the same pictures in it
    folder, path = tmp_path / "pictures", tmp_path / "list.txt"
    folder.mkdir()
    data = written(folder, 14)
    part = data.take(np.array([12, 5, 9]))
    assert image_names(part) == ["12.png", "5.png", "9.png"]
    path.write_text("9.png\n12 x\n")
    assert read_subset(part, path).index.tolist() == [0, 2]
    assert read_subset(data, path).index.tolist() == [9, 12]
    inside, outside = kerafer.evaluate(ean, part, subset=path), kerafer.evaluate(ean, data, subset=path)
    assert inside.accuracy == outside.accuracy
    assert inside.confusion == outside.confusion == kerafer.evaluate(ean, synthetic(14), subset=[9, 12]).confusion


def test_a_name_with_a_space_or_a_comma(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("my face, left.jpg\n")
    assert read_subset(named("my face, left.jpg", "my"), path).index.tolist() == [0]


def test_images_in_memory_are_named_by_their_rows(ean, faces, tmp_path):
    some = faces.take(np.array([20, 3, 17]))
    assert image_names(some) == ["20", "3", "17"]
    path = tmp_path / "rows.txt"
    path.write_text("17 sad\n20\n")
    assert read_subset(some, path).index.tolist() == [0, 2]
    path.write_text("3_17\n")  # a label before the name is for files only
    with pytest.raises(ValueError, match="line 1: '3_17' fits no image"):
        read_subset(some, path)
    path.write_text("5\n9\n")
    measured = kerafer.evaluate(ean, faces, subset=path)
    assert (measured.images, measured.subset) == (2, "rows.txt")
    assert measured.accuracy == kerafer.evaluate(ean, faces.take(np.array([5, 9]))).accuracy
    assert kerafer.evaluate(ean, faces, subset=np.array([5, 9])).confusion == measured.confusion


def test_lists_that_cannot_be_read(tmp_path, faces):
    with pytest.raises(FileNotFoundError, match="no list"):
        read_subset(faces, tmp_path / "none.txt")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="must be text in UTF-8"):
        read_subset(faces, tmp_path / "list.txt")
    with pytest.raises(ValueError, match="`on_error` must be one of"):
        read_subset(faces, tmp_path / "list.txt", on_error="ignore")
