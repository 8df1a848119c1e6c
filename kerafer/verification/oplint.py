"""Which operators of a `.tflite` file the GPU runtime takes, read from the file itself.

TensorFlow's own Analyzer calls every model compatible, so this keeps its own list, gathered by running operators on
LiteRT's GPU accelerator. A file that passes here may still be refused; `verification.gpu` settles it by running.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_RANK = 4

GPU_OPERATORS = frozenset(
    """
    ABS ADD AVERAGE_POOL_2D CONCATENATION CONV_2D COS DEPTHWISE_CONV_2D DEPTH_TO_SPACE DIV ELU EQUAL EXP FLOOR
    FULLY_CONNECTED GATHER GELU GREATER HARD_SWISH LEAKY_RELU LESS LOG LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM
    MIRROR_PAD MUL NEG PAD PADV2 POW PRELU REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR RSQRT SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQRT SQUARE SQUARED_DIFFERENCE
    STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV
    """.split()  # noqa: SIM905 - a list of 60 quoted names is harder to read
)
"""Operators that LiteRT's GPU accelerator takes in float32 and float16."""

# Operators that only unpack weights stored smaller than they are computed with.
_UNPACKING = frozenset({"DEQUANTIZE"})


@dataclass(frozen=True)
class OperatorReport:
    """What a file is made of.

    Args:
        operators: how often each occurs.
        refused: what the GPU runtime does not take, with the reason.
        float_tensors: activations computed in floating point; 0 in a wholly integer graph.
    """

    operators: dict[str, int]
    refused: tuple[str, ...]
    float_tensors: int


def inspect_operators(path: str | Path) -> OperatorReport:
    """Read the operators of a `.tflite` file and hold them against what the GPU runtime takes.

    Args:
        path: the file.

    Returns:
        Operators, refusals and the number of float activations.

    Raises:
        ValueError: if the file is not a `.tflite` model.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    data = Path(path).read_bytes()
    if data[4:8] != b"TFL3":
        raise ValueError(f"{path} is not a .tflite file: it lacks the mark TFL3.")
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
    types = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    counts: Counter[str] = Counter()
    refused: list[str] = []
    float_tensors = 0
    for graph in model.subgraphs:
        constants = {i for i, t in enumerate(graph.tensors) if _is_constant(model, t)}
        for position, operator in enumerate(graph.operators):
            name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) or "CUSTOM"
            counts[name] += 1
            refused += [
                f"{name} (operator {position}): {why}" for why in _refusals(name, operator, graph, constants, types)
            ]
            produced = [graph.tensors[i] for i in operator.outputs]
            if name not in _UNPACKING:
                float_tensors += sum(types[t.type].startswith("FLOAT") for t in produced)
    if len(model.subgraphs) != 1:
        refused.append(f"the file has {len(model.subgraphs)} graphs; control flow runs on the CPU")
    return OperatorReport(dict(sorted(counts.items())), tuple(refused), float_tensors)


def _refusals(name: str, operator: Any, graph: Any, constants: set[int], types: dict[int, str]) -> list[str]:
    tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
    activations = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0 and i not in constants]
    if name in _UNPACKING and all(i in constants for i in operator.inputs):
        return []
    reasons = [] if name in GPU_OPERATORS else ["no such operator on the GPU"]
    if any(t.shape is not None and len(t.shape) > MAX_RANK for t in tensors):
        reasons.append(f"a tensor has more than {MAX_RANK} axes")
    if any(t.shapeSignature is not None and any(s < 0 for s in t.shapeSignature) for t in tensors):
        reasons.append("a shape is known only at run time")
    kinds = sorted({types[t.type] for t in activations} - {"FLOAT32", "FLOAT16"})
    if kinds:
        reasons.append(f"activations are {', '.join(kinds)}")
    if name == "CONV_2D":
        image, kernel = graph.tensors[operator.inputs[0]], graph.tensors[operator.inputs[1]]
        if image.shape[3] != kernel.shape[3]:
            reasons.append("the convolution is grouped: it compiles, and gives zeros")
    return reasons


def _is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0
