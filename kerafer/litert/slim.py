"""A `.tflite` file without the bytes that no reader needs: the same graph, bit-identical outputs.

The converter writes a small quantized network in twice the bytes of its weights. What goes:

- names of inner tensors, of the graph and of the converter, and the converter's notes about itself;
- tables of quantization that say nothing;
- repetition: equal vectors, strings and tables are written once and pointed at from everywhere. The largest are the
  zero points of the channels, eight zero bytes for each channel of every kernel and bias; runtimes insist that there
  are as many as scales, so one vector of each length stays.

What stays, since a reader uses it: the signature, inputs and outputs with names and quantization, the scale of every
channel of kernels and biases (XNNPACK and GPU runtimes read both), operator versions, and the note that allows float16
arithmetic (`reduced_precision_support`).
"""

from __future__ import annotations

import hashlib
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import number_types

IDENTIFIER = b"TFL3"
METADATA_NAME = b"TFLITE_METADATA"

MAX_TABLES = 2**31 - 2**20
"""Bytes below which everything fits into the tables, whose offsets have 31 bits."""

DROPPED_NOTES = frozenset({b"CONVERSION_METADATA", b"min_runtime_version"})
"""Notes of the converter, which runtimes report but do not act on."""

BUFFER_ALIGNMENT = 16
"""Bytes on which weights start: the schema's `force_align`, which XNNPACK and memory-mapped reading rely on."""

_COMPARED = 1 << 16  # larger vectors are buffers, which `_renumber_buffers` has compared already


def slim(data: bytes) -> bytes:
    """Return a `.tflite` file of the same graph in fewer bytes.

    Outputs are bit-identical on every runtime. Input and output tensors take the names that the signature gives them.
    Slim first, then add metadata: files appended to the model would be lost, so a file that has some is refused.

    Args:
        data: the file's content.

    Returns:
        The smaller file's content; the same input gives the same bytes. A file that cannot keep its weights in its
        tables, as those beyond 2 GB, is returned as it is.

    Raises:
        ValueError: if it is no `.tflite` file, or has metadata already.

    Example:
        >>> import kerafer
        >>> from kerafer.exporting import convert
        >>> data = convert(kerafer.build_model("ean"), "float16")
        >>> len(slim(data)) < 0.9 * len(data)
        True
    """
    model = read_graph(data)
    notes = model.metadata or []
    if any(note.name == METADATA_NAME for note in notes):
        raise ValueError("`data` must be a .tflite file without metadata: make it slim first, then add metadata.")
    if len(data) < MAX_TABLES:
        _bring_inside(model, data)
    if lies_outside(model):
        return data
    model.metadata = [note for note in notes if note.name not in DROPPED_NOTES] or None
    model.description = None
    for graph in model.subgraphs:
        graph.name = None
        for tensor in graph.tensors:
            tensor.quantization = _said(tensor.quantization)
    _name_ends(model)
    _renumber_buffers(model)
    return write_graph(model, len(data))


def read_graph(data: bytes) -> Any:
    """Return the `ModelT` of a file's content; its arrays are views of `data`.

    Raises:
        ValueError: if the content is no `.tflite` file, or is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    if data[4:8] != IDENTIFIER:
        raise ValueError(
            f"`data` must be a .tflite file, which has the mark {IDENTIFIER.decode()}. Received: {data[:8]!r}"
        )
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    except Exception as error:  # generated readers let any error through, of struct, of numpy, of Python
        raise ValueError(f"`data` must be a whole .tflite file; this one is damaged: {error}") from error
    if not _is_whole(model):
        raise ValueError(
            "`data` must be a whole .tflite file; this one points at parts that it lacks, so it is damaged."
        )
    return model


def write_graph(model: Any, size: int) -> bytes:
    """Return a `ModelT` as a file's content, equal parts written once.

    Args:
        model: the graph.
        size: about how large it will be, in bytes.
    """
    builder = SharingBuilder(size + 1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


class SharingBuilder(flatbuffers.Builder):
    """A builder that writes equal vectors, strings and tables once, and a table's widest fields first.

    One-byte vectors start on 16 bytes, as `.tflite` files want it of their buffers; generated Python code forgets it.
    """

    __slots__ = ("before", "fields", "of_offsets", "strings", "tables", "vector", "vectors_seen")

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.tables: dict[Any, int] = {}  # content -> offset
        self.strings: dict[Any, int] = {}
        self.vectors_seen: dict[Any, int] = {}
        self.fields: list[tuple[int, int, Any, Any]] = []  # width, slot, value, flags (None for an offset)
        self.vector: tuple[int, int] | None = None  # alignment and end of the one being written
        self.before = 0
        self.of_offsets = False

    def StartObject(self, numfields: int) -> None:  # noqa: N802 - overrides the library's name
        """Begin a table; its fields are gathered until `EndObject`."""
        super().StartObject(numfields)
        self.fields = []

    def PrependSlot(self, flags: Any, o: int, x: Any, d: Any) -> None:  # noqa: N802
        """Note a number of the table, unless it is the default."""
        if x != d:
            self.fields.append((flags.bytewidth, o, x, flags))

    def PrependUOffsetTRelativeSlot(self, o: int, x: int, d: int) -> None:  # noqa: N802
        """Note what a field of the table points at."""
        if x != d:
            self.fields.append((number_types.UOffsetTFlags.bytewidth, o, x, None))

    def EndObject(self) -> int:  # noqa: N802
        """Write the table, or find the equal one; return its offset."""
        self.assertNested()
        content = tuple(self.fields)
        if content in self.tables:
            self.nested, self.current_vtable = False, None
            return self.tables[content]
        for _, slot, value, flags in sorted(self.fields, key=lambda field: (-field[0], field[1])):
            if flags is None:
                super().PrependUOffsetTRelative(value)
            else:
                super().Prepend(flags, value)
            self.Slot(slot)
        self.tables[content] = offset = super().EndObject()
        return offset

    def PrependUOffsetTRelative(self, off: int) -> None:  # noqa: N802
        """Write an element of a vector of offsets: such vectors differ wherever they lie, so they are not shared."""
        self.of_offsets = True
        super().PrependUOffsetTRelative(off)

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803
        """Begin a vector."""
        alignment = BUFFER_ALIGNMENT if elemSize == 1 else alignment
        self.before, self.of_offsets = self.Offset(), False
        end = super().StartVector(elemSize, numElems, alignment)
        self.vector = (alignment, end)
        return end

    def EndVector(self, numElems: int | None = None) -> int:  # noqa: N802, N803
        """Finish the vector, or take it back if an equal one is there; return its offset."""
        offset = super().EndVector(numElems)
        started, self.vector = self.vector, None
        if started is None or self.of_offsets or offset - started[1] > _COMPARED:
            return offset
        content = (started[0], bytes(self.Bytes[self.head : len(self.Bytes) - started[1]]))
        if content in self.vectors_seen:
            self.head = len(self.Bytes) - self.before
            return self.vectors_seen[content]
        self.vectors_seen[content] = offset
        return offset

    def CreateString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
        """Write a string, or find the equal one; return its offset."""
        content = s.encode(encoding, errors) if isinstance(s, str) else s
        if content not in self.strings:
            self.strings[content] = super().CreateString(content)
        return self.strings[content]


def _is_whole(model: Any) -> bool:
    """Return True where every graph, tensor, buffer and operator code that is pointed at exists."""
    buffers, codes = len(model.buffers or []), len(model.operatorCodes or [])
    noted = all(0 <= note.buffer < buffers and note.name is not None for note in model.metadata or [])
    if not model.subgraphs or not buffers or not noted:
        return False
    for graph in model.subgraphs:
        count = len(graph.tensors or [])
        operators = graph.operators or []
        ends = [i for part in (graph.inputs, graph.outputs) if part is not None for i in part]
        used = [i for o in operators for part in (o.inputs, o.outputs) if part is not None for i in part if i != -1]
        if not all(0 <= i < count for i in (*ends, *used)):  # -1 marks an input that is left out
            return False
        if not all(0 <= tensor.buffer < buffers for tensor in graph.tensors or []):
            return False
        if not all(0 <= operator.opcodeIndex < codes for operator in operators):
            return False
    signatures = model.signatureDefs or []
    return all(0 <= signature.subgraphIndex < len(model.subgraphs) for signature in signatures)


def _said(quantization: Any) -> Any:
    """Return None for a table of quantization without a scale or a range."""
    if quantization is None:
        return None
    parts = (quantization.scale, quantization.min, quantization.max, quantization.details)
    return quantization if any(part is not None for part in parts) else None


def _bring_inside(model: Any, data: bytes) -> None:
    """Put weights that lie behind the tables into them: some quantizers write small files so, older runtimes refuse."""
    for buffer in model.buffers:
        if buffer.offset and buffer.size and buffer.offset + buffer.size <= len(data):
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0


def lies_outside(model: Any) -> bool:
    """Return True where weights or options are kept outside of the tables, at places that rewriting would move."""
    buffers = any(buffer.offset or buffer.size for buffer in model.buffers)
    operators = (operator for graph in model.subgraphs for operator in graph.operators or [])
    return buffers or bool(model.externalBuffers) or any(operator.largeCustomOptionsSize for operator in operators)


def _name_ends(model: Any) -> None:
    """Name inputs and outputs as the signature does, and no other tensor."""
    named = {}
    for signature in model.signatureDefs or []:
        for entry in (*(signature.inputs or []), *(signature.outputs or [])):
            named.setdefault((signature.subgraphIndex, entry.tensorIndex), entry.name)
    for number, graph in enumerate(model.subgraphs):
        ends = {int(i) for part in (graph.inputs, graph.outputs) if part is not None for i in part}
        for i, tensor in enumerate(graph.tensors):
            tensor.name = named.get((number, i), tensor.name) if i in ends else None


def _renumber_buffers(model: Any) -> None:
    """Keep one of each buffer that is used; the first stays the empty one, as readers expect."""
    users = [tensor for graph in model.subgraphs for tensor in graph.tensors] + (model.metadata or [])
    kept = [type(model.buffers[0])()]
    number = {b"": 0}  # content, by its hash -> place in `kept`
    for user in users:
        buffer = model.buffers[user.buffer]
        content = b"" if buffer.data is None or len(buffer.data) == 0 else hashlib.sha256(buffer.data).digest()
        if content not in number:
            number[content] = len(kept)
            kept.append(buffer)
        user.buffer = number[content]
    model.buffers, model.metadataBuffer = kept, None
