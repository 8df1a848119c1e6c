"""What every model of the zoo promises."""

import dataclasses

import keras
import numpy as np
import pytest

import kerafer
from kerafer.exporting import convert
from kerafer.quantization.twin import to_twin
from kerafer.runtime import LiteRTRunner

MODELS = kerafer.list_models()


def built(name, **options):
    """A model with moving statistics and weights away from their initial values."""
    model = kerafer.build_model(name, **options)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(0.0, 0.3, w.shape) for w in model.get_weights()])
    return model


def picture(model, count=2):
    return np.random.default_rng(1).random((count, *model.input_shape[1:]), np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_spec_states_what_is_built(name):
    spec, counted = kerafer.model_spec(name), kerafer.profile(kerafer.build_model(name))
    assert counted.trainable_parameters == spec.parameters
    assert counted.flops[spec.ruler] == spec.flops
    assert counted.input_shape == spec.input_shape


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_or_logits(name):
    model = built(name)
    logits = kerafer.build_model(name, classifier_activation=None)
    logits.set_weights(model.get_weights())
    x = picture(model)
    probabilities = model.predict(x, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities, keras.ops.softmax(logits.predict(x, verbose=0)), atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_saves_and_loads_in_safe_mode(name, tmp_path):
    model = built(name)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    x = picture(model)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("name", MODELS)
def test_twin_and_float_file_give_the_same_numbers(name, tmp_path):
    model = built(name)
    x = picture(model, 1)
    expected = model.predict(x, verbose=0)
    assert expected.max() - expected.min() > 0.01, "outputs must differ for the comparison to mean anything"
    np.testing.assert_allclose(to_twin(model)(x), expected, atol=1e-6)
    (tmp_path / "model.tflite").write_bytes(convert(model, "float32"))
    np.testing.assert_allclose(LiteRTRunner(tmp_path / "model.tflite").predict(x), expected, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_standard_layers_only(name):
    custom = [
        layer.name for layer in kerafer.build_model(name).layers if not type(layer).__module__.startswith("keras.")
    ]
    assert not custom


@pytest.mark.parametrize("classes", [2, 8, 100])
@pytest.mark.parametrize("shape", [(32, 32, 3), (48, 48, 1), (256, 256, 3), (33, 47, 1)])
def test_any_size_channels_and_classes(shape, classes):
    model = kerafer.build_model("ean", input_shape=shape, classes=classes)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, classes)
    assert model.predict(picture(model, 1), verbose=0).shape == (1, classes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "eam"}, "one of.*ean"),
        ({"input_shape": (31, 44, 3)}, "32 to 256"),
        ({"input_shape": (44, 257, 3)}, "32 to 256"),
        ({"input_shape": (44, 44)}, "three integers"),
        ({"input_shape": (44, 44, 4)}, "1 or 3 channels"),
        ({"input_shape": (44.0, 44, 3)}, "three integers"),
        ({"classes": 1}, "`classes`.*Received: classes=1"),
        ({"classes": 7.0}, "`classes`"),
        ({"classes": True}, "`classes`"),
        ({"classifier_activation": "sigmoid"}, "classifier_activation"),
        ({"weights": "imagenet"}, "one of.*fer2013"),
        ({"padding": "valid"}, "`padding`.*Received"),
        ({"eca_kernel": 2}, "odd"),
        ({"depth": 3}, "depth"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        kerafer.build_model(**{"name": "ean", **arguments})


def test_unknown_weights_for_another_class_count():
    with pytest.raises(ValueError, match=r"shape.*class count"):
        kerafer.build_model("ean", classes=8, weights="fer2013")


def test_registry_takes_new_models_and_refuses_taken_names():
    spec = dataclasses.replace(kerafer.model_spec("ean"), name="ean_registered_by_a_test")
    kerafer.register_model(spec)
    try:
        assert spec.name in kerafer.list_models()
        assert kerafer.build_model(spec.name).output_shape == (None, 7)
        with pytest.raises(ValueError, match="registered already"):
            kerafer.register_model(dataclasses.replace(spec, title="Another"))
        with pytest.raises(ValueError, match="lower-case"):
            kerafer.register_model(dataclasses.replace(spec, name="My Net"))
    finally:
        from kerafer import specs

        specs.REGISTRY.pop(spec.name)
