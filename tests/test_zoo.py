"""What every model of the zoo promises."""

import dataclasses
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from kinds import EACH, MODELS, ONE_OF_EACH_KIND, SYSTEMS
from parity import fill, pictures

import kerafer

STEP = Path(__file__).with_name("training_step.py")

LARGE = tuple(name for name in ONE_OF_EACH_KIND if name.startswith(("vgg", "resnet", "ldg_")))
"""11 million parameters and more: they take as long as all others together."""


def small(name):
    """Input shape of a quick test: the spec's up to 48 pixels, else 64."""
    height, _, channels = kerafer.model_spec(name).input_shape
    side = min(height, 64)
    return (side, side, channels)


@cache
def built(name, shape=None):
    """The model with logits and weights under which every layer matters; do not change it."""
    return fill(kerafer.build_model(name, input_shape=shape or small(name), classifier_activation=None))


@cache
def logits(name, shape=None):
    model = built(name, shape)
    return model.predict(picture(model), verbose=0)


def picture(model):
    """A dark and a bright picture, (2, height, width, channels)."""
    return pictures(8, *model.input_shape[1:])[[0, -1]]


@pytest.mark.parametrize("name", MODELS)
def test_spec_states_what_is_built(name):
    spec, counted = kerafer.model_spec(name), kerafer.profile(kerafer.build_model(name))
    assert counted.trainable_parameters == spec.parameters
    assert counted.flops[spec.ruler] == spec.flops
    assert counted.input_shape == spec.input_shape
    assert counted.model == name


@pytest.mark.parametrize("name", EACH)
def test_saves_and_loads_in_safe_mode_with_probabilities(name, tmp_path):
    model = kerafer.build_model(name, input_shape=small(name))
    model.set_weights(built(name).get_weights())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    probabilities = again.predict(picture(model), verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities, keras.ops.softmax(logits(name)), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [SYSTEMS, pytest.param(sorted({*ONE_OF_EACH_KIND} - {*LARGE, *SYSTEMS}), marks=pytest.mark.exhaustive)],
    ids=["systems", "others"],
)
def test_one_training_step_is_the_same_on_both_backends(names, tmp_path):
    models = [f"{name}:32" for name in names]
    out = {backend: tmp_path / f"{backend}.npz" for backend in ("tensorflow", "jax")}
    running = []
    for backend, path in out.items():  # side by side, each in a process of its own
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",  # each graph runs once: compile fast
        }
        running.append(subprocess.Popen([sys.executable, STEP, *models, path], env=environment))
    try:
        assert [process.wait(timeout=900) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    tensorflow, jax = (np.load(path) for path in out.values())
    for name in names:
        step, other = tensorflow[f"{name}/step"], jax[f"{name}/step"]
        assert min(np.abs(step).max(), np.abs(other).max()) > 1e-4, f"{name} did not train"
        np.testing.assert_allclose(jax[f"{name}/loss"], tensorflow[f"{name}/loss"], rtol=1e-4, err_msg=name)
        apart = np.linalg.norm(other - step) / np.linalg.norm(step)
        assert apart < 0.02, f"{name}: the steps are {apart:.2%} apart"


@pytest.mark.parametrize("name", MODELS)
def test_standard_layers_only(name):
    custom = [
        layer.name
        for layer in kerafer.build_model(name, input_shape=small(name)).layers
        if not type(layer).__module__.startswith("keras.")
    ]
    assert not custom


@pytest.mark.parametrize("name", MODELS)
def test_maps_keep_within_rank_4(name):
    assert all(len(layer.output.shape) <= 4 for layer in kerafer.build_model(name, input_shape=small(name)).layers)


@pytest.mark.parametrize("name", EACH)
def test_other_sizes_and_classes(name):
    spec = kerafer.model_spec(name)
    side = max(spec.min_size, 2 * spec.size_multiple)
    model = kerafer.build_model(name, input_shape=(side, side + spec.size_multiple, 1), classes=8)
    assert model.predict(picture(model), verbose=0).shape == (2, 8)


@pytest.mark.parametrize("name", [name for name in MODELS if kerafer.model_spec(name).size_multiple > 1])
def test_sizes_that_cannot_be_cut_in_four_are_refused(name):
    with pytest.raises(ValueError, match=r"divisible by 16.*Received"):
        kerafer.build_model(name, input_shape=(100, 96, 3))


@pytest.mark.parametrize("classes", [2, 8, 100])
@pytest.mark.parametrize("shape", [(32, 32, 3), (48, 48, 1), (256, 256, 3), (33, 47, 1)])
def test_any_size_channels_and_classes(shape, classes):
    model = kerafer.build_model("ean", input_shape=shape, classes=classes)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, classes)
    assert model.predict(picture(model), verbose=0).shape == (2, classes)


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


def test_profile_refuses_what_it_cannot_count():
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="inner")
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match=r"'inner', a Sequential with weights.*unpacked"):
        kerafer.profile(keras.Model(inputs, inner(inputs)))
    inputs = keras.Input((None, 8, 3))
    with pytest.raises(ValueError, match="static input shape"):
        kerafer.profile(keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)))


def test_profile_adds_up():
    counted = kerafer.profile(kerafer.build_model("efficientface"))
    for ruler, total in counted.flops.items():
        assert sum(layer.flops[ruler] for layer in counted.layers) == total
    assert sum(layer.parameters for layer in counted.layers) == counted.trainable_parameters
    assert sum(layer.memory for layer in counted.layers) == counted.memory
