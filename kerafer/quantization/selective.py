"""Rounding of a float32 `.tflite` file after conversion, layer by layer where wished, by ai-edge-quantizer."""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from kerafer.litert.slim import read_graph, write_graph
from kerafer.quantization.inner import InnerRunner, Operator, operators

Ranges = dict[str, dict[str, np.ndarray]]
"""Smallest and largest value of each tensor, by its name."""

_ENDS = ("float32", "uint8")
_BYTE, _PROBABILITY = 1 / 255, 1 / 256  # steps of what a camera gives and of what a softmax kernel gives
_HALF = 128  # what lies between a zero point in int8 and the same in uint8
_SHOWN = 12


def weights_to_int8(data: bytes, keep_float: Sequence[str] = (), for_gpu: bool = True) -> bytes:
    """Store a float32 file's weights as int8, symmetric and per channel; arithmetic stays in float.

    LiteRT's GPU runtime refuses a dense layer with such weights, and ends the process on a depthwise convolution that
    gives more than one channel for each of its input's: these stay in float unless told otherwise.

    Args:
        data: a float32 `.tflite` file with the converter's names of tensors in it.
        keep_float: layers whose weights stay as they are: regular expressions, each for the whole of a layer's name
            as `model.summary()` prints it.
        for_gpu: keep what the GPU runtime does not take in int8 as it is; False for the smallest file, for the CPU.

    Returns:
        The rounded file's content.

    Raises:
        ValueError: if a pattern fits no layer.

    Example:
        >>> import kerafer
        >>> from kerafer.exporting import convert
        >>> data = convert(kerafer.build_model("ean"), "float32")
        >>> rounded, partly = weights_to_int8(data), weights_to_int8(data, keep_float=["block6_.*"])
        >>> len(rounded) < len(partly) < len(data)
        True
    """
    from ai_edge_quantizer import recipe

    kept = (*kept_operators(data, keep_float), *(_not_for_gpu(data) if for_gpu else ()))
    return _quantized(data, recipe.weight_only_wi8_afp32(), _left_float(kept))


def to_static_int8(
    data: bytes, calibration: np.ndarray, keep_float: Sequence[str] = (), ends: str = "float32"
) -> bytes:
    """Round weights and activations of a float32 file to int8, except in some layers.

    Where a layer in integers meets one in float, values are converted, in steps of the integer one. So what is lost
    between two layers comes back only if both of them stay in float.

    Args:
        data: a float32 `.tflite` file with the converter's names of tensors in it.
        calibration: (n, height, width, 3) float32 inputs in [0, 1], which decide the ranges of activations.
        keep_float: layers that compute in float: regular expressions, each for the whole of a layer's name as
            `model.summary()` prints it.
        ends: type of input and output: `"float32"`, or `"uint8"` for camera bytes and steps of 1/256.

    Returns:
        The rounded file's content.

    Raises:
        ValueError: if a pattern fits no layer, or `calibration` or `ends` is not what they must be.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.exporting import convert
        >>> pictures = synthetic(8).inputs(kerafer.model_spec("ean").preprocessing)
        >>> data = convert(kerafer.build_model("ean"), "float32")
        >>> len(to_static_int8(data, pictures, keep_float=["stem_.*", "predictions"])) < 0.6 * len(data)
        True
    """
    from ai_edge_quantizer import recipe

    if ends not in _ENDS:
        raise ValueError(f"`ends` must be one of {', '.join(_ENDS)}. Received: ends={ends!r}")
    left = _left_float(kept_operators(data, keep_float))
    if ends == "float32":
        left += [_rule(".*", "no_quantize", end) for end in ("INPUT", "OUTPUT")]
    rounded = _quantized(data, recipe.static_wi8_ai8(), left, ranges(data, calibration))
    return rounded if ends == "float32" else _with_bytes_at_the_ends(rounded)


def ranges(data: bytes, calibration: np.ndarray) -> Ranges:
    """Return between which values each tensor of a float32 file lies on some inputs; the input's own in [0, 1].

    The quantizer would follow the pictures in a moving average, which depends on their order and forgets all but some
    twenty of them.

    Args:
        data: a float32 `.tflite` file with names.
        calibration: (n, height, width, 3) float32 inputs in [0, 1].

    Raises:
        ValueError: if `calibration` does not fit the file's input.
    """
    runner = InnerRunner(data)
    shape = tuple(runner.input["shape"][1:])
    if np.ndim(calibration) != 4 or np.shape(calibration)[1:] != shape or not len(calibration):
        raise ValueError(f"`calibration` must be one or more pictures (n, {shape}). Received: {np.shape(calibration)}")
    # not the weights: their ranges are those of their channels, which the quantizer finds by itself
    numbers = [runner.input["index"], *(operator.output for operator in operators(data))]
    numbers = [i for i in numbers if runner.details[i]["dtype"] == np.float32]
    low, high = np.full(len(numbers), np.inf, np.float32), np.full(len(numbers), -np.inf, np.float32)
    for run in runner.runs(calibration):
        values = [run.interpreter.get_tensor(i) for i in numbers]
        low = np.minimum(low, [value.min() for value in values])
        high = np.maximum(high, [value.max() for value in values])
    found = {}
    for i, least, most in zip(numbers, low, high, strict=True):
        detail = runner.details[i]
        if i == runner.input["index"]:  # so that a byte is a step, and white is not cut off
            least, most = min(least, 0.0), max(most, 1.0)  # noqa: PLW2901
        one = (1,) * len(detail["shape"])
        found[detail["name"]] = {"min": np.full(one, least, np.float32), "max": np.full(one, most, np.float32)}
    return found


def one_layer_int8(data: bytes, chosen: Collection[Operator], measured: Ranges) -> bytes:
    """Round some operators of a float32 file, weights, inputs and outputs, and nothing else.

    Args:
        data: a float32 `.tflite` file with names.
        chosen: of `kerafer.quantization.inner.operators(data)`.
        measured: of `ranges`.

    Returns:
        The file's content; its input and output are float32.
    """
    from ai_edge_quantizer import recipe

    (whole,) = recipe.static_wi8_ai8()
    return _quantized(data, [{**whole, "regex": _scopes(chosen)}], [], measured)


def kept_operators(data: bytes, patterns: Sequence[str]) -> tuple[Operator, ...]:
    """Return the operators of a file that belong to layers of these names.

    Args:
        data: a `.tflite` file with names.
        patterns: regular expressions, each for the whole name of a Keras layer.

    Raises:
        ValueError: if one is no regular expression, or fits no layer.
    """
    if isinstance(patterns, str):
        raise ValueError(f"`keep_float` must be a list of patterns. Received: {patterns!r}")
    if not patterns:
        return ()
    found = operators(data)
    names = list(dict.fromkeys(layer for operator in found for layer in operator.layers))
    chosen: set[str] = set()
    for pattern in patterns:
        try:
            fitting = {name for name in names if re.fullmatch(pattern, name)}
        except re.error as error:
            raise ValueError(f"`keep_float` has {pattern!r}, which is no regular expression: {error}") from error
        if not fitting:
            raise ValueError(
                f"`keep_float` has {pattern!r}, which fits no layer by its whole name. What is folded into a "
                "convolution, such as a batch normalisation, may have lost its name: use the convolution's. Layers: "
                f"{_listed(pattern, names)}"
            )
        chosen |= fitting
    return tuple(operator for operator in found if chosen & set(operator.layers))


def _not_for_gpu(data: bytes) -> tuple[Operator, ...]:
    """Return the operators whose weights LiteRT's GPU runtime does not take in int8."""
    details = InnerRunner(data).details

    def multiplies(operator: Operator) -> bool:
        if operator.kind != "DEPTHWISE_CONV_2D":
            return False
        before, kernel = (details[i]["shape"] for i in operator.inputs[:2])
        return before[-1] != kernel[-1]

    return tuple(op for op in operators(data) if op.kind == "FULLY_CONNECTED" or multiplies(op))


def _listed(pattern: str, names: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
    shown = list(dict.fromkeys([*near, *names]))[:_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(shown) < len(names) else "")


def _rule(regex: str, algorithm: str, operation: str = "*") -> dict[str, Any]:
    """Return a line of a recipe, as ai-edge-quantizer keeps them in JSON."""
    return {"regex": regex, "operation": operation, "algorithm_key": algorithm}


def _left_float(kept: Collection[Operator]) -> list[dict[str, Any]]:
    return [_rule(_scopes(kept), "no_quantize")] if kept else []


def _scopes(chosen: Collection[Operator]) -> str:
    """Return a pattern of what the quantizer calls these operators: the names of their outputs, each with a `;`."""
    return f"^({'|'.join(re.escape(operator.name) for operator in chosen)});?$"


def _quantized(
    data: bytes, recipe: list[dict[str, Any]], exceptions: list[dict[str, Any]], measured: Ranges | None = None
) -> bytes:
    from ai_edge_quantizer import quantizer

    with _silent():
        work = quantizer.Quantizer(bytearray(data))
        work.load_quantization_recipe(recipe)
        for rule in exceptions:
            work.update_quantization_recipe(
                rule["regex"],
                quantizer.qtyping.TFLOperationName(rule["operation"]),
                algorithm_key=quantizer.AlgorithmName(rule["algorithm_key"]),
            )
        made = work.quantize(measured, enable_progress_bar=False, enable_progress_report=False)
    return bytes(made.quantized_model)


def _with_bytes_at_the_ends(data: bytes) -> bytes:
    """Return a file that takes and gives uint8 in place of int8 or, where the layer there is in float, of float32."""
    from ai_edge_litert import schema_py_generated as schema

    model = read_graph(data)
    graph = model.subgraphs[0]
    outer = {}
    for inner, taken in ((int(graph.inputs[0]), True), (int(graph.outputs[0]), False)):
        old = graph.tensors[inner]
        new, steps = schema.TensorT(), schema.QuantizationParametersT()
        if old.type == schema.TensorType.INT8:
            steps.scale, steps.zeroPoint = old.quantization.scale, np.asarray(old.quantization.zeroPoint) + _HALF
        else:
            steps.scale, steps.zeroPoint = np.array([_BYTE if taken else _PROBABILITY], np.float32), np.array([0])
        new.name, old.name = old.name, old.name + b"_inner"
        new.shape, new.shapeSignature, new.type = old.shape, old.shapeSignature, schema.TensorType.UINT8
        new.buffer, new.quantization = 0, steps
        outer[inner] = len(graph.tensors)
        graph.tensors.append(new)
        kinds = schema.BuiltinOperator
        unpacks = taken and old.type == schema.TensorType.FLOAT32
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kinds.DEQUANTIZE if unpacks else kinds.QUANTIZE
        code.version = 1
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs, operator.outputs = ([outer[inner]], [inner]) if taken else ([inner], [outer[inner]])
        graph.operators.insert(0 if taken else len(graph.operators), operator)
    graph.inputs, graph.outputs = [outer[int(graph.inputs[0])]], [outer[int(graph.outputs[0])]]
    for signature in model.signatureDefs:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = outer[int(entry.tensorIndex)]
    return write_graph(model, len(data))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the quantizer's bars, summaries and logs from the user's screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
