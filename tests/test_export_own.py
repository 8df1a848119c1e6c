"""Networks of the user's own: what cannot be exported is named, and what can gets a card."""

import keras
import numpy as np
import pytest
from keras import layers
from test_export_anywhere import SIZE, conv, stacked, varied

import kerafer
from kerafer.loading import own_model
from kerafer.quantization.twin import to_twin


@keras.saving.register_keras_serializable(package="tests")
class Doubling(keras.layers.Layer):
    def call(self, x):
        return x * 2


@keras.saving.register_keras_serializable(package="tests")
def cubed(x):
    return x * x * x


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="inner")
        self.layer = layers.Conv2D(3, 1)

    def call(self, x):
        return self.layer(x)


def on_tensors(function):
    def make():
        inputs = keras.Input(SIZE)
        return keras.Model(inputs, layers.Flatten()(function(inputs)))

    return make


def quantized():
    model = stacked(layers.Flatten(), layers.Dense(3, name="packed"))
    model.quantize("int8")
    return model


REFUSED = {
    "lambda": (lambda: stacked(layers.Lambda(lambda x: x * 2, name="twice"), layers.Flatten()), "'twice' is a Lambda"),
    "ops": (on_tensors(keras.ops.sin), r"Operation 'sin.*' is keras\.src\.ops\.numpy\.Sin: keras\.ops"),
    "plus": (on_tensors(lambda x: x + 1), r"Operation 'add.*' is keras\.src\.ops\.numpy\.Add: .*keras\.layers\.Add"),
    "custom": (lambda: stacked(Doubling(name="mine")), r"'mine' is .*\.Doubling, no standard layer"),
    "nested custom": (lambda: stacked(stacked(conv(), Doubling(name="deep"), size=SIZE)), r"'deep' is .*\.Doubling"),
    "subclassed": (Subclassed, r"functional keras\.Model"),
    "nested subclassed": (lambda: stacked(Subclassed()), "'inner' is Subclassed, a subclassed model"),
    "activation": (lambda: stacked(conv(activation=cubed, name="first")), "'first' has activation='.*cubed'"),
    "unknown activation": (lambda: stacked(layers.Activation("celu", name="c")), "'c' has the activation 'celu'"),
    "new layer": (lambda: stacked(layers.RMSNormalization(name="rms")), "'rms' is a RMSNormalization, which Keras 2"),
    "two outputs": (
        lambda: keras.Model(i := keras.Input(SIZE), [layers.ReLU(name="r")(i), layers.Flatten(name="f")(i)]),
        "one output .*with the outputs ",
    ),
    "integers": (
        lambda: keras.Model(i := keras.Input(SIZE, dtype="uint8"), layers.Rescaling(1 / 255)(i)),
        "float input",
    ),
    "wrapped": (lambda: stacked(layers.TimeDistributed(layers.Dense(2), name="timed")), "'timed' has layer='Dense'"),
    "quantized": (quantized, r"'packed' was quantized by Keras \(int8_from_float32\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_named(case):
    make, words = REFUSED[case]
    with pytest.raises(TypeError, match=words):
        to_twin(make())


def test_a_size_that_is_not_fixed_is_refused():
    with pytest.raises(ValueError, match="fixed size"):
        to_twin(stacked(conv(), layers.GlobalAveragePooling2D(), size=(None, None, 3)))


def test_other_numbers_are_noticed():
    class Louder(layers.ReLU):
        def call(self, x):
            return super().call(x) * 1.001

    Louder.__module__ = "kerafer.layers.louder"  # taken for one of kerafer's own, which stand in for standard ones
    with pytest.raises(ValueError, match="gives other numbers"):
        to_twin(varied(stacked(conv(), Louder(), layers.Flatten())))


def classifier(activation="softmax", size=SIZE, name="My-Net-2"):
    return stacked(conv(), layers.Flatten(), layers.Dense(3, activation=activation), size=size, name=name)


def test_a_keras_file_of_ones_own(tmp_path):
    outer = keras.Sequential([classifier(name="inner")], name="outer")
    outer.build((None, *SIZE))
    outer.save(tmp_path / "own.keras")
    with pytest.raises(FileNotFoundError, match=r"no card\.json beside .*own\.keras.*`labels`"):
        kerafer.load_model(tmp_path / "own.keras")
    loaded = kerafer.load_model(tmp_path / "own.keras", labels=("a", "b", "c"))
    assert loaded.card.model == "outer"
    assert loaded.card.preprocessing == kerafer.Preprocessing(size=(16, 16), resize=(16, 16))
    wider = kerafer.Preprocessing(size=(16, 16), resize=(20, 20), mean=(0.5,) * 3, std=(0.5,) * 3)
    assert (
        kerafer.load_model(tmp_path / "own.keras", labels=("a", "b", "c"), preprocessing=wider).card.preprocessing
        == wider
    )
    bundle = kerafer.export(loaded, tmp_path / "bundle", recipes=("float16",))
    assert bundle.tflite_files == ("outer_float16.tflite",)
    again = kerafer.load_model(tmp_path / "bundle")
    assert again.card.labels == ("a", "b", "c")
    with pytest.raises(ValueError, match="without a card"):
        kerafer.load_model(tmp_path / "bundle" / "model.keras", labels=("a", "b", "c"))
    stacked(Doubling()).save(tmp_path / "strange.keras")
    keras.saving.get_custom_objects().pop("tests>Doubling")
    try:
        with pytest.raises(ValueError, match=r"(?s)strange\.keras .*Doubling"):
            kerafer.load_model(tmp_path / "strange.keras", labels=("a", "b"))
    finally:
        keras.saving.get_custom_objects()["tests>Doubling"] = Doubling


@pytest.mark.parametrize(
    ("stack", "values"),
    [
        ([layers.Rescaling(1 / 255), layers.Flatten()], [0.0, 255.0]),
        ([layers.RandomFlip(), layers.Rescaling(1 / 127.5, -1), layers.Flatten()], [0.0, 255.0]),
        ([layers.Rescaling(2.0, -1), layers.Flatten()], [0.0, 1.0]),
        ([layers.Flatten()], [0.0, 1.0]),
    ],
)
def test_what_the_network_scales_by_itself_is_not_scaled_twice(stack, values):
    model = stacked(*stack, layers.Dense(2, activation="softmax"), name="My-Net-2")
    card = own_model(model, ("yes", "no")).card
    assert card.model == "my_net_2"
    extremes = np.stack([np.zeros(SIZE, np.uint8), np.full(SIZE, 255, np.uint8)])
    np.testing.assert_allclose(card.preprocessing.scale(extremes)[:, 0, 0, 0], values, rtol=1e-6)


def test_a_gray_network_of_ones_own_takes_colour():
    model = varied(classifier(size=(16, 16, 1), name="gray"))
    loaded = own_model(model, ("a", "b", "c"))
    gray = np.random.default_rng(0).random((3, 16, 16, 1)).astype(np.float32)
    np.testing.assert_allclose(loaded.runner.predict(np.repeat(gray, 3, -1)), model.predict(gray, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "arguments", "words"),
    [
        (classifier, {"labels": ("a", "b")}, "`labels` must name the 3 classes of My-Net-2"),
        (classifier, {"labels": ("a", "b", "a")}, "different"),
        (lambda: classifier(None), {}, r"probabilities that add up to 1.*keras\.layers\.Softmax\(\)\(model\.output\)"),
        (lambda: classifier("sigmoid"), {}, "add up to 1"),
        (lambda: classifier(size=(16, 16, 4)), {}, r"must take pictures .*\(16, 16, 4\)"),
        (lambda: stacked(conv(3)), {}, r"output \(None, 16, 16, 3\)"),
        (classifier, {"preprocessing": kerafer.Preprocessing(size=(8, 8), resize=(8, 8))}, r"preprocessing\.size"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(make, arguments, words):
    with pytest.raises(ValueError, match=words):
        own_model(make(), **{"labels": ("a", "b", "c"), **arguments})
