"""FER2013 in its three forms, and what is refused, reported or dropped."""

import numpy as np
import pytest
from PIL import Image

import kerafer
from kerafer.data import fer2013
from kerafer.data.samples import synthetic_faces, write_synthetic_csv
from kerafer.labels import LABELS_7


def rows_of(path):
    return path.read_text().splitlines()


def rewrite(path, rows):
    path.write_text("\n".join(rows) + "\n")
    return path


def test_official_csv(fer_csv):
    images, labels = synthetic_faces(14, seed=0)
    data = kerafer.load_data(f"fer2013:{fer_csv}", "train")
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.labels, labels)
    assert (data.class_names, data.split, len(data)) == (LABELS_7, "train", 14)
    assert len(fer2013.read(fer_csv, "public")) == 7


def test_columns_in_kaggles_order(fer_csv):
    rows = [",".join((r.split(",")[0], r.split(",")[2], r.split(",")[1])) for r in rows_of(fer_csv)]
    rows[0] = "emotion, Usage, pixels"
    before = fer2013.read(fer_csv, "train").checksum()
    assert fer2013.read(rewrite(fer_csv, rows), "train").checksum() == before


def test_npz_folder_and_file(fer_csv, tmp_path):
    train, public = fer2013.read(fer_csv, "train"), fer2013.read(fer_csv, "public")
    folder = tmp_path / "npz"
    folder.mkdir()
    votes = np.zeros((14, 10), np.int64)
    votes[:, 1] = 10
    np.savez(folder / "train.npz", images=train.images, labels=train.labels, votes=votes)
    np.savez(folder / "public.npz", images=public.images, labels=public.labels, votes=votes[:7])
    assert fer2013.read(folder, "train").checksum() == train.checksum()
    assert fer2013.read(folder / "public.npz", "public").checksum() == public.checksum()
    usage = np.array(["Training"] * 14 + ["PublicTest"] * 7)
    both = {"images": np.concatenate([train.images, public.images]), "labels": np.r_[train.labels, public.labels]}
    np.savez(tmp_path / "all.npz", **both, usage=usage)
    assert fer2013.read(tmp_path / "all.npz", "public").checksum() == public.checksum()
    np.savez(tmp_path / "all.npz", **both)
    with pytest.raises(ValueError, match="named after its split"):
        fer2013.read(tmp_path / "all.npz", "public")


def test_kaggle_folders(fer_csv, tmp_path):
    folder, count = tmp_path / "kaggle", 0
    for split, part, prefix in (("train", "train", "Training"), ("public", "test", "PublicTest")):
        data = fer2013.read(fer_csv, split)
        for image, label in zip(data.images, data.labels, strict=True):
            path = folder / part / LABELS_7[label] / f"{prefix}_{count}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            count += 1
    assert fer2013.read(folder, "train").counts() == fer2013.read(fer_csv, "train").counts()
    assert len(fer2013.read(folder, "test")) == len(fer2013.read(folder, "public")) == 7
    (folder / "train" / "happy" / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match=r"happy/broken\.png"):
        fer2013.read(folder, "train")
    report = fer2013.read(folder, "train", on_error="skip").report
    assert len(report.skipped) == 1
    assert "broken.png" in report.skipped[0]


BAD_ROWS = [
    ("7," + " ".join(["0"] * 2304) + ",Training", "label from 0 to 6, received '7'"),
    ("x," + " ".join(["0"] * 2304) + ",Training", "label from 0 to 6, received 'x'"),
    (",".join(["", " ".join(["0"] * 2304), "Training"]), "label from 0 to 6, received ''"),
    ("3," + " ".join(["0"] * 2303) + ",Training", "2304 pixels, received 2303"),
    ("3," + " ".join(["0"] * 2305) + ",Training", "2304 pixels, received 2305"),
    ("3," + " ".join(["0"] * 2303 + ["256"]) + ",Training", "0 to 255, received 0 to 256"),
    ("3," + " ".join(["0"] * 2303 + ["-1"]) + ",Training", "0 to 255, received -1 to 0"),
    ("3," + " ".join(["0"] * 2303 + ["z"]) + ",Training", "not a whole number"),
    ("3,,Training", "2304 pixels, received 0"),
    ("3," + " ".join(["0"] * 2304) + ",Validation", "usage of Training"),
    ("3," + " ".join(["0"] * 2304), "3 columns, received 2"),
    ("3", "3 columns, received 1"),
]


@pytest.mark.parametrize(("row", "words"), BAD_ROWS, ids=[words for _, words in BAD_ROWS])
def test_malformed_rows_are_refused_by_line_or_skipped_and_counted(fer_csv, row, words):
    rows = rows_of(fer_csv)
    rewrite(fer_csv, [*rows[:4], row, *rows[4:]])
    with pytest.raises(ValueError, match=f"line 5.*{words}"):
        fer2013.read(fer_csv, "train")
    data = fer2013.read(fer_csv, "train", on_error="skip")
    assert len(data) == 14
    assert data.report.rows == 15
    assert len(data.report.skipped) == 1
    assert data.report.skipped[0].startswith("line 5")


def test_a_file_cut_off_in_its_last_row_is_refused(fer_csv):
    content = fer_csv.read_bytes()
    fer_csv.write_bytes(content[:-4000])
    with pytest.raises(ValueError, match="line 22"):
        fer2013.read(fer_csv, "train")


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\x00\xff\xfe\n", b"emotion,pixels,Usage\n"])
def test_what_is_no_fer2013_is_refused(tmp_path, content):
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.csv"):
        fer2013.read(path, "train")


def test_duplicates_black_images_and_conflicts_are_reported_and_dropped(fer_csv):
    rows = rows_of(fer_csv)
    black = "2," + " ".join(["0"] * 2304) + ",Training"
    leaked = rows[1].replace("Training", "PublicTest")
    conflicting = "6" + rows[2][1:]
    rewrite(fer_csv, [*rows, black, leaked, conflicting])
    report = fer2013.read(fer_csv, "train").report
    assert report.black == (21,)
    assert report.duplicates == {"public": 1}
    assert (report.repeated, report.conflicting) == (1, 1)
    public = fer2013.read(fer_csv, "public")
    assert public.leaked.tolist() == [False] * 7 + [True]
    data = fer2013.read(fer_csv, "train", drop_black=True, drop_leaked=True)
    assert data.report.dropped == {"black": 1, "leaked": 1}
    assert len(data) == 16 - 2


def test_votes_become_distributions(fer_csv, tmp_path):
    votes = tmp_path / "fer2013new.csv"
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    lines = ["Training,fer1.png,4,0,0,1,0,0,0,2,3,0", "Training,,0,0,0,0,0,0,0,0,0,10"]
    votes.write_text("\n".join([header, *lines, *["Training,x,0,10,0,0,0,0,0,0,0,0"] * 19]))
    data = fer2013.read(fer_csv, "train", votes=votes)
    distributions = data.distributions()
    np.testing.assert_allclose(distributions.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(distributions[0], [0, 0, 0, 0, 0.2, 0, 0.8])
    assert distributions[1, data.labels[1]] == 1  # nobody saw a face: the hard label stays
    assert distributions[2, LABELS_7.index("happy")] == 1
    with pytest.raises(ValueError, match="without FER"):
        fer2013.read(fer_csv, "train").distributions()
    votes.write_text("\n".join([header, *lines]))
    with pytest.raises(ValueError, match="at least 21 rows, received 2"):
        fer2013.read(fer_csv, "train", votes=votes)


@pytest.mark.parametrize(
    ("source", "split", "options", "error", "words"),
    [
        ("fer2013", "train", {}, ValueError, "KIND:PATH"),
        ("raf:{}", "train", {}, ValueError, "KIND:PATH"),
        ("fer2013:{}x", "train", {}, FileNotFoundError, "no .*csvx"),
        ("fer2013:{}", "private", {}, ValueError, "it holds public, train"),
        ("fer2013:{}", "train", {"on_error": "ignore"}, ValueError, "on_error"),
    ],
)
def test_wrong_calls(fer_csv, source, split, options, error, words):
    with pytest.raises(error, match=words):
        kerafer.load_data(source.format(fer_csv), split, **options)


def test_synthetic_csv_is_what_it_says(tmp_path):
    path = write_synthetic_csv(tmp_path / "a.csv", train=7, public=7, private=7)
    assert len(fer2013.read(path, "private")) == 7
