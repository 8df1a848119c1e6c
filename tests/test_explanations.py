"""Grad-CAM is its definition, for every model; embeddings lay classes out; plots are figures."""

import json

import keras
import numpy as np
import pytest
from kinds import EACH
from matplotlib.figure import Figure
from PIL import Image

import kerafer
from kerafer.cli.main import main
from kerafer.data.samples import portrait, portrait_faces, synthetic
from kerafer.evaluation import embeddings, explained_layers, grad_cam, layout, measure, predict
from kerafer.evaluation.explanations import logits_of
from kerafer.files import read_json
from kerafer.loading import own_model
from kerafer.plots import embedding_scatter, grad_cam_grid, label_distributions, training_curves


def inputs(loaded, count=2):
    contract = loaded.card.preprocessing
    return contract.scale(portrait_faces(contract, count, seed=1))


def test_the_last_map_is_the_definition(ean):
    x, found = inputs(ean), grad_cam(ean, inputs(ean))
    *_, (name, shape) = found.layers
    # of EAN's head, logits are the means of the last maps: the gradient is 1 / places in the class's own channel
    maps = keras.Model(ean.model.inputs, ean.model.get_layer(name).output).predict(x, verbose=0)
    assert maps.shape[1:3] == shape
    for picture, chosen in enumerate(found.classes):
        warm = np.maximum(maps[picture, :, :, chosen], 0)
        coarse = found.maps[-1, picture]
        assert coarse.max() <= 1
        np.testing.assert_allclose(coarse.max(), 1, atol=0.2)  # enlarging takes the edge off a peak
        y, x_ = np.unravel_index(warm.argmax(), warm.shape)
        side = coarse.shape[0] / shape[0]
        assert coarse[int((y + 0.5) * side), int((x_ + 0.5) * side)] > 0.8
    np.testing.assert_allclose(found.probabilities, ean.runner.predict(x), atol=1e-5)


def test_another_class_has_another_map(ean):
    one, other = (grad_cam(ean, inputs(ean), [c, c]).maps for c in (0, 3))
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("name", EACH)
def test_every_model_can_be_explained(name):
    keras.utils.set_random_seed(1)
    model = kerafer.build_model(name)
    shape = kerafer.model_spec(name).input_shape
    names = explained_layers(model)
    assert len(names) == len(set(names)) >= 2
    sizes = [layer.output.shape[1] for layer in map(model.get_layer, names)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= shape[0]
    loaded = own_model(model, kerafer.model_spec(name).labels)
    x = np.random.default_rng(0).random((1, *shape[:2], 3), np.float32)
    found = grad_cam(loaded, x)
    assert found.maps.shape == (len(names), 1, *shape[:2])
    assert [name for name, _ in found.layers] == names
    assert np.isfinite(found.maps).all()
    assert 0 <= found.maps.min() <= found.maps.max() <= 1
    assert found.maps.max(axis=(1, 2, 3)).any()  # something argues for the class


@pytest.mark.parametrize("dense", [True, False])
def test_logits_are_found_before_a_softmax_of_any_kind(dense):
    x = keras.Input((8, 8, 3))
    y = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, strides=2)(x))
    y = keras.layers.Dense(7, "softmax")(y) if dense else keras.layers.Softmax()(keras.layers.Dense(7)(y))
    model = keras.Model(x, y)
    logits = keras.Model(x, logits_of(model)).predict(np.ones((1, 8, 8, 3)), verbose=0)
    assert abs(logits.sum() - 1) > 1e-3
    expected = model.predict(np.ones((1, 8, 8, 3)), verbose=0)
    np.testing.assert_allclose(keras.ops.softmax(logits), expected, atol=1e-6)
    loaded = own_model(model, tuple("abcdefg"))
    assert grad_cam(loaded, np.ones((1, 8, 8, 3), np.float32)).maps.shape == (1, 1, 8, 8)


def test_what_cannot_be_explained_is_refused(ean, bundle_folder):
    file = kerafer.load_model(next(bundle_folder.glob("*_float32.tflite")))
    for ask in (lambda: grad_cam(file, inputs(file)), lambda: embeddings(file, synthetic(7))):
        with pytest.raises(ValueError, match=r"a \.tflite file"):
            ask()
    with pytest.raises(ValueError, match=r"`classes` must be 0 to 6. Received: \[7, 0\]"):
        grad_cam(ean, inputs(ean), [7, 0])


def test_embeddings_keep_what_belongs_together_together(ean):
    data = synthetic(28)
    vectors = embeddings(ean, data)
    assert vectors.shape[0] == 28
    assert vectors.shape[1] > 7
    twice = embeddings(ean, data.take([3, 3, 9]))
    np.testing.assert_allclose(twice[0], twice[1])
    for method in ("pca", "tsne"):
        places = layout(vectors, method)
        assert places.shape == (28, 2)
        np.testing.assert_allclose(layout(vectors, method), places)
    for bad in (("umap", vectors), ("pca", vectors[:2])):
        with pytest.raises(ValueError, match="`method` must be one of"):
            layout(bad[1], bad[0])


def test_plots_are_figures_and_files_only_where_asked(ean, tmp_path):
    x = inputs(ean)
    found, pixels = grad_cam(ean, x), portrait_faces(ean.card.preprocessing, 2, seed=1)
    texts = {"probabilities": found.probabilities, "labels": ean.card.labels, "classes": found.classes}
    figure = grad_cam_grid(pixels, found.maps, found.layers, None, "title", **texts)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 2 * (len(found.layers) + 2)
    places = np.random.default_rng(0).normal(size=(21, 2))
    assert isinstance(embedding_scatter(places, np.arange(21) % 7, ean.card.labels, None, "title"), Figure)
    history = [{"epoch": 1.0, "loss": 1.0, "accuracy": 0.5, "learning_rate": 0.1}]
    assert isinstance(training_curves(history, tmp_path / "curves.png", "title"), Figure)
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_distributions_are_drawn_as_they_are(ean):
    faces = portrait_faces(ean.card.preprocessing, 4, seed=1)
    values = np.random.default_rng(0).dirichlet([1.0] * 7, 4)
    captions = [f"face {n}" for n in range(4)]
    figure = label_distributions(list(faces), values, ean.card.labels, None, "title", captions=captions)
    pictures, bars = figure.axes[0:8:2], figure.axes[1:8:2]
    assert [axes.get_title() for axes in pictures] == captions
    for axes, row in zip(bars, values, strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], row)
        red = [bar.get_facecolor()[0] > 0.7 for bar in axes.patches]
        assert np.flatnonzero(red).tolist() == [row.argmax()]
    for wrong in ((list(faces[:3]), values), (list(faces), values[:, :6]), ([], values[:0])):
        with pytest.raises(ValueError, match="`distributions` be"):
            label_distributions(*wrong, ean.card.labels, None, "title")


def test_distributions_and_measures_from_the_command(tmp_path, capsys, ean):
    photo, out, predictions = tmp_path / "photo.png", tmp_path / "out.svg", tmp_path / "ean.npz"
    Image.fromarray(portrait()).save(photo)
    assert main(["plot", "distribution", str(photo), "--out", str(out), "--json"]) == 0
    [face] = json.loads(capsys.readouterr().out)["faces"]
    assert face["label"] == max(face["probabilities"], key=face["probabilities"].get)
    assert out.read_text().count("<svg") == 1
    found = predict(ean, synthetic(21))
    found.save(predictions)
    measured = measure(found)
    told = {"confusion": ("confusion", measured.confusion), "reliability": ("bins", measured.calibration)}
    for name, (key, value) in told.items():
        out = tmp_path / f"{name}.png"
        assert main(["plot", name, str(predictions), "--out", str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[key] == value
        assert np.asarray(Image.open(out).convert("L")).std() > 5


def test_the_commands(tmp_path, capsys, fer_csv):
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray(portrait()).save(photo)
    model = ("ean", "--weights", "fer2013")
    chosen = ("--model", *model, "--out", str(out), "--json")
    assert main(["plot", "gradcam", str(photo), *chosen, "--label", "happy"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"][0]["explained"] == "happy"
    assert Image.open(out).size[0] > 600
    out.unlink()
    data = ("--data", f"fer2013:{fer_csv}", "--split", "train", "--out", str(out))
    assert main(["plot", "embedding", *model, *data, "--images", "9"]) == 0
    assert out.is_file()
    assert main(["plot", "curves", "results/runs/ean-fer2013", "--out", str(out), "--json"]) == 0
    epochs = read_json("results/runs/ean-fer2013/run.json")["settings"]["recipe"]["epochs"]
    assert f'"epochs": {epochs}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gradcam", "photo.png", "--weights", "fer2013", "--label", "joy"), "`--label` must be one of angry"),
        (("gradcam", "photo.png", "--weights", "fer2013"), "No face was found"),
        (("distribution", "photo.png"), "No face was found"),
        (("curves", "nowhere"), "There is no history"),
    ],
)
def test_bad_input_is_told(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save("photo.png")
    assert main(["plot", *arguments]) == 2
    assert message in capsys.readouterr().err
