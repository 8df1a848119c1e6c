"""Metadata inside a file: whatever the card says comes back, and a damaged file is told as such."""

import argparse
import dataclasses
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import kerafer
from kerafer.cli import info
from kerafer.data.samples import portrait_faces
from kerafer.litert.metadata import (
    CARD_FILE,
    LABELS_FILE,
    MissingMetadataError,
    add_metadata,
    metadata_of,
    read_metadata,
)
from kerafer.litert.metadata_tables import IDENTIFIER, root
from kerafer.litert.slim import read_graph, slim
from kerafer.runtime import LiteRTRunner

RECIPES = ("float16", "static_int8")


@pytest.fixture(scope="module")
def plain(ean, ean_converter):
    """EAN without metadata, by recipe."""
    contract = ean.card.preprocessing
    pictures = contract.scale(portrait_faces(contract, 10, seed=0))
    return {recipe: slim(ean_converter.convert(recipe, pictures)) for recipe in RECIPES}


@pytest.fixture(scope="module")
def told(plain, ean):
    """The same with metadata."""
    return {recipe: add_metadata(data, ean.card, recipe) for recipe, data in plain.items()}


@pytest.fixture
def lone(told, tmp_path):
    """A file by itself."""
    path = tmp_path / "lone.tflite"
    path.write_bytes(told["float16"])
    return path


def tensor(data, part):
    return read_graph(data).subgraphs[0].tensors[getattr(read_graph(data).subgraphs[0], part)[0]]


def scores(data, x):
    ready = Interpreter(model_content=data)
    ready.allocate_tensors()
    return ready.get_signature_runner()(image=x)["predictions"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_the_card_says_comes_back(told, ean, recipe):
    found, card = metadata_of(told[recipe]), ean.card
    assert found.card == dataclasses.replace(card, training=None, results=(), files={})
    assert found.recipe == recipe
    assert found.name == card.title
    assert found.version == kerafer.__version__
    assert found.author == "the kerafer authors"
    assert card.licences["weights"] in found.licence
    assert card.notes[0] in found.description
    assert found.labels == card.labels
    assert found.files == (LABELS_FILE, CARD_FILE)
    assert (found.mean, found.std) == ((0.0,), (255.0,))
    assert [note.name for note in (*found.inputs, *found.outputs)] == ["image", "predictions"]


def test_ranges_are_in_the_tensors_own_type(told):
    for recipe, top in (("float16", 1.0), ("static_int8", 255.0)):
        found = metadata_of(told[recipe])
        [image], [predictions] = found.inputs, found.outputs
        assert (image.minimum, image.maximum) == ((0.0,), (top,))
        assert (predictions.minimum, predictions.maximum) == ((0.0,), (top,))


def test_normalisation_counts_from_0_to_255(plain, ean):
    def noted(mean, std):
        contract = dataclasses.replace(ean.card.preprocessing, mean=mean, std=std)
        return metadata_of(
            add_metadata(plain["float16"], dataclasses.replace(ean.card, preprocessing=contract), "float16")
        )

    same = noted((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (same.mean, same.std) == ((127.5,), (127.5,))
    assert (same.inputs[0].minimum, same.inputs[0].maximum) == ((-1.0,), (1.0,))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    each = noted(mean, std)
    pixels = np.arange(256, dtype=np.float32)[:, None] * np.ones(3, np.float32)  # (256, 3)
    by_metadata = (pixels - np.float32(each.mean)) / np.float32(each.std)
    np.testing.assert_allclose(by_metadata, each.card.preprocessing.scale(pixels), atol=1e-5)
    np.testing.assert_allclose(each.inputs[0].minimum, by_metadata[0], rtol=1e-5)
    np.testing.assert_allclose(each.inputs[0].maximum, by_metadata[-1], rtol=1e-5)


def test_labels_keep_the_order_of_the_outputs(plain, ean):
    turned = dataclasses.replace(ean.card, labels=ean.card.labels[::-1])
    data = add_metadata(plain["float16"], turned, "float16")
    assert metadata_of(data).labels == ean.card.labels[::-1] != ean.card.labels
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read(LABELS_FILE).decode().split("\n") == [*ean.card.labels[::-1], ""]


def test_names_in_any_script(plain, ean):
    labels = ("ärger", "ekel", "恐怖", "glück", "trauer", "überraschung", "neutral")
    card = dataclasses.replace(ean.card, labels=labels, title="Überblick", notes=("one\nnote", "二"))
    found = metadata_of(add_metadata(plain["float16"], card, "float16"))
    assert (found.labels, found.name) == (labels, "Überblick")
    assert found.card.notes == ("one note", "二")


def test_a_model_of_ones_own_names_no_author_but_the_given_one(plain, ean):
    own = dataclasses.replace(ean.card, weights=None, licences={}, notes=())
    found = metadata_of(add_metadata(plain["float16"], own, "float16"))
    assert (found.author, found.licence) == ("", "")
    assert (found.card.licences, found.card.notes, found.card.weights) == ({}, (), None)
    assert metadata_of(add_metadata(plain["float16"], own, "float16", author="A. Person")).author == "A. Person"


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_same_bytes_and_the_same_graph(plain, told, ean, recipe):
    assert add_metadata(plain[recipe], ean.card, recipe) == told[recipe]
    shape = tensor(plain[recipe], "inputs").shape
    x = np.random.default_rng(0).random(shape, np.float32)
    x = (x * 255).astype(np.uint8) if recipe == "static_int8" else x
    np.testing.assert_array_equal(scores(told[recipe], x), scores(plain[recipe], x))
    assert tensor(told[recipe], "inputs").name == b"image"


def test_any_unzip_program_reads_the_appended_files(told):
    with zipfile.ZipFile(io.BytesIO(told["float16"])) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [LABELS_FILE, CARD_FILE]
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert told["float16"][entry.header_offset :].startswith(b"PK\3\4")
        assert len(archive.read(CARD_FILE)) < 600


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": ("a", "b")}, r"to \(1, 2\)"),
        ({"preprocessing": kerafer.Preprocessing(size=(48, 48), resize=(48, 48))}, "48, 48, 3"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(plain, ean, change, words):
    with pytest.raises(ValueError, match=words):
        add_metadata(plain["float16"], dataclasses.replace(ean.card, **change), "float16")


def test_wrong_use_is_refused(plain, told, ean, tmp_path):
    with pytest.raises(ValueError, match="has some already"):
        add_metadata(told["float16"], ean.card, "float16")
    with pytest.raises(ValueError, match="TFL3"):
        add_metadata(b"no model", ean.card, "float16")
    with pytest.raises(FileNotFoundError, match=r"none\.tflite"):
        read_metadata(tmp_path / "none.tflite")
    (tmp_path / "plain.tflite").write_bytes(plain["float16"])
    with pytest.raises(MissingMetadataError, match=r"plain\.tflite: the file holds no metadata"):
        read_metadata(tmp_path / "plain.tflite")


def tables(data):
    """The place of the metadata's tables in a file."""
    at = data.index(IDENTIFIER) - 4
    return at, root(data[at:])


def spoilt(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def test_damage_is_named(told):
    data = told["float16"]
    at, table = tables(data)
    name = at + table._target(0)
    cases = {
        "the mark M001 is missing": spoilt(data, at + 4, b"M999"),
        "it points at byte": spoilt(data, at, b"\xff\xff\xff\x7f"),
        "a list is longer": spoilt(data, name, b"\xff\xff\xff\x7f"),
        "is no text": spoilt(data, name + 4, b"\xff"),
        "labels.txt should be appended": data[: data.index(b"PK\3\4")],
        "appended to the model are damaged": spoilt(data, data.index(b"angry\n"), b"happy\n"),
        "must be a whole": data[:3000],
    }
    for words, broken in cases.items():
        with pytest.raises(ValueError, match=words):
            metadata_of(broken)


def with_files(data, files, how=zipfile.ZIP_STORED):
    file = io.BytesIO()
    file.write(data[: data.index(b"PK\3\4")])
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is no JSON"),
        (b"[]", "must be an object"),
        (b"\xff", "is no text"),
        (b'{"format": 9}', "format 1"),
        (b'{"format": 1}', "lacks a field"),
        (b'{"format": 1, "preprocessing": 3}', "is no card|lacks a field"),
    ],
)
def test_a_damaged_card_is_named(told, content, words):
    labels = "\n".join("abcdefg")
    with pytest.raises(ValueError, match=words):
        metadata_of(with_files(told["float16"], {LABELS_FILE: labels, CARD_FILE: content}))


def test_appended_files_cannot_fill_the_memory(told):
    bomb = with_files(told["float16"], {LABELS_FILE: b"a\n" * (1 << 22)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2 * len(told["float16"])
    with pytest.raises(ValueError, match="uncompressed and at most"):
        metadata_of(bomb)


def test_a_file_by_others_has_no_card(told):
    found = metadata_of(with_files(told["float16"], {LABELS_FILE: "a\nb\n"}))
    assert (found.labels, found.card, found.recipe) == (("a", "b"), None, None)


def test_any_damage_is_a_value_error(told):
    random = np.random.default_rng(0)
    data = np.frombuffer(told["float16"], np.uint8)
    at, _ = tables(told["float16"])
    seen = set()
    for i in range(300):
        broken = data.copy()
        low, high = ((at, at + 1000), (len(data) - 1000, len(data)), (8, len(data)))[i % 3]
        broken[random.integers(low, high, 3)] = random.integers(0, 256, 3)
        cut = random.integers(0, len(data)) if i % 5 == 0 else len(data)
        try:
            seen.add(type(metadata_of(broken.tobytes()[:cut])).__name__)
        except ValueError:
            seen.add("ValueError")
    assert seen == {"FileMetadata", "ValueError"}


def tell(capsys, *arguments):
    """What `kerafer info ARGUMENTS --json` prints."""
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def run(*arguments):
    parser = argparse.ArgumentParser()
    info.add(parser.add_subparsers())
    parsed = parser.parse_args(["info", *map(str, arguments)])
    return parsed.run(parsed)


def test_info_of_a_lone_file(lone, ean, capsys):
    facts = tell(capsys, lone)
    assert facts["labels"] == list(ean.card.labels)
    assert facts["metadata"]["std"] == [255.0]
    assert facts["inputs"] == [{"name": "image", "shape": [1, 44, 44, 3], "type": "float32"}]
    assert facts["operators"]["CONV_2D"] == 20
    assert facts["float_tensors"] > 0
    assert facts["refused_by_gpu"] == []
    assert facts["bytes"] == lone.stat().st_size
    assert facts["as_listed"] is None
    assert run(lone) == 0
    text = capsys.readouterr().out
    for words in (", ".join(ean.card.labels), "the kerafer authors", "research only", "takes every operator", "/ 255"):
        assert words in text


def test_info_of_a_quantized_file(told, tmp_path, capsys):
    path = tmp_path / "int8.tflite"
    path.write_bytes(told["static_int8"])
    facts = tell(capsys, path)
    assert facts["float_tensors"] == 0
    assert facts["inputs"][0]["type"] == "uint8"
    scale, zero = LiteRTRunner(path).input["quantization"]
    assert (facts["inputs"][0]["scale"], facts["inputs"][0]["zero_point"]) == (scale, zero)
    assert facts["refused_by_gpu"]
    run(path)
    assert "wholly integer" in capsys.readouterr().out


def test_info_tells_a_file_without_metadata(plain, tmp_path, capsys):
    path = tmp_path / "plain.tflite"
    path.write_bytes(plain["float16"])
    assert tell(capsys, path)["metadata"] is None
    run(path)
    assert "none: labels and normalisation are not in the file" in capsys.readouterr().out


def test_info_of_a_bundle_tells_changed_files(bundle_folder, tmp_path, capsys):
    folder = shutil.copytree(bundle_folder, tmp_path / "ean")
    facts = tell(capsys, folder)
    assert facts["kind"] == "bundle"
    assert {file["as_listed"] for file in facts["files"]} == {True}
    assert len(facts["files"]) == len(list(folder.glob("*.tflite"))) + 1
    with (folder / "model.keras").open("ab") as file:
        file.write(b"x")
    run(folder)
    assert "NOT the one on its card" in capsys.readouterr().out
    (folder / "model.keras").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.keras"):
        run(folder)


def test_info_of_a_run(ean, tmp_path, capsys):
    ean.card.write(tmp_path)
    ean.model.save(tmp_path / "last.keras")
    facts = tell(capsys, tmp_path)
    assert (facts["kind"], [file["kind"] for file in facts["files"]]) == ("run", ["keras"])
    assert tell(capsys, tmp_path / "last.keras")["labels"] == list(ean.card.labels)
    run(tmp_path)
    assert "run of EAN" in capsys.readouterr().out


def test_info_of_a_model_of_the_zoo_is_as_before(capsys):
    assert tell(capsys, "ean")["trainable_parameters"] == 43_840


def test_info_refuses_what_is_no_model(lone, tmp_path):
    for name, content in (("a.tflite", b"text"), ("b.tflite", lone.read_bytes()[:5000]), ("c.keras", b"text")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            run(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"none\.tflite"):
        run(tmp_path / "none.tflite")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"card\.json"):
        run(tmp_path / "empty")
    with pytest.raises(ValueError, match="--size"):
        run(lone, "--size", "48")
