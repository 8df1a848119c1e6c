"""Each block against its formula, computed with numpy."""

import keras
import numpy as np
import pytest

from kerafer import layers
from kerafer.training.fused import FusedBatchNormalization, with_fused_batch_norm


def model_of(block, shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, block(inputs))


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.1, 1.0, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_eca_is_its_formula(kernel):
    model = randomized(model_of(lambda x: layers.eca(x, name="eca", kernel_size=kernel), (4, 5, 6)))
    x = np.random.default_rng(1).standard_normal((2, 4, 5, 6)).astype(np.float32)
    weights = model.get_weights()[0].ravel()
    pooled = np.pad(x.mean(axis=(1, 2)), ((0, 0), (kernel // 2, kernel // 2)))  # (2, 6 + kernel - 1)
    attention = np.stack([pooled[:, i : i + kernel] @ weights for i in range(6)], axis=1)
    expected = x / (1 + np.exp(-attention[:, None, None, :]))
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-6)


def test_shortcut_only_where_shapes_allow():
    def has_add(filters, strides):
        block = model_of(
            lambda x: layers.inverted_residual_eca(x, filters, name="b", expansion=2, strides=strides), (8, 8, 4)
        )
        return any(isinstance(layer, keras.layers.Add) for layer in block.layers)

    assert has_add(4, 1)
    assert not has_add(4, 2)
    assert not has_add(6, 1)


def test_symmetric_padding_is_pytorchs():
    model = randomized(
        model_of(
            lambda x: layers.conv_bn(x, 1, 3, name="c", strides=2, padding="symmetric", activation=None), (4, 4, 1)
        )
    )
    kernel = model.get_layer("c_conv").kernel.numpy()[:, :, 0, 0]
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    padded = np.pad(x[0, :, :, 0], 1)
    plain = [[(padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] * kernel).sum() for j in range(2)] for i in range(2)]
    gamma, beta, mean, variance = (w.ravel()[0] for w in model.get_layer("c_bn").get_weights())
    expected = (np.array(plain) - mean) / np.sqrt(variance + layers.BN_EPSILON) * gamma + beta
    np.testing.assert_allclose(model.predict(x, verbose=0)[0, :, :, 0], expected, rtol=1e-5)


def test_folded_luma_keeps_gray_and_turns_colour_to_gray():
    model = randomized(model_of(lambda x: layers.conv_bn(x, 4, 3, name="stem"), (8, 8, 3)))
    rng = np.random.default_rng(2)
    gray = np.repeat(rng.random((2, 8, 8, 1), np.float32), 3, axis=-1)
    colour = rng.random((2, 8, 8, 3), np.float32)
    as_gray = np.repeat(colour @ np.array(layers.LUMA, np.float32)[:, None], 3, axis=-1)
    before, before_colour = model.predict(gray, verbose=0), model.predict(colour, verbose=0)
    layers.fold_luma(model)
    np.testing.assert_allclose(model.predict(gray, verbose=0), before, rtol=1e-5)
    np.testing.assert_allclose(model.predict(colour, verbose=0), model.predict(as_gray, verbose=0), rtol=1e-5)
    assert np.abs(model.predict(colour, verbose=0) - before_colour).max() > 1e-3


def test_folding_luma_needs_a_convolution_on_three_channels():
    with pytest.raises(ValueError, match="3 channels"):
        layers.fold_luma(model_of(lambda x: layers.conv_bn(x, 4, 3, name="stem"), (8, 8, 1)))


def test_fused_batch_norm_trains_like_the_standard_layer():
    x = np.random.default_rng(3).standard_normal((16, 5, 5, 4)).astype(np.float32)
    y = np.random.default_rng(4).standard_normal((16, 5, 5, 4)).astype(np.float32)
    plain = randomized(model_of(lambda t: layers.conv_bn(t, 4, 3, name="c"), (5, 5, 4)))
    fused = with_fused_batch_norm(plain)
    assert any(isinstance(layer, FusedBatchNormalization) for layer in fused.layers)
    for model in (plain, fused):
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        for _ in range(3):
            model.train_on_batch(x, y)
    for ours, standard in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, standard, rtol=2e-4, atol=1e-5)
