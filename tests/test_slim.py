"""Small files: the same graph, bit-identical outputs, and only what a reader needs."""

import os

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.tools import flatbuffer_utils

import kerafer
from kerafer.data.samples import portrait_faces
from kerafer.exporting.tflite import convert
from kerafer.layers import with_rgb_input
from kerafer.litert.metadata import add_metadata
from kerafer.litert.slim import SharingBuilder, lies_outside, read_graph, slim, write_graph
from kerafer.verification.gpu import run_on_gpu
from kerafer.verification.oplint import inspect_operators

RECIPES = ("float32", "float16", "dynamic_int8", "static_int8")
MOST = {"static_int8": 73_500, "float16": 97_000}
"""Bytes that EAN's files may take, metadata and labels inside; 62 KB of the first are weights, scales, zero points."""


def converted(model, contract, recipe):
    """The converter's own bytes."""
    data = convert(model, recipe, contract.scale(portrait_faces(contract, 20, seed=0)))
    names = [tensor.name for tensor in read_graph(data).subgraphs[0].tensors]
    assert all(names), "this is no longer what the converter writes, so that nothing here would be tested"
    return data


@pytest.fixture(scope="module")
def raw(ean):
    """EAN as the converter writes it, by recipe."""
    return {recipe: converted(ean.model, ean.card.preprocessing, recipe) for recipe in RECIPES}


def interpreter(data, **options):
    ready = Interpreter(model_content=data, **options)
    ready.allocate_tensors()
    return ready


def outputs(data, inputs):
    """(n, classes) in the file's own type, for inputs of [0, 1]."""
    ready = interpreter(data)
    image, scores = ready.get_input_details()[0], ready.get_output_details()[0]
    rows = []
    for x in inputs:
        ready.set_tensor(image["index"], (x * 255).astype(np.uint8) if image["dtype"] == np.uint8 else x)
        ready.invoke()
        rows.append(ready.get_tensor(scores["index"])[0].copy())
    return np.stack(rows)


def noise(data, count=4, seed=0):
    shape = read_graph(data).subgraphs[0].tensors[0].shape
    return np.random.default_rng(seed).random((count, *shape), np.float32)


@pytest.mark.parametrize("recipe", RECIPES)
def test_outputs_are_bit_identical(raw, ean, recipe):
    contract = ean.card.preprocessing
    faces = contract.scale(portrait_faces(contract, 8, seed=5))[:, None]
    expected = outputs(raw[recipe], faces)
    assert np.ptp(expected, axis=0).max() > (5 if expected.dtype == np.uint8 else 0.05)
    np.testing.assert_array_equal(outputs(slim(raw[recipe]), faces), expected)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["float16", "static_int8"])
@pytest.mark.parametrize("name", ["lcnn", pytest.param("efficientface", marks=pytest.mark.exhaustive)])
def test_every_inner_tensor_of_other_models_is_bit_identical(name, recipe):
    keras.utils.set_random_seed(0)
    contract = kerafer.model_spec(name).preprocessing
    data = converted(with_rgb_input(kerafer.build_model(name)), contract, recipe)
    small = slim(data)
    x = noise(data, 1)[0]
    # without XNNPACK: what lies inside the part of a graph that it takes is memory that nobody wrote to
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    options = {"experimental_preserve_all_tensors": True, "experimental_op_resolver_type": kernels}
    before, after = (interpreter(d, **options) for d in (data, small))
    for ready in (before, after):
        dtype = ready.get_input_details()[0]["dtype"]
        ready.set_tensor(0, (x * 255).astype(np.uint8) if dtype == np.uint8 else x)
        ready.invoke()
    details = before.get_tensor_details()
    assert len(details) == len(after.get_tensor_details()) > 50
    for detail in details[: len(read_graph(data).subgraphs[0].tensors)]:
        expected = before.get_tensor(detail["index"])
        np.testing.assert_array_equal(after.get_tensor(detail["index"]), expected)
    np.testing.assert_array_equal(outputs(small, noise(data)), outputs(data, noise(data)))


@pytest.mark.parametrize("recipe", MOST)
def test_ean_is_small_with_metadata_inside(raw, ean, recipe):
    assert len(add_metadata(slim(raw[recipe]), ean.card, recipe)) <= MOST[recipe]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_file_becomes_smaller_by_what_was_repeated(raw, recipe):
    saved = len(raw[recipe]) - len(slim(raw[recipe]))
    assert saved > (25_000 if recipe == "static_int8" else 10_000)


def facts(data):
    """All that decides what a graph computes, tensor by tensor and operator by operator."""
    model = read_graph(data)
    [graph] = model.subgraphs

    def known(value):
        return value.tolist() if isinstance(value, np.ndarray) else value

    def tensor(t):
        content = model.buffers[t.buffer].data
        q = t.quantization or schema.QuantizationParametersT()
        quantization = [known(v) for v in (q.scale, q.zeroPoint, q.quantizedDimension)]
        data = b"" if content is None else content.tobytes()
        return known(t.shape), t.type, t.isVariable, t.hasRank, data, quantization

    def operator(o):
        code = model.operatorCodes[o.opcodeIndex]
        options = {} if o.builtinOptions is None else vars(o.builtinOptions)
        return code.builtinCode, code.version, o.builtinOptionsType, options, o.inputs.tolist(), o.outputs.tolist()

    ends = graph.inputs.tolist(), graph.outputs.tolist()
    return model.version, ends, [tensor(t) for t in graph.tensors], [operator(o) for o in graph.operators]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_graph_is_the_same(raw, recipe):
    assert facts(slim(raw[recipe])) == facts(raw[recipe])


@pytest.mark.parametrize("recipe", RECIPES)
def test_signature_and_ends_keep_names_and_quantization(raw, recipe):
    before, after = interpreter(raw[recipe]), interpreter(slim(raw[recipe]))
    assert after.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["predictions"]}}
    for part, name in (("get_input_details", "image"), ("get_output_details", "predictions")):
        [old], [new] = getattr(before, part)(), getattr(after, part)()
        assert new["name"] == name
        assert new["quantization"] == old["quantization"]
        assert new["shape"].tolist() == old["shape"].tolist()
    x = noise(raw[recipe], 1)[0]
    x = (x * 255).astype(np.uint8) if recipe == "static_int8" else x
    by_name = [ready.get_signature_runner()(image=x)["predictions"] for ready in (before, after)]
    np.testing.assert_array_equal(*by_name)


def test_the_note_that_allows_float16_arithmetic_stays(raw):
    names = {note.name for note in read_graph(raw["float16"]).metadata}
    assert {b"reduced_precision_support", b"CONVERSION_METADATA"} <= names
    model = read_graph(slim(raw["float16"]))
    assert [note.name for note in model.metadata] == [b"reduced_precision_support"]
    assert bytes(model.buffers[model.metadata[0].buffer].data).startswith(b"fp16")


@pytest.mark.parametrize("recipe", RECIPES)
def test_weights_start_on_sixteen_bytes(raw, recipe):
    data = slim(raw[recipe])
    start = np.frombuffer(data, np.uint8).ctypes.data
    model = read_graph(data)
    places = [buffer.data.ctypes.data - start for buffer in model.buffers if buffer.data is not None]
    assert len(places) > 40
    assert {place % 16 for place in places} == {0}
    assert len({buffer.data.tobytes() for buffer in model.buffers if buffer.data is not None}) == len(places)
    assert model.buffers[0].data is None


def test_the_same_bytes_come_out_again(raw):
    once = slim(raw["static_int8"])
    assert slim(raw["static_int8"]) == once
    assert slim(once) == once


def test_other_readers_take_it(raw, tmp_path):
    path = tmp_path / "ean.tflite"
    path.write_bytes(slim(raw["float16"]))
    written = flatbuffer_utils.convert_object_to_bytearray(flatbuffer_utils.read_model(str(path)))
    assert facts(bytes(written)) == facts(path.read_bytes())
    assert inspect_operators(path).refused == ()
    run = run_on_gpu(path, noise(raw["float16"], 2)[:, 0])
    allowed = ("ok",) if os.environ.get("KERAFER_REQUIRE_GPU") else ("ok", "no device")
    assert run.status in allowed or (allowed != ("ok",) and run.status == "cannot run"), run


def test_tensorflows_own_interpreter_takes_it(raw):
    import tensorflow as tf

    x = (noise(raw["static_int8"], 1)[0] * 255).astype(np.uint8)
    results = []
    for data in (raw["static_int8"], slim(raw["static_int8"])):
        ready = tf.lite.Interpreter(model_content=data)
        ready.allocate_tensors()
        results.append(ready.get_signature_runner()(image=x)["predictions"])
    np.testing.assert_array_equal(*results)


def test_what_is_no_whole_file_is_refused(raw, ean):
    data = raw["static_int8"]
    for broken in (b"", b"PK\3\4 not a model", data[:2000], data[: len(data) // 2]):
        with pytest.raises(ValueError, match="`data` must be a"):
            slim(broken)
    model = read_graph(data)
    model.subgraphs[0].tensors[3].buffer = 10_000
    with pytest.raises(ValueError, match="damaged"):
        slim(write_graph(model, len(data)))
    with pytest.raises(ValueError, match="slim first, then add metadata"):
        slim(add_metadata(slim(data), ean.card, "static_int8"))


def test_any_damage_is_a_value_error(raw):
    random = np.random.default_rng(0)
    data, seen = np.frombuffer(raw["static_int8"], np.uint8), set()
    for _ in range(60):
        broken = data.copy()
        broken[random.integers(8, 20_000, 3)] = random.integers(0, 256, 3)
        try:
            seen.add(type(slim(broken.tobytes())))
        except ValueError:
            seen.add(ValueError)
    assert seen == {bytes, ValueError}


def test_weights_outside_of_the_tables_are_brought_inside(raw):
    inside = raw["float32"]
    model = read_graph(inside)
    buffer = max(model.buffers, key=lambda item: 0 if item.data is None else len(item.data))
    weights = bytes(buffer.data)
    buffer.data, buffer.offset, buffer.size = None, 1, len(weights)
    place = -(-len(write_graph(model, len(inside))) // 16) * 16
    buffer.offset = place
    outside = write_graph(model, len(inside)).ljust(place, b"\0") + weights
    assert lies_outside(read_graph(outside))
    again = read_graph(slim(outside))
    assert not lies_outside(again)
    assert weights in [bytes(b.data) for b in again.buffers if b.data is not None]


def test_weights_that_lie_beyond_the_file_are_left_alone(raw):
    model = read_graph(raw["float16"])
    model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, 10_000_000, 16
    data = write_graph(model, len(raw["float16"]))
    assert slim(data) is data


def test_equal_tables_and_vectors_are_written_once_and_others_apart():
    def tensor(shape, scale):
        quantization = schema.QuantizationParametersT(scale=np.float32([scale]), zeroPoint=np.int64([0]))
        return schema.TensorT(shape=np.int32(shape), type=9, quantization=quantization)

    given = [tensor([1, 8], 0.5), tensor([1, 8], 0.25), tensor([1, 8], 0.5), tensor([8, 1], 0.5)]
    builder = SharingBuilder(64)  # grows while it is written
    model = schema.ModelT(subgraphs=[schema.SubGraphT(tensors=given)], buffers=[schema.BufferT()])
    builder.Finish(model.Pack(builder), b"TFL3")
    graph = schema.Model.GetRootAs(bytes(builder.Output()), 0).Subgraphs(0)
    found = [graph.Tensors(i) for i in range(4)]
    assert [t.ShapeAsNumpy().tolist() for t in found] == [[1, 8], [1, 8], [1, 8], [8, 1]]
    assert [t.Quantization().Scale(0) for t in found] == [0.5, 0.25, 0.5, 0.5]
    places = [t._tab.Pos for t in found]
    assert places[0] == places[2]
    assert len(set(places)) == 3
