"""What is inside a `.tflite` file: its operators by the Keras layers they come from, and the values between them.

The converter names an operator's output after the layers that went into it, as in `ean/stem_relu/Relu;ean/stem_bn/
FusedBatchNormV3;ean/stem_conv/Conv2D`: the model, the layer, the operation. Exported files are slimmed and have lost
these names; files fresh from `kerafer.exporting.convert` have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerafer.litert.slim import read_graph
from kerafer.runtime import from_tensor, to_tensor

KERNELS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
"""Operators whose second input is a kernel."""

# What TensorFlow calls the operation in a layer's scope, where that is not the operator's own name.
_CALLED = {
    "CONV_2D": "conv2d",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "matmul",
    "LOGISTIC": "sigmoid",
    "CONCATENATION": "concat",
}
# Before a layer's name where quantization-aware training has wrapped the layer.
_WRAPPED = re.compile(r"^quant_")


@dataclass(frozen=True)
class Operator:
    """One operator of a graph.

    Args:
        kind: the operator's name, such as `"CONV_2D"`.
        layers: names of the Keras layers that went into it; empty for what no layer asked for.
        layer: the one of them that it computes first of all: the convolution, not its activation. Empty if none.
        name: of its output tensor.
        inputs: numbers of its input tensors.
        output: number of its output tensor.
    """

    kind: str
    layers: tuple[str, ...]
    layer: str
    name: str
    inputs: tuple[int, ...]
    output: int


def operators(data: bytes) -> tuple[Operator, ...]:
    """Return the operators of a file's first graph in the order in which they run.

    Args:
        data: a `.tflite` file with the converter's names of tensors in it.

    Raises:
        ValueError: if it is no such file, or a slimmed one without names.

    Example:
        >>> import kerafer
        >>> from kerafer.exporting import convert
        >>> first = operators(convert(kerafer.build_model("ean"), "float32"))[0]
        >>> first.kind, first.layer, first.layers
        ('CONV_2D', 'stem_conv', ('stem_relu', 'stem_conv'))
    """
    from ai_edge_litert import schema_py_generated as schema

    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = read_graph(data)
    graph = model.subgraphs[0]
    ends = _ends(model)
    found = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
        output = int(operator.outputs[0])
        name = (graph.tensors[output].name or b"").decode()
        parts = _parts(name) or ([(_WRAPPED.sub("", ends[output]), "")] if output in ends else [])
        layers = tuple(dict.fromkeys(layer for layer, _ in parts))
        inputs = tuple(int(i) for i in operator.inputs)
        found.append(Operator(kind, layers, _main(kind, parts), name, inputs, output))
    if not any(_parts(operator.name) for operator in found):
        raise ValueError(
            "The file has no names of layers in it: exported files are slimmed. Convert the Keras model anew "
            "(kerafer.exporting.convert)."
        )
    return tuple(found)


def _parts(name: str) -> list[tuple[str, str]]:
    """Return (layer, operation) of what a tensor is named after."""
    split = [piece.split("/") for piece in name.split(";") if piece.count("/") >= 2]
    # rounding is named after the layer before, too
    kept = [s for s in split if not s[2].startswith("FakeQuant")] or split
    return [(_WRAPPED.sub("", s[1]), s[2]) for s in kept]


def _main(kind: str, parts: list[tuple[str, str]]) -> str:
    called = _CALLED.get(kind, kind.lower())
    fitting = [layer for layer, operation in parts if operation.lower().startswith(called)]
    return (fitting or [layer for layer, _ in parts[-1:]] or [""])[0]


def _ends(model: Any) -> dict[int, str]:
    """Return the signature's name of an output, which is the last layer's, by the tensor that the layer gives.

    An integer file may convert the output's type once more; both tensors then have the name.
    """
    graph = model.subgraphs[0]
    named = {
        int(entry.tensorIndex): entry.name.decode()
        for signature in model.signatureDefs or []
        for entry in signature.outputs or []
    }
    for operator in reversed(graph.operators):
        output, given = int(operator.outputs[0]), [int(i) for i in operator.inputs]
        source = graph.tensors[given[0]]
        if output in named and len(given) == 1 and not _parts((source.name or b"").decode()):
            named.setdefault(given[0], named[output])
    return named


class InnerRunner:
    """Runs a file on LiteRT's CPU kernels and keeps what lies between its operators.

    Plain kernels are used, since the delegate that LiteRT takes by itself hides the values inside it.

    Args:
        data: a `.tflite` file of one input and one output.
    """

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.interpreter = Interpreter(
            model_content=data,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self.interpreter.allocate_tensors()
        (self.input,), (self.output,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.details = {detail["index"]: detail for detail in self.interpreter.get_tensor_details()}

    def runs(self, inputs: np.ndarray) -> Iterator[InnerRunner]:
        """Yield this object after each input, when `value` gives what that one made.

        Args:
            inputs: (n, height, width, channels) float32.
        """
        for x in to_tensor(np.asarray(inputs), self.input):
            self.interpreter.set_tensor(self.input["index"], x[None])
            self.interpreter.invoke()
            yield self

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32."""
        return np.concatenate([self.value(self.output["index"]) for _ in self.runs(inputs)])

    def value(self, tensor: int) -> np.ndarray:
        """Return a tensor's values as float32, through its scale or its channels' scales where it has them."""
        detail, values = self.details[tensor], self.interpreter.get_tensor(tensor)
        scales = detail["quantization_parameters"]["scales"]
        if len(scales) < 2:
            return from_tensor(values, detail)
        shape = [-1 if i == detail["quantization_parameters"]["quantized_dimension"] else 1 for i in range(values.ndim)]
        return values.astype(np.float32) * scales.reshape(shape)  # zero points of channels are 0

    def limits(self, tensor: int) -> tuple[float, float] | None:
        """Return the smallest and largest value that an integer tensor can hold; None for a float one."""
        detail = self.details[tensor]
        scale, zero = detail["quantization"]
        if not np.issubdtype(detail["dtype"], np.integer) or not scale:
            return None
        held = np.iinfo(detail["dtype"])
        return (held.min - zero) * scale, (held.max - zero) * scale
