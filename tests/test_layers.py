"""Each block against its formula, computed with numpy."""

import keras
import numpy as np
import pytest
import reference
from reference import Weights, mish, relu, sigmoid

from kerafer import layers
from kerafer.layers.attention import eca_kernel_size
from kerafer.training.quick_layers import FusedBatchNormalization, ShiftedDepthwiseConv2D, with_quick_layers


def model_of(block, shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, block(inputs))


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.1, 1.0, w.shape) for w in model.get_weights()])
    return model


def noise(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def filled(block, shape, seed=0):
    """A model of one block with random weights of both signs, and those weights."""
    model = model_of(block, shape)
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        positive = weight.name in ("gamma", "moving_variance")
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) if positive else rng.standard_normal(weight.shape) * 0.5)
    return model, Weights(model)


def assert_computes(model, x, expected):
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


def test_mish_is_its_formula():
    x = np.linspace(-40, 40, 801, dtype=np.float32)[None]
    made = model_of(lambda t: layers.mish(t, name="mish"), (801,)).predict(x, verbose=0)
    np.testing.assert_allclose(made, mish(x.astype(np.float64)), atol=2e-6)
    assert made.min() < -0.3, "it is not monotonic"


def test_relu6_is_bounded():
    x = np.linspace(-9, 9, 37, dtype=np.float32)[None]
    made = model_of(lambda t: layers.activate(t, "relu6", "x"), (37,)).predict(x, verbose=0)
    np.testing.assert_array_equal(made, np.clip(x, 0, 6))


@pytest.mark.parametrize(("channels", "kernel"), [(8, 3), (64, 3), (128, 5), (256, 5), (512, 5), (2048, 7)])
def test_adaptive_attention_kernel(channels, kernel):
    # ECA-Net's code: t = int(|log2(C) + 1| / 2), and the next odd number if t is even
    assert eca_kernel_size(channels) == kernel
    model = model_of(lambda x: layers.eca(x, name="eca", kernel_size="adaptive"), (2, 2, channels))
    assert model.get_layer("eca_conv").kernel_size == (1, kernel)


@pytest.mark.parametrize("kernel", [0, 2, -1, 3.0, "wide"])
def test_attention_kernel_must_be_odd(kernel):
    with pytest.raises(ValueError, match=r"odd and positive.*Received"):
        model_of(lambda x: layers.eca(x, name="eca", kernel_size=kernel), (2, 2, 8))


def test_modulator_multiplies_channel_and_place():
    model, weights = filled(lambda x: layers.channel_spatial_modulator(x, name="m", reduction=4), (11, 10, 8))
    x = noise(2, 11, 10, 8)
    (kernel, bias), (expand, expand_bias) = weights("m_channel_reduce_dense"), weights("m_channel_expand_dense")
    channel = relu(weights.bn(x.mean(axis=(1, 2)) @ kernel + bias, "m_channel_reduce")) @ expand + expand_bias
    place = x
    for part, how in (("reduce", {}), ("dilated0", {"pad": 4, "dilation": 4}), ("dilated1", {"pad": 4, "dilation": 4})):
        kernel, bias = weights(f"m_spatial_{part}_conv")
        made = reference.conv(place, kernel, bias=bias, **how)
        place = relu(weights.bn(made, f"m_spatial_{part}"))
    kernel, bias = weights("m_spatial_final_conv")
    place = reference.conv(place, kernel, bias=bias)
    assert_computes(model, x, x * sigmoid(channel[:, None, None] * place))


def test_inverted_residual_is_its_formula():
    model, weights = filled(lambda x: layers.inverted_residual_eca(x, 4, name="b", expansion=3), (6, 5, 4))
    x = noise(2, 6, 5, 4)
    h = relu(weights.conv_bn(x, "b_expand"))
    h = weights.conv_bn(relu(weights.conv_bn(h, "b_depthwise", pad=1)), "b_project")
    kernel = weights("b_eca_conv").ravel()
    pooled = np.pad(h.mean(axis=(1, 2)), ((0, 0), (1, 1)))
    attention = sigmoid(sum(pooled[:, i : i + 4] * kernel[i] for i in range(3)))
    assert_computes(model, x, x + h * attention[:, None, None])


def test_residual_separable_is_its_formula():
    model, weights = filled(lambda x: layers.residual_separable(x, 6, name="b"), (7, 7, 4))
    x = noise(2, 7, 7, 4)
    h = x
    for part in ("b_separable1", "b_separable2"):
        h = reference.depthwise(h, weights(f"{part}_depthwise"), pad=1)
        h = weights.bn(reference.conv(h, weights(f"{part}_pointwise")), part)
        h = relu(h) if part == "b_separable1" else h
    least = np.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    pooled = reference.windows(least, 3, 2).max(axis=(-1, -2))
    assert_computes(model, x, pooled + weights.conv_bn(x, "b_shortcut", strides=2))


@pytest.mark.parametrize("groups", [2, 3])
def test_channel_shuffle_interleaves_groups(groups):
    x = noise(2, 3, 4, 12)
    made = model_of(lambda t: layers.channel_shuffle(t, name="s", groups=groups), (3, 4, 12)).predict(x, verbose=0)
    for group in range(groups):
        for i in range(12 // groups):
            np.testing.assert_array_equal(made[..., i * groups + group], x[..., group * (12 // groups) + i])


def test_channels_are_split_in_halves():
    x = noise(2, 3, 4, 6)
    model = model_of(lambda t: keras.layers.Concatenate()(layers.split_channels(t, name="s")[::-1]), (3, 4, 6))
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.concatenate([x[..., 3:], x[..., :3]], axis=-1))


def test_shuffle_unit_of_stride_1():
    model, weights = filled(lambda x: layers.shuffle_unit(x, 8, name="u"), (5, 4, 8))
    x = noise(2, 5, 4, 8)
    h = relu(weights.conv_bn(x[..., 4:], "u_branch2_expand"))
    h = relu(weights.conv_bn(weights.conv_bn(h, "u_branch2_depthwise", pad=1), "u_branch2_project"))
    assert_computes(model, x, reference.shuffled(np.concatenate([x[..., :4], h], axis=-1)))


def test_shuffle_unit_of_stride_2():
    model, weights = filled(lambda x: layers.shuffle_unit(x, 12, name="u", strides=2), (6, 4, 5))
    x = noise(2, 6, 4, 5)
    first = weights.conv_bn(x, "u_branch1_depthwise", pad=1, strides=2)
    first = relu(weights.conv_bn(first, "u_branch1_pointwise"))
    h = weights.conv_bn(relu(weights.conv_bn(x, "u_branch2_expand")), "u_branch2_depthwise", pad=1, strides=2)
    h = relu(weights.conv_bn(h, "u_branch2_project"))
    assert_computes(model, x, reference.shuffled(np.concatenate([first, h], axis=-1)))


def test_patches_are_quarters_and_fit_together():
    x = noise(2, 6, 4, 3)
    inputs = keras.Input((6, 4, 3))
    patches = layers.split_patches(inputs, name="p")
    split = keras.Model(inputs, patches).predict(x, verbose=0)
    for name, rows, columns in (
        ("top_left", slice(3), slice(2)),
        ("bottom_left", slice(3, 6), slice(2)),
        ("top_right", slice(3), slice(2, 4)),
        ("bottom_right", slice(3, 6), slice(2, 4)),
    ):
        np.testing.assert_array_equal(split[name], x[:, rows, columns])
    joined = keras.Model(inputs, layers.join_patches(patches, name="j"))
    np.testing.assert_array_equal(joined.predict(x, verbose=0), x)


@pytest.mark.parametrize("strided", ["first", "second"])
@pytest.mark.parametrize(("activation", "ceiling"), [("relu", np.inf), ("relu6", 6.0)])
def test_local_features_of_each_quarter_by_itself(activation, ceiling, strided):
    def block(x):
        return layers.local_features(x, 8, name="l", activation=activation, strided=strided)

    model, weights = filled(block, (8, 12, 4))
    x = 10 * noise(2, 8, 12, 4)

    def features(patch, name):
        for order in ("first", "second"):
            strides = 2 if order == strided else 1
            patch = np.clip(weights.conv_bn(patch, f"l_{name}_{order}", pad=1, strides=strides), 0, ceiling)
        return patch

    left = [features(x[:, :4, :6], "top_left"), features(x[:, 4:, :6], "bottom_left")]
    right = [features(x[:, :4, 6:], "top_right"), features(x[:, 4:, 6:], "bottom_right")]
    expected = np.concatenate([np.concatenate(side, axis=1) for side in (left, right)], axis=2)
    assert_computes(model, x, expected)


@pytest.mark.parametrize("normalized", [True, False])
def test_convolution_head_averages_class_maps(normalized):
    model, weights = filled(lambda x: layers.conv_gap_head(x, 5, normalized=normalized), (4, 3, 6))
    x = noise(2, 4, 3, 6)
    if normalized:
        maps = weights.conv_bn(x, "tail", pad=1)
    else:
        kernel, bias = weights("tail_conv")
        maps = reference.conv(x, kernel, pad=1, bias=bias)
    logits = maps.mean(axis=(1, 2))
    assert_computes(model, x, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


def output_logits(x, weights, *, pool, normalized, bias, mish_logits):
    """What the output module computes of a 7x7 map."""
    # PyTorch's adaptive pooling divides 7 by 3 so: windows of 3, every other place
    x = x.mean(axis=(1, 2), keepdims=True) if pool == 1 else reference.windows(x, 3, 2).mean(axis=(-1, -2))
    depth, depth_bias = weights("head_depthwise_conv") if bias else (weights("head_depthwise_conv"), 0.0)
    point, point_bias = weights("head_pointwise_conv") if bias else (weights("head_pointwise_conv"), 0.0)
    x = reference.depthwise(x, depth, pad=1 if pool == 1 else 0, bias=depth_bias)
    x = weights.bn(x, "head_depthwise") if normalized else x
    x = reference.conv(mish(x), point, bias=point_bias)[:, 0, 0]
    return mish(x) if mish_logits else x


@pytest.mark.parametrize("pool", [1, 3])
@pytest.mark.parametrize(("normalized", "bias", "mish_logits"), [(False, False, False), (True, True, True)])
def test_output_module_is_its_formula(pool, normalized, bias, mish_logits):
    def block(x):
        return layers.output_module(
            x,
            5,
            pool=pool,
            batch_normalized=normalized,
            use_bias=bias,
            mish_logits=mish_logits,
            classifier_activation=None,
        )

    model, weights = filled(block, (7, 7, 6))
    x = noise(2, 7, 7, 6)
    options = {"pool": pool, "normalized": normalized, "bias": bias, "mish_logits": mish_logits}
    assert_computes(model, x, output_logits(x, weights, **options))


@pytest.mark.parametrize(
    ("block", "shape", "words"),
    [
        (lambda x: layers.channel_shuffle(x, name="b", groups=2), (4, 4, 5), "divisible by 2.*Received: 5"),
        (lambda x: layers.split_channels(x, name="b"), (4, 4, 5), "divisible by 2"),
        (lambda x: layers.shuffle_unit(x, 8, name="b"), (4, 4, 6), "channels of `x`, 6"),
        (lambda x: layers.split_patches(x, name="b"), (4, 5, 6), "even height and width.*4x5"),
        (lambda x: layers.local_features(x, 8, name="b"), (8, 6, 4), "divisible by 4.*8x6"),
        (lambda x: layers.local_features(x, 6, name="b"), (8, 8, 4), "divisible by 4"),
        (lambda x: layers.local_features(x, 8, name="b", strided="third"), (8, 8, 4), "`strided`.*third"),
        (lambda x: layers.output_module(x, 5, pool=2), (8, 8, 4), "`pool` must be 1.*pool=2"),
        (lambda x: layers.output_module(x, 5, pool=3), (2, 2, 4), "at least 3x3.*2x2"),
        (lambda x: layers.conv_bn(x, 5, 3, name="b", padding="full"), (4, 4, 4), "`padding`.*full"),
    ],
)
def test_wrong_shapes_are_named(block, shape, words):
    with pytest.raises(ValueError, match=words):
        model_of(block, shape)


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
    fused = with_quick_layers(plain)
    assert any(isinstance(layer, FusedBatchNormalization) for layer in fused.layers)
    for model in (plain, fused):
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        for _ in range(3):
            model.train_on_batch(x, y)
    for ours, standard in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, standard, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"padding": "same", "strides": 2},
        {"padding": "valid", "strides": 2, "use_bias": False},
        {"kernel_size": (5, 2), "padding": "same", "strides": 3, "activation": "relu"},
        {"depth_multiplier": 2},
        {"dilation_rate": 2, "padding": "same"},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(9, 8, 3), (6, 7, 2)], ids=str)
def test_shifted_depthwise_convolution_trains_like_the_standard_layer(options, shape):
    options = {"kernel_size": 3, "bias_initializer": "random_normal", **options}
    models = []
    for layer in (keras.layers.DepthwiseConv2D, ShiftedDepthwiseConv2D):
        keras.utils.set_random_seed(1)
        models.append(randomized(model_of(layer(**options, name="d"), shape)))
    models[1].set_weights(models[0].get_weights())
    x = np.random.default_rng(3).standard_normal((4, *shape)).astype(np.float32)
    before = [model.predict(x, verbose=0) for model in models]
    assert before[0].shape == before[1].shape
    np.testing.assert_allclose(before[1], before[0], atol=1e-5)
    for model in models:
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        model.train_on_batch(x, np.ones_like(before[0]))
    for ours, standard in zip(models[1].get_weights(), models[0].get_weights(), strict=True):
        np.testing.assert_allclose(ours, standard, atol=1e-5)


def test_gray_model_takes_colour_by_its_luma():
    gray, _ = filled(lambda x: layers.conv_bn(x, 4, 3, name="stem", padding=None), (8, 8, 1))
    colour = layers.with_rgb_input(gray)
    x = np.random.default_rng(2).random((2, 8, 8, 3), np.float32)
    luma = x @ np.array(layers.LUMA, np.float32)[:, None]
    assert_computes(colour, x, gray.predict(luma, verbose=0))
    assert_computes(colour, np.repeat(luma, 3, axis=-1), gray.predict(luma, verbose=0))
    assert layers.with_rgb_input(colour) is colour
    with pytest.raises(ValueError, match="on 1 channel,"):
        layers.with_rgb_input(model_of(keras.layers.Flatten(), (8, 8, 1)))
