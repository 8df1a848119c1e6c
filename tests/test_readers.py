"""Every reader on a tiny data set in its exact layout, and on a broken one."""

import shutil

import numpy as np
import pytest
from layouts import AFFECTNET_HEADER, FILES, LAYOUTS, NUMBER, picture, save

import kerafer
from kerafer.data import affectnet, folders, kdef
from kerafer.data.dataset import READERS
from kerafer.images import read_image
from kerafer.labels import CANONICAL, LABELS_7


@pytest.fixture
def made(tmp_path):
    return lambda name: LAYOUTS[name](tmp_path / name)


def test_every_kind_has_a_layout(made):
    kinds = {made(name).kind for name in LAYOUTS}
    assert kinds | {"fer2013", "affectnet7"} == set(READERS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_labels_are_canonical(made, name):
    layout = made(name)
    for split, labels in layout.labels.items():
        data = kerafer.load_data(layout.source, split)
        assert (data.name, data.split, data.class_names) == (layout.kind, split, layout.class_names)
        assert data.labels.tolist() == labels
        assert data.labels.dtype == np.int64
        assert data.report.skipped == ()
        assert not data.leaked.any()
    with pytest.raises(ValueError, match="has no split 'nowhere'; it holds"):
        kerafer.load_data(layout.source, "nowhere")
    with pytest.raises(ValueError, match="on_error"):
        kerafer.load_data(layout.source, "train", on_error="ignore")


@pytest.mark.parametrize("name", FILES)
def test_pictures_are_those_of_the_files(made, name, tmp_path):
    layout = made(name)
    boxed = name in {"affectnet_lists", "csv"}
    for split, files in layout.files.items():
        data = kerafer.load_data(layout.source, split, cache=tmp_path / "cache")
        assert [data.images.path(i) for i in range(len(data))] == files
        for i, file in enumerate(files):
            whole = read_image(file)
            np.testing.assert_array_equal(data.images[i], whole[6:46, 4:34] if boxed else whole)
        assert data.pixels(np.arange(len(data)), kerafer.model_spec("ean").preprocessing).shape[1:] == (48, 48, 3)


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def replace_line(path, number, line):
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    path.write_text("\n".join(lines) + "\n")


def listed(layout):
    return layout.path / "basic/EmoLabel/list_patition_label.txt"


def training(layout):
    return layout.path / "Manually_Annotated_file_lists/training.csv"


def annotation(layout, number):
    return layout.path / f"train_set/annotations/{number}_exp.npy"


def anger(layout):
    return layout.path / "train" / "Anger"


# layout, what is done to it, what the message must say, how many pictures of the training split are lost
BROKEN = [
    ("rafdb", lambda x: replace_line(listed(x), 2, "train_00002.jpg 8"), r"line 2: .*1 to 7, received '8'", 1),
    ("rafdb", lambda x: replace_line(listed(x), 2, "train_00002.jpg five"), r"line 2: .*received 'five'", 1),
    ("rafdb", lambda x: replace_line(listed(x), 3, "train_00003.jpg"), r"line 3: expected a name and a label", 1),
    ("rafdb", lambda x: replace_line(listed(x), 3, "../../x.jpg 3"), r"line 3: expected a name and a label", 1),
    (
        "affectnet_lists",
        lambda x: replace_line(training(x), 4, "a/b.jpg,1,2,3,4,,11,0,0"),
        r"training.csv line 4.*11",
        1,
    ),
    ("affectnet_lists", lambda x: replace_line(training(x), 4, "a/b.jpg,1,2,x,4,,2,0,0"), r"line 4.*face box", 1),
    ("affectnet_lists", lambda x: replace_line(training(x), 4, "a/b.jpg,1,2,0,4,,2,0,0"), r"line 4.*positive size", 1),
    (
        "affectnet_lists",
        lambda x: replace_line(training(x), 4, "a/b.jpg,1,2,3,4,"),
        r"line 4.*9 columns, received 6",
        1,
    ),
    (
        "affectnet_lists",
        lambda x: replace_line(training(x), 4, "../b.jpg,1,2,3,4,,2,0,0"),
        r"line 4.*inside its folder",
        1,
    ),
    (
        "affectnet_lists",
        lambda x: replace_line(training(x), 4, "2/00000002.jpg,90,90,9,9,,2,0,0"),
        r"2/00000002\.jpg: expected a face box .*inside the picture",
        1,
    ),
    ("affectnet_folders", lambda x: np.save(annotation(x, 3), np.array("11")), r"3_exp\.npy: .*0 to 10", 1),
    ("affectnet_folders", lambda x: np.save(annotation(x, 3), np.array([1, 2])), r"3_exp\.npy: .*one number", 1),
    ("affectnet_folders", lambda x: np.save(annotation(x, 3), np.array({"a": 1})), r"3_exp\.npy: .*one number", 1),
    ("affectnet_folders", lambda x: cut(annotation(x, 3)), r"3_exp\.npy: .*one number", 1),
    ("affectnet_folders", lambda x: annotation(x, 3).unlink(), r"annotation of train_set/images/3\.jpg is missing", 1),
    ("affectnet_folders", lambda x: x.files["train"][3].unlink(), r"3_exp\.npy: its picture .* is missing", 1),
    ("caers", lambda x: anger(x).rename(anger(x).with_name("Rage")), r"train/Rage: expected a folder of one of", 2),
    ("caers", lambda x: save(x.path / "train/1.png", 0), r"train/1\.png: .*received one outside", 0),
    ("caers", lambda x: save(anger(x) / "more/1.png", 0), r"train/Anger/more: .*received a folder", 0),
    ("kdef", lambda x: save(x.path / "KDEF/AF03/AF03XXS.JPG", 0), r"AF03XXS\.JPG: expected a name", 0),
    ("kdef", lambda x: save(x.path / "KDEF/AF36/AF36HAS.JPG", 0), r"AF36HAS\.JPG: expected a name", 0),
    ("folder", lambda x: save(x.path / "train/1.png", 0), r"train/1\.png: .*received one outside", 0),
    ("folder", lambda x: save(x.path / "1.png", 0), r"1\.png: .*received one outside", 0),
    ("folder", lambda x: save(anger(x) / "more/1.png", 0), r"train/Anger/more: .*received a folder", 0),
    ("csv", lambda x: replace_line(x.path, 3, "faces/1.jpg,hapy,train,1,2,3,4"), r"line 3: .*received 'hapy'", 1),
    ("csv", lambda x: replace_line(x.path, 3, "faces/1.jpg,8,train,1,2,3,4"), r"line 3: .*received '8'", 1),
    ("csv", lambda x: replace_line(x.path, 3, "faces/1.jpg,happy,train,1,2,3,-4"), r"line 3: .*positive size", 1),
    ("csv", lambda x: replace_line(x.path, 3, "faces/1.jpg,happy,train,1,2,3"), r"line 3: .*7 columns, received 6", 1),
    ("csv", lambda x: replace_line(x.path, 3, ",happy,train,1,2,3,4"), r"line 3: expected a path", 1),
    ("csv", lambda x: replace_line(x.path, 3, "../1.jpg,happy,train,1,2,3,4"), r"line 3: .*inside its folder", 1),
    ("csv", lambda x: replace_line(x.path, 3, "/etc/x,happy,train,1,2,3,4"), r"line 3: .*inside its folder", 1),
    ("csv", lambda x: replace_line(x.path, 3, "a\0b,happy,train,1,2,3,4"), r"a\0b: ", 1),
    ("ferplus", lambda x: replace_line(x.path / "fer2013new.csv", 2, "Training,a,1,2"), r"fer2013new\.csv line 2", 1),
    ("ferplus", lambda x: replace_line(x.path / "fer2013.csv", 2, "9,1 2,Training"), r"line 2: .*0 to 6", 1),
    *((name, lambda x: cut(x.files["train"][0]), r"\w\.(jpg|png|JPG): .*cannot be read", 1) for name in FILES),
    *(
        (name, lambda x: x.files["train"][0].write_text("no picture"), r"\w\.(jpg|png|JPG): .*not a picture", 1)
        for name in FILES
    ),
    *(
        (name, lambda x: x.files["train"][0].unlink(), r"\w\.jpg: There is no picture", 1)
        for name in ("rafdb", "affectnet_lists", "csv")
    ),
]


@pytest.mark.parametrize(("name", "break_it", "words", "lost"), BROKEN, ids=[f"{x[0]}-{x[2]}" for x in BROKEN])
def test_a_broken_data_set_is_refused_or_skipped_and_reported(made, name, break_it, words, lost, tmp_path):
    layout = made(name)
    cache = tmp_path / "cache"
    before = kerafer.load_data(layout.source, "train", cache=cache)
    break_it(layout)
    with pytest.raises(ValueError, match=words) as refused:
        kerafer.load_data(layout.source, "train", cache=cache)
    assert str(layout.path) in str(refused.value)
    data = kerafer.load_data(layout.source, "train", on_error="skip", cache=cache)
    assert len(data) == len(before) - lost
    assert len(data.report.skipped) == 1
    assert data.report.skipped[0].split(":")[0] in str(refused.value)
    assert data.report.rows == before.report.rows + (not lost) - max(0, lost - 1)


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("rafdb", lambda x: listed(x).unlink(), r"list_patition_label\.txt is missing"),
        ("affectnet_lists", lambda x: replace_line(training(x), 1, AFFECTNET_HEADER[:-3]), r"training\.csv, line 1"),
        ("affectnet_lists", lambda x: shutil.rmtree(x.path / "Manually_Annotated_Images"), "no folder Manually"),
        ("affectnet_lists", lambda x: shutil.rmtree(training(x).parent), "holds neither"),
        ("affectnet_folders", lambda x: shutil.rmtree(x.path / "train_set/annotations"), "annotations is missing"),
        ("caers", lambda x: [shutil.rmtree(x.path / part) for part in ("train", "test")], "no folder train or test"),
        ("kdef", lambda x: shutil.rmtree(x.path / "KDEF"), "lists no picture"),
        ("folder", lambda x: [shutil.rmtree(x.path / part) for part in ("train", "test")], "holds no folders"),
        ("folder", lambda x: anger(x).rename(anger(x).with_name("hapy")), r"'happy'.*Received: a folder 'hapy'"),
        (
            "csv",
            lambda x: replace_line(x.path, 1, "path,label,split,x,y,width"),
            r"list\.csv, line 1: .*Received: path",
        ),
        ("csv", lambda x: replace_line(x.path, 1, "file,label,split,x,y,width,height"), "line 1"),
        ("csv", lambda x: x.path.write_bytes(b"path,label\na.jpg,\xff\xfe\n"), r"after line \d: not a csv"),
        ("csv", lambda x: x.path.write_text(""), "Received: nothing"),
        ("ferplus", lambda x: (x.path / "fer2013new.csv").unlink(), "fer2013new.csv is missing"),
        ("ferplus", lambda x: replace_line(x.path / "fer2013new.csv", 1, "a,b"), r"fer2013new\.csv, line 1"),
    ],
)
def test_what_is_no_such_data_set_is_refused(made, name, spoil, words):
    layout = made(name)
    spoil(layout)
    for on_error in ("raise", "skip"):
        with pytest.raises(ValueError, match=words):
            kerafer.load_data(layout.source, "train", on_error=on_error)


@pytest.mark.parametrize("name", ["rafdb", "affectnet_lists", "caers", "csv"])
def test_equal_black_and_conflicting_pictures(made, name):
    layout = made(name)
    train, other = layout.files["train"], layout.files[list(layout.files)[1]]
    shutil.copy(train[0], train[1])  # the same picture twice in a split
    shutil.copy(train[2], other[0])  # and in two splits
    picture(0).point(lambda _: 0).save(train[3])
    data = kerafer.load_data(layout.source, "train")
    report = data.report
    split = list(layout.labels)[1]
    expected = [layout.labels["train"][i] for i in (0, 1)], (layout.labels["train"][2], layout.labels[split][0])
    assert report.repeated == 1
    assert report.duplicates == {split: 1}
    assert report.conflicting == sum(a != b for a, b in expected)
    assert data.leaked.tolist() == [i == 2 for i in range(len(data))]
    assert [list(data.rows).index(row) for row in report.black] == [3]
    kept = kerafer.load_data(layout.source, "train", drop_black=True, drop_leaked=True)
    assert kept.report.dropped["black"] == kept.report.dropped["leaked"] == 1
    assert kept.rows.tolist() == [row for i, row in enumerate(data.rows) if i not in {2, 3}]
    leaked = kerafer.load_data(layout.source, split)
    assert leaked.leaked.tolist() == [i == 0 for i in range(len(leaked))]
    assert leaked.report.duplicates == {"train": 1}


def test_rafdb_takes_the_inner_folder_too(made):
    layout = made("rafdb")
    inner = kerafer.load_data(f"rafdb:{layout.path / 'basic'}", "test")
    assert inner.checksum() == kerafer.load_data(layout.source, "test").checksum()


@pytest.mark.parametrize("name", ["affectnet_lists", "affectnet_folders"])
def test_affectnet_counts_what_is_no_expression(made, name):
    layout = made(name)
    dropped = kerafer.load_data(layout.source, "train").report.dropped
    others = {"uncertain": 1, "non-face": 1} if name == "affectnet_lists" else {}
    assert dropped == {"none": 1, **others}
    data = kerafer.load_data(f"affectnet7:{layout.path}", "val")
    assert (data.name, data.class_names, len(data)) == ("affectnet7", LABELS_7, 7)
    assert data.report.dropped == {"contempt": 1, "none": 1, **others}
    assert data.report.rows == 8 + len(dropped)


def test_affectnet_lists_without_header_or_folder(made):
    layout = made("affectnet_lists")
    before = affectnet.read(layout.path, "train").checksum()
    path = training(layout)
    path.write_text("\n".join(path.read_text().splitlines()[1:]) + "\n")
    (layout.path / "Manually_Annotated").mkdir()
    (layout.path / "Manually_Annotated_Images").rename(layout.path / "Manually_Annotated/Manually_Annotated_Images")
    for file in path.parent.iterdir():
        file.rename(layout.path / file.name)
    path.parent.rmdir()
    assert affectnet.read(layout.path, "train").checksum() == before


def test_kdef_keeps_people_apart_and_takes_angles(made):
    layout = made("kdef")
    people = {
        split: {file.name[1:4] for file in map(data.images.path, range(len(data)))}
        for split in ("train", "test")
        for data in [kdef.read(layout.path, split)]
    }
    assert people == {"train": {"F02", "M05"}, "test": {"F01", "M06"}}
    assert kdef.read(layout.path).report.dropped == {"angle": 2}
    half = kdef.read(layout.path, "test", angles=("HL",))
    assert half.labels.tolist() == [NUMBER["happy"]] * 2
    tested = [kdef.read(layout.path, "test", folds=2, fold=fold) for fold in (0, 1)]
    files = [{data.images.path(i) for i in range(len(data))} for data in tested]
    assert files[0].isdisjoint(files[1])
    assert len(files[0] | files[1]) == 28
    for wrong in ({"angles": ()}, {"folds": 1}, {"fold": 10}, {"folds": 36}):
        with pytest.raises(ValueError, match="Received"):
            kdef.read(layout.path, **wrong)


def test_flat_kdef_in_lower_case(made, tmp_path):
    layout, flat = made("kdef"), tmp_path / "flat"
    flat.mkdir()
    for file in layout.files["train"]:
        shutil.copy(file, flat / file.name.lower())
    assert sorted(kdef.read(flat).labels) == sorted(layout.labels["train"])


def test_folders_of_own_classes(tmp_path):
    for name in ("yawning", "talking"):
        save(tmp_path / name / "0.png", len(name))
        save(tmp_path / name / "1.png", 10 + len(name), gray=True)
    data = folders.read(tmp_path)
    assert (data.class_names, data.labels.tolist()) == (("talking", "yawning"), [0, 0, 1, 1])
    data = folders.read(tmp_path, class_names=("yawning", "blinking", "talking"))
    assert data.labels.tolist() == [2, 2, 0, 0]
    assert data.counts() == {"yawning": 2, "blinking": 0, "talking": 2}
    with pytest.raises(ValueError, match="among `class_names`"):
        folders.read(tmp_path, class_names=("yawning", "blinking"))


def test_holding_out_is_stratified_and_follows_the_content(tmp_path):
    for name, count in (("happy", 40), ("sad", 20)):
        for i in range(count):
            save(tmp_path / "a" / name / f"{i}.png", 100 * NUMBER[name] + i, size=(8, 8))
    shutil.copy(tmp_path / "a/happy/0.png", tmp_path / "a/happy/same.png")
    train, val = (folders.read(tmp_path / "a", split, held_out=0.25) for split in ("train", "val"))
    repeated_is_held = val.report.repeated == 1
    assert (val.counts()["happy"], val.counts()["sad"]) == (10 + repeated_is_held, 5)
    assert len(train) + len(val) == 61
    assert train.report.duplicates == {}

    def contents(data):
        return {bytes(data.images.hashes[n]) for n in data.images.numbers}

    assert contents(train).isdisjoint(contents(val))
    (tmp_path / "a").rename(tmp_path / "b")
    for i in range(40):
        (tmp_path / f"b/happy/{i}.png").rename(tmp_path / f"b/happy/other{39 - i}.png")
    assert contents(folders.read(tmp_path / "b", "val", held_out=0.25)) == contents(val)
    assert folders.splits(tmp_path / "b") == ("train",)
    assert folders.splits(tmp_path / "b", held_out=0.5) == ("train", "val")
    with pytest.raises(ValueError, match="held_out=1"):
        folders.read(tmp_path / "b", held_out=1)


def test_splits_cannot_be_held_out_of(made):
    with pytest.raises(ValueError, match="has the splits test, train"):
        folders.read(made("folder").path, held_out=0.1)


def test_csv_without_splits_or_boxes(tmp_path):
    save(tmp_path / "a.png", 1)
    (tmp_path / "list.csv").write_text("label,path\ncontempt,a.png\n")
    data = kerafer.load_data(f"csv:{tmp_path / 'list.csv'}")
    assert (data.class_names, data.labels.tolist()) == (CANONICAL, [7])
    assert data.images[0].shape == (52, 44, 3)
    (tmp_path / "list.csv").write_text("label,path\nyawn,a.png\n1,a.png\n")
    data = kerafer.load_data(f"csv:{tmp_path / 'list.csv'}", class_names=("blink", "yawn"))
    assert data.labels.tolist() == [1, 1]


def test_a_path_may_hold_colons(made, tmp_path):
    layout = made("csv")
    shutil.move(layout.path.parent, tmp_path / "c:odd")
    assert len(kerafer.load_data(f"csv:{tmp_path / 'c:odd' / 'list.csv'}", "test")) == 3


def test_ferplus_votes_and_what_is_left_out(made):
    layout = made("ferplus")
    train = kerafer.load_data(layout.source, "train")
    assert train.votes.shape == (3, 10)
    assert train.rows.tolist() == [0, 1, 4]
    assert train.report.rows == 5
    assert train.report.dropped == {"no majority": 1, "unknown": 1, "NF": 0}
    np.testing.assert_allclose(train.distributions()[1, NUMBER["happy"]], 0.5)
    seven = kerafer.load_data(layout.source, "train", classes=7)
    assert (seven.class_names, len(seven), seven.report.dropped["contempt"]) == (LABELS_7, 2, 1)
    with pytest.raises(ValueError, match="classes=9"):
        kerafer.load_data(layout.source, "train", classes=9)
