"""Files written whole or not at all; weights; cards."""

import dataclasses
import json
import math
import zipfile

import keras
import numpy as np
import pytest

import kerafer
from kerafer import weights
from kerafer.card import ModelCard
from kerafer.files import inside, read_json, replacing, sha256, write_json
from kerafer.labels import LABELS_7, ORDERS, canonical_name, to_canonical


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted():
        with replacing(path) as temporary:
            temporary.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "b/../../a"])
def test_names_stay_in_their_folder(tmp_path, name):
    with pytest.raises(ValueError, match="inside its folder"):
        inside(tmp_path, name)


def test_broken_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"a\.json is not readable JSON"):
        read_json(tmp_path / "a.json")


def test_weights_round_trip(tmp_path):
    model, other = kerafer.build_model("ean"), kerafer.build_model("ean")
    path = kerafer.save_weights(model, tmp_path / "w.npz")
    kerafer.load_weights(other, path)
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert kerafer.build_model("ean", weights=str(path)).output_shape == (None, 7)


def test_weights_of_another_model_are_refused_and_change_nothing(tmp_path):
    path = kerafer.save_weights(kerafer.build_model("ean", eca_kernel=None), tmp_path / "w.npz")
    model = kerafer.build_model("ean")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"6 missing.*eca_conv"):
        kerafer.load_weights(model, path)
    for ours, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, old)


def test_a_truncated_weights_file_is_named(tmp_path):
    path = kerafer.save_weights(kerafer.build_model("ean"), tmp_path / "w.npz")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"w\.npz is not a readable .npz"):
        kerafer.load_weights(kerafer.build_model("ean"), path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_weights_files_are_refused_or_right(tmp_path, save):
    # a small file, so that much of the damage hits its headers
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(4, name="dense")(inputs))
    path, before = tmp_path / "w.npz", model.get_weights()
    save(path, **dict(zip(weights.variable_names(model), before, strict=True)))
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = whole.copy()
        where = rng.integers(len(whole), size=rng.integers(1, 4))
        damaged[where] ^= rng.integers(1, 256, size=len(where), dtype=np.uint8)
        path.write_bytes(damaged.tobytes())
        try:
            kerafer.load_weights(model, path)
        except ValueError as error:
            refused += str(path) in str(error)
        for ours, old in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, old)
    assert refused > 30


def test_entries_that_are_no_arrays_are_refused(tmp_path):
    model = kerafer.build_model("ean")
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        for name in weights.variable_names(model):
            archive.writestr(f"{name}.npy", "no array")
    with pytest.raises(ValueError, match="must be floats of shape"):
        kerafer.load_weights(model, tmp_path / "w.npz")


def test_pickled_arrays_are_never_loaded(tmp_path):
    np.savez(tmp_path / "w.npz", evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="not a readable"):
        kerafer.load_weights(kerafer.build_model("ean"), tmp_path / "w.npz")


def test_half_a_file_holds_the_weights_to_three_digits(tmp_path):
    model, other = kerafer.build_model("ean"), kerafer.build_model("ean")
    whole = kerafer.save_weights(model, tmp_path / "whole.npz")
    half = kerafer.save_weights(model, tmp_path / "half.npz", dtype="float16")
    assert half.stat().st_size < 0.7 * whole.stat().st_size  # the names take their part
    for a, b in zip(model.weights, kerafer.load_weights(other, half).weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-7)


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path):
    model = kerafer.build_model("ean")
    model.get_layer("stem_bn").moving_variance.assign(np.full(16, 1e6, np.float32))
    with pytest.raises(ValueError, match=r"float16 cannot hold the weights \['stem_bn/moving_variance'\]"):
        kerafer.save_weights(model, tmp_path / "w.npz", dtype="float16")
    with pytest.raises(ValueError, match="`dtype` must be float32 or float16"):
        kerafer.save_weights(model, tmp_path / "w.npz", dtype="int8")
    assert not list(tmp_path.iterdir())


def test_shipped_weights_have_their_checksum_and_results():
    for name in kerafer.list_models():
        for label, card in weights.shipped(name).items():
            assert sha256(weights.FOLDER / f"{name}-{label}.npz") == card["sha256"]
            assert card["training"]["recipe"]["epochs"] > 0
            assert 0 < card["results"][0]["accuracy"] < 1
            spec = kerafer.model_spec(name)
            published, contract = spec.preprocessing.to_dict(), card["preprocessing"]
            geometry = {"size": contract["size"], "resize": contract["resize"]}
            assert contract == {**published, **geometry}
            model = kerafer.build_model(name, weights=label)
            trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
            assert (card["parameters"], card["ruler"]) == (trained, spec.ruler)
            if len(card["labels"]) == len(spec.labels):
                assert card["parameters"] == spec.parameters
                assert (card["flops"] == spec.flops) == (contract["size"] == published["size"])
            assert (model.input_shape[1:3], model.output_shape[1]) == (tuple(contract["size"]), len(card["labels"]))


def test_shipped_files_have_their_checksum_and_card(tmp_path, monkeypatch):
    for name in kerafer.list_models():
        for label, entry in weights.shipped_files(name).items():
            path = weights.resolve_file(name, label)
            assert (path.stat().st_size, sha256(path)) == (entry["bytes"], entry["sha256"])
            assert 0 < entry["results"][0]["accuracy"] < 1
            loaded = kerafer.load_model(name, weights=label)
            card = weights.shipped(name)[label.removesuffix(f"_{entry['recipe']}")]
            assert (list(loaded.card.labels), loaded.name) == (card["labels"], f"{name} ({label})")
            assert loaded.card.preprocessing.size == tuple(card["preprocessing"]["size"])
            with pytest.raises(ValueError, match=r"are a \.tflite file"):
                kerafer.build_model(name, weights=label)
            (tmp_path / path.name).write_bytes(path.read_bytes()[:-1] + b"x")
    for path in weights.FOLDER.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    for name in kerafer.list_models():
        for label in weights.shipped_files(name):
            with pytest.raises(ValueError, match="is damaged"):
                kerafer.load_model(name, weights=label)


def test_damaged_shipped_weights_are_refused(tmp_path, monkeypatch):
    for path in weights.FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = tmp_path / "ean-fer2013.npz"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="is damaged"):
        weights.resolve("ean", "fer2013")


def test_card_round_trip(ean, tmp_path):
    ean.card.write(tmp_path)
    again = ModelCard.read(tmp_path)
    assert json.dumps(again.to_dict()) == json.dumps(ean.card.to_dict())
    assert again.preprocessing == ean.card.preprocessing


def test_broken_cards_are_refused(ean, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no card\.json"):
        ModelCard.read(tmp_path)
    for change, words in (({"format": 99}, "format"), ({"labels": ["a", "a"]}, "different")):
        write_json(tmp_path / "card.json", {**ean.card.to_dict(), **change})
        with pytest.raises(ValueError, match=words):
            ModelCard.read(tmp_path)
    value = ean.card.to_dict()
    del value["preprocessing"]
    with pytest.raises(ValueError, match="lacks a field"):
        ModelCard.from_dict(value)


def test_labels_map_to_one_order():
    assert [canonical_name(n) for n in ("Happiness", "ANGER", " neutral ")] == ["happy", "angry", "neutral"]
    assert to_canonical("fer2013") == tuple(range(7))
    ferplus = dict(zip(ORDERS["ferplus"], to_canonical("ferplus"), strict=True))
    assert ferplus["happy"] == LABELS_7.index("happy")
    assert ferplus["NF"] is None
    with pytest.raises(ValueError, match="must be an expression"):
        canonical_name("bored")
    with pytest.raises(ValueError, match="must be one of"):
        to_canonical("imagenet")


def test_specs_with_a_wrong_size_are_refused():
    with pytest.raises(ValueError, match=r"preprocessing\.size"):
        dataclasses.replace(kerafer.model_spec("ean"), input_shape=(48, 48, 3))
