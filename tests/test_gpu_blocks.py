"""Every block runs on LiteRT's GPU accelerator, and gives Keras's numbers there: in float32, and in float16."""

import os

import keras
import numpy as np
import pytest

from kerafer import layers
from kerafer.exporting import convert
from kerafer.runtime import LiteRTRunner
from kerafer.verification.gpu import ATTEMPTS, VulkanDevice, _answers, run_on_gpu
from kerafer.verification.ladder import TOOLS
from kerafer.verification.oplint import inspect_operators

GPU_IS_REQUIRED = bool(os.environ.get("KERAFER_REQUIRE_RUNGS"))


def turned_patches(x):
    """Cut a map in four and put it together upside down, so that the way back is no identity."""
    patches = layers.split_patches(x, name="b_split")
    turned = dict(zip(patches, reversed(patches.values()), strict=True))
    return layers.join_patches(turned, name="b_join")


def louder(x):
    """Enlarge a map, so that values within a block go beyond 6 and ReLU6 differs from ReLU."""
    return keras.layers.Rescaling(10.0)(x)


# name, block, shape of its input
BLOCKS = [
    ("relu6", lambda x: layers.activate(x, "relu6", "b"), (8, 8, 16)),
    ("mish", lambda x: layers.mish(x, name="b"), (8, 8, 16)),
    ("eca", lambda x: layers.eca(x, name="b"), (8, 8, 16)),
    ("modulator", lambda x: layers.channel_spatial_modulator(x, name="b", reduction=4), (14, 14, 16)),
    ("residual separable", lambda x: layers.residual_separable(x, 24, name="b"), (9, 9, 16)),
    ("inverted residual", lambda x: layers.inverted_residual_eca(x, 16, name="b", expansion=2), (8, 8, 16)),
    ("shuffle of 2 groups", lambda x: layers.channel_shuffle(x, name="b"), (8, 8, 16)),
    ("shuffle of 4 groups", lambda x: layers.channel_shuffle(x, name="b", groups=4), (6, 5, 12)),
    ("shuffle unit", lambda x: layers.shuffle_unit(x, 16, name="b"), (8, 8, 16)),
    ("shuffle unit, stride 2", lambda x: layers.shuffle_unit(x, 24, name="b", strides=2), (8, 8, 16)),
    ("patches", turned_patches, (8, 6, 16)),
    ("local features", lambda x: layers.local_features(x, 32, name="b"), (16, 16, 16)),
    ("PDWRes", lambda x: layers.local_features(louder(x), 32, name="b", activation="relu6"), (16, 16, 16)),
    ("convolution head", lambda x: layers.conv_gap_head(x, 7, name="b"), (8, 8, 16)),
    ("output module", lambda x: layers.output_module(x, 7, name="b"), (6, 6, 16)),
    ("output module of 3x3", lambda x: layers.output_module(x, 7, name="b", pool=3), (7, 7, 16)),
]
EVERY_BLOCK = pytest.mark.parametrize(("block", "shape"), [b[1:] for b in BLOCKS], ids=[b[0] for b in BLOCKS])


def model_of(block, shape):
    """Return a model of one block, with weights and statistics that leave nothing of it idle."""
    inputs = keras.Input(shape)
    model = keras.Model(inputs, keras.layers.Flatten()(block(inputs)))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("gamma", "moving_variance")):
            value = rng.uniform(0.5, 1.5, weight.shape)
        elif weight.path.endswith(("beta", "bias", "moving_mean")):
            value = rng.normal(0, 0.3, weight.shape)
        else:  # kernels; a depthwise one has as many inputs as it has places
            inputs_each = np.prod(weight.shape[:2] if "depthwise" in weight.path else weight.shape[:-1])
            value = rng.normal(0, inputs_each**-0.5, weight.shape)
        weight.assign(value)
    return model


@pytest.fixture(scope="module")
def inputs_and_file(tmp_path_factory):
    """Return inputs, and a float32 file of a block that gives Keras's numbers for them on the CPU; made once each."""
    made = {}

    def make(block, shape):
        if block not in made:
            model = model_of(block, shape)
            x = np.random.default_rng(1).normal(0, 2, (3, *shape)).astype(np.float32)
            path = tmp_path_factory.mktemp("block") / "block.tflite"
            path.write_bytes(convert(model, "float32"))
            expected = model.predict(x, verbose=0)
            assert np.ptp(expected, axis=0).max() > 0.01, "these inputs do not tell right from wrong"
            np.testing.assert_allclose(LiteRTRunner(path).predict(x), expected, rtol=1e-5, atol=1e-5)
            made[block] = x, path
        return made[block]

    return make


def demand(run):
    """Skip where there is no device, unless one is required."""
    if run.status == "cannot run" and not GPU_IS_REQUIRED:
        pytest.skip(f"no device: {run.message}")
    assert run.status == "ok", run


@pytest.mark.slow
@EVERY_BLOCK
def test_a_block_is_accepted_and_right_in_float32(block, shape, inputs_and_file):
    x, path = inputs_and_file(block, shape)
    assert not inspect_operators(path).refused
    demand(run_on_gpu(path, x))


@pytest.mark.slow
@EVERY_BLOCK
def test_a_block_is_right_in_float16(block, shape, inputs_and_file):
    x, path = inputs_and_file(block, shape)
    # float16 has 11 significant bits, and the rounding of a few steps adds up
    largest = max(1.0, float(np.abs(LiteRTRunner(path).predict(x)).max()))
    demand(run_on_gpu(path, x, precision="float16", tolerance=largest * 2**-8))


@pytest.mark.slow
def test_float16_is_really_float16(inputs_and_file):
    def square_beyond_float16(x):
        large = keras.layers.Rescaling(300.0)(x)
        return keras.layers.Rescaling(1e-4)(keras.layers.Multiply()([large, large]))

    x, path = inputs_and_file(square_beyond_float16, (4, 4, 8))
    demand(run_on_gpu(path, x))
    run = run_on_gpu(path, x, precision="float16")
    if run.status == "cannot run" and not GPU_IS_REQUIRED:
        pytest.skip(run.message)
    assert run.status == "wrong numbers", run
    assert "65504" in run.message


@pytest.mark.slow
def test_weights_larger_than_the_device_binds_are_wrong_numbers_and_the_driver_is_quoted(tmp_path):
    """A dense layer of 151 MB in float16, where lavapipe binds the 128 MiB that Vulkan and WebGPU promise at least."""
    kernel = np.broadcast_to(np.float32(1e-4), (16384, 4608))
    inputs = keras.Input((64, 64, 4))
    dense = keras.layers.Dense(4608, use_bias=False)
    model = keras.Model(inputs, keras.layers.Dense(7)(dense(keras.layers.Flatten()(inputs))))
    dense.kernel.assign(kernel)
    path = tmp_path / "large.tflite"
    path.write_bytes(convert(model, "float16"))
    run = run_on_gpu(path, np.ones((1, 64, 64, 4), np.float32), precision="float16")
    if run.status == "cannot run" and not GPU_IS_REQUIRED:
        pytest.skip(run.message)
    assert run.status == "wrong numbers", run
    assert "larger than the maximum storage buffer binding size (134217728)" in run.message


def test_without_a_float16_device_nothing_is_claimed(monkeypatch, tmp_path):
    monkeypatch.setenv(TOOLS, str(tmp_path))
    x = np.zeros((1, 4, 4, 8), np.float32)
    assert run_on_gpu(tmp_path / "any.tflite", x, precision="float16").status == "cannot run"
    with pytest.raises(FileNotFoundError, match="make lavapipe"):
        run_on_gpu(tmp_path / "any.tflite", x, precision="float16", device=VulkanDevice(tmp_path))
    with pytest.raises(ValueError, match="float8"):
        run_on_gpu(tmp_path / "any.tflite", x, precision="float8")


@pytest.mark.parametrize("failures", [1, ATTEMPTS])
def test_a_device_that_compiles_for_long_is_waited_for_but_not_for_ever(failures, inputs_and_file, monkeypatch):
    """LiteRT gave up on lavapipe where a busy machine compiled shaders for minutes."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.tensor_buffer import TensorBuffer

    read, left = TensorBuffer.read, [failures]

    def slow(buffer, *arguments):
        if left[0]:
            left[0] -= 1
            raise RuntimeError("Failed to lock custom tensor buffer.")
        return read(buffer, *arguments)

    monkeypatch.setattr(TensorBuffer, "read", slow)
    x, path = inputs_and_file(lambda x: layers.eca(x, name="b"), (8, 8, 16))
    compiled = CompiledModel.from_file(str(path), hardware_accel=HardwareAccelerator.CPU)
    expected = LiteRTRunner(path).predict(x)
    if failures < ATTEMPTS:
        np.testing.assert_allclose(_answers(compiled, x, expected.shape[1]), expected, atol=1e-6)
    else:
        with pytest.raises(RuntimeError, match="Failed to lock"):
            _answers(compiled, x, expected.shape[1])
