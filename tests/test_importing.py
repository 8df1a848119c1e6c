"""Weights that people have: the logits that their own code gives, and errors that name what does not fit."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from parity import det, detx, fill

import kerafer
from kerafer.card import ModelCard
from kerafer.checkpoints import keras_2, load_mini_xception
from kerafer.checkpoints.torch_state import torch_tensors
from kerafer.specs import REGISTRY

STATES = Path(__file__).parent / "fixtures"

# float64 PyTorch's logits for weights `det` and input `detx`; see parity.py
FIXTURES = {
    "efficientface": [
        [0.17031734, 0.03021814, -0.23954645, -0.10953253, 0.34632112, 0.08732841, -0.35756905],
        [0.16828694, 0.03577234, -0.23708717, -0.10542981, 0.34544692, 0.09097137, -0.35919762],
    ],
    "lfer": [
        [-0.03228715, -0.00787391, -0.10629635, -0.06351551, -0.11960731, -0.09108021, -0.05496107],
        [-0.03278175, -0.00706696, -0.10776392, -0.06317384, -0.11819498, -0.09097135, -0.0553977],
    ],
    "ean": [
        [0.03066124, -0.12589761, -0.02610976, 0.07938382, -0.03879743, 0.04305805, -0.28801733],
        [0.03071257, -0.12433518, -0.02554163, 0.08035449, -0.03896019, 0.04318983, -0.28842556],
    ],
}
OPTIONS = {"lfer": {"head_batch_normalized": True}}
NAMED = [name for name in kerafer.list_models() if REGISTRY[name].torch_names]


def bare(name, **options):
    return kerafer.build_model(
        name, classifier_activation=None, padding="symmetric", **OPTIONS.get(name, {}), **options
    )


def state_of(name, make=det, **options):
    """A PyTorch state of a network, by name, in PyTorch's shapes."""
    names = REGISTRY[name].torch_names()
    layers = [layer for layer in bare(name, **options).layers if layer.weights]
    return {
        tensor: make(tensor, shape) for layer in layers for tensor, shape, _ in torch_tensors(layer, names[layer.name])
    }


@pytest.mark.parametrize("name", FIXTURES)
def test_logits_equal_pytorchs(name):
    model = kerafer.load_torch_state(bare(name), state_of(name))
    x = detx(2, *model.input_shape[1:])
    np.testing.assert_allclose(model.predict(x, verbose=0), FIXTURES[name], atol=1e-5)


def test_padding_that_is_not_pytorchs_is_refused():
    with pytest.raises(ValueError, match=r'padding="symmetric".*block1_depthwise'):
        kerafer.load_torch_state(kerafer.build_model("ean"), state_of("ean"))


def test_official_names_and_shapes():
    # what the official EfficientFace code saves, as listed from its own state_dict
    listed = json.loads((STATES / "efficientface_tensors.json").read_text())
    tensors = {name: tuple(shape) for name, shape in listed}
    assert tensors == {name: value.shape for name, value in state_of("efficientface").items()}


@pytest.mark.parametrize("name", NAMED)
def test_every_weight_comes_from_one_tensor(name):
    # a random state goes in, and what the model then holds has the state's sum of squares
    rng = np.random.default_rng(0)
    options = {"input_shape": (64, 64, 3)}
    state = state_of(name, lambda _, shape: rng.random(shape).astype(np.float32), **options)
    model = kerafer.load_torch_state(bare(name, **options), {**state, "bn.num_batches_tracked": np.int64(3)})
    given = sum(float((value.astype(np.float64) ** 2).sum()) for value in state.values())
    held = sum(float((w.astype(np.float64) ** 2).sum()) for w in model.get_weights())
    np.testing.assert_allclose(held, given, rtol=1e-6)


def test_errors_list_missing_surplus_and_misshapen_tensors_and_change_nothing():
    model = fill(bare("ean"))
    before = model.get_weights()
    state = state_of("ean")
    state["extra.weight"] = state.pop("f.0.weight")
    state["f.9.weight"] = state["f.9.weight"][:, :3]
    with pytest.raises(ValueError, match=r"1 missing \(f.0.weight .*not in the model \(extra.*misshapen \(f.9.weight"):
        kerafer.load_torch_state(model, state)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_networks_without_pytorch_names_are_refused():
    with pytest.raises(ValueError, match=r"known PyTorch names.*lcnn"):
        kerafer.load_torch_state(kerafer.build_model("lcnn"), {})


def test_import_from_npz_gives_a_model_that_every_verb_takes(command, tmp_path):
    state = state_of("efficientface")
    np.savez(tmp_path / "state.npz", **{f"module.{name}": value for name, value in state.items()})
    ran = command(
        "import-weights", "efficientface", tmp_path / "state.npz", "--out", tmp_path / "model", "--origin",
        "affectnet7", "--json",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["labels"] == ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry"]
    assert told["preprocessing"]["mean"] == [0.55391484, 0.43522123, 0.3821877]
    loaded = kerafer.load_model(tmp_path / "model")
    logits = np.array(FIXTURES["efficientface"])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(loaded.runner.predict(detx(2, 224, 224, 3)), expected, atol=1e-5)


def test_number_of_classes_is_the_checkpoints(tmp_path):
    np.savez(tmp_path / "eight.npz", **state_of("ean", classes=8))
    labels = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
    with pytest.raises(ValueError, match="`labels` must name the 8 classes"):
        kerafer.import_weights("ean", tmp_path / "eight.npz", tmp_path / "model", labels=labels[:7])
    with pytest.raises(ValueError, match="`labels` must be given for ean"):
        kerafer.import_weights("ean", tmp_path / "eight.npz", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    kerafer.import_weights("ean", tmp_path / "eight.npz", tmp_path / "model", labels=labels)
    assert ModelCard.read(tmp_path / "model").labels[1] == "happy"
    with pytest.raises(FileExistsError, match="holds a model already"):
        kerafer.import_weights("ean", tmp_path / "eight.npz", tmp_path / "model", labels=labels)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "efficientface", "origin": "imagenet"}, "one of.*rafdb"),
        ({"name": "vgg16"}, "no PyTorch names"),
        ({"name": "resnet"}, "must be one of"),
    ],
)
def test_wrong_arguments_are_named(arguments, words, tmp_path):
    np.savez(tmp_path / "state.npz", weight=np.zeros(3))
    with pytest.raises(ValueError, match=words):
        kerafer.import_weights(checkpoint=tmp_path / "state.npz", out=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_labels_in_another_order_are_evaluated_by_name(ean, faces):
    from dataclasses import replace

    class Turned:
        input_size = ean.runner.input_size

        def predict(self, x):
            return ean.runner.predict(x)[:, ::-1]

    turned = replace(ean, card=replace(ean.card, labels=ean.card.labels[::-1]), runner=Turned())
    assert kerafer.evaluate(turned, faces).confusion == kerafer.evaluate(ean, faces).confusion


# -- Keras 2 ------------------------------------------------------------------------------------------------------


def write_keras_2(path, model, first=1):
    """Write LCNN as Keras 2 wrote mini-Xception: numbered in order of creation, a block's shortcut first."""
    names = [f"stem{i}_{part}" for i in (1, 2) for part in ("conv", "bn")]
    for block in range(1, 5):
        names += [f"block{block}_shortcut_conv", f"block{block}_shortcut_bn"]
        for part in (1, 2):
            names += [f"block{block}_separable{part}", f"block{block}_separable{part}_bn"]
    numbers = {}
    with h5py.File(path, "w") as file:
        height, width, channels = model.input_shape[1:]
        config = {"config": {"layers": [{"config": {"batch_input_shape": [None, height, width, channels]}}]}}
        file.attrs["model_config"] = json.dumps(config).encode()
        groups = file.create_group("model_weights")
        for name in [*names, "tail_conv"]:
            kind = "batch_normalization" if name.endswith("bn") else "conv2d"
            parts = [name]
            if "separable" in name and not name.endswith("bn"):
                kind, parts = "separable_conv2d", [f"{name}_depthwise", f"{name}_pointwise"]
            numbers[kind] = numbers.get(kind, first - 1) + 1
            group = groups.create_group(f"{kind}_{numbers[kind]}")
            arrays = [w for part in parts for w in model.get_layer(part).get_weights()]
            group.attrs["weight_names"] = [f"weight{i}".encode() for i in range(len(arrays))]
            for i, array in enumerate(arrays):
                group[f"weight{i}"] = array
        groups.create_group("activation_1").attrs["weight_names"] = np.array([], "S1")


@pytest.mark.parametrize("first", [1, 9])  # Keras 2 counted on where other models were built before
def test_mini_xception_by_order_of_creation(first, tmp_path):
    original = fill(kerafer.build_model("lcnn", input_shape=(64, 64, 1)))
    write_keras_2(tmp_path / "model.hdf5", original, first)
    kerafer.import_weights("lcnn", tmp_path / "model.hdf5", tmp_path / "model")
    loaded = kerafer.load_model(tmp_path / "model")
    assert loaded.card.preprocessing.size == (64, 64)
    assert loaded.card.parameters == 56_951  # the network's; in the deployed one colour is folded in
    gray = detx(2, 64, 64, 1)
    expected = original.predict(gray, verbose=0)
    np.testing.assert_allclose(loaded.runner.predict(np.repeat(gray, 3, axis=-1)), expected, atol=1e-5)


def test_reading_that_does_not_end_is_given_up(tmp_path, monkeypatch):
    write_keras_2(tmp_path / "model.hdf5", kerafer.build_model("lcnn"))
    monkeypatch.setattr(keras_2, "LONGEST", 0)
    with pytest.raises(ValueError, match=r"model\.hdf5 is not a whole.* did not end within 0 seconds"):
        keras_2.read_keras_2(tmp_path / "model.hdf5")


def test_files_that_hold_another_network_are_refused(tmp_path):
    model = kerafer.build_model("lcnn")
    (tmp_path / "text.hdf5").write_text("no model")
    with pytest.raises(ValueError, match="not a whole Keras 2 model file"):
        load_mini_xception(model, tmp_path / "text.hdf5")
    write_keras_2(tmp_path / "eight.hdf5", kerafer.build_model("lcnn", classes=8))
    before = model.get_weights()
    with pytest.raises(ValueError, match="tail_conv must have the shapes"):
        load_mini_xception(model, tmp_path / "eight.hdf5")
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    with h5py.File(tmp_path / "eight.hdf5", "a") as file:
        del file["model_weights"]["conv2d_7"]
    with pytest.raises(ValueError, match="must hold mini-Xception"):
        load_mini_xception(model, tmp_path / "eight.hdf5")
    with pytest.raises(FileNotFoundError, match="no file"):
        load_mini_xception(model, tmp_path / "none.hdf5")


@pytest.mark.slow
def test_fers_own_weights_give_its_numbers(fer_hdf5):
    model = load_mini_xception(kerafer.build_model("lcnn", input_shape=(64, 64, 1)), fer_hdf5)
    i, j = np.mgrid[:64, :64]
    x = (((7 * i + 13 * j) % 256) / 127.5 - 1)[None, :, :, None]
    expected = [0.030186, 0.0, 0.003374, 0.002438, 0.807425, 0.00003, 0.156546]
    np.testing.assert_allclose(model.predict(x, verbose=0)[0], expected, atol=1e-4)
