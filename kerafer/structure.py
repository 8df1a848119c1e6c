"""Pictures of a model's structure: its blocks, or the layers inside one of them."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerafer.diagrams import Box, Diagram, draw

if TYPE_CHECKING:
    import keras

    from kerafer.profiling import LayerProfile

WIDE, NARROW = 58, 40  # characters of a line about a block, about a layer

_FILLS = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"), "#dce9f7"),
    **dict.fromkeys(("Add", "Multiply", "Concatenate"), "#fbe6d0"),
    **dict.fromkeys(("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D"), "#ddf0e0"),
    **dict.fromkeys(("Activation", "ReLU", "Softmax"), "#faf3c8"),
    "InputLayer": "#ffffff",
}
_OTHER = "#f2f2f0"
_SHORT = {
    "InputLayer": "input",
    "Conv2D": "conv",
    "DepthwiseConv2D": "depthwise",
    "SeparableConv2D": "separable",
    "BatchNormalization": "BN",
    "MaxPooling2D": "max pool",
    "AveragePooling2D": "average pool",
    "GlobalAveragePooling2D": "global average",
    "Concatenate": "concat",
    "ZeroPadding2D": "pad",
    "Cropping2D": "crop",
    "Rescaling": "rescale",
}
_MOVES = ("reshape", "permute", "crop", "pad", "flatten", "dropout")


def draw_structure(model: keras.Model, path: str | Path, title: str | None = None, block: str | None = None) -> None:
    """Draw a functional model's blocks, or what is inside one of them, into a PNG.

    Layers belong together by the first part of their names: "block3" of "block3_expand_conv". A box has the block's
    name, how many units it repeats, its output's shape, the kinds of its layers, its trainable parameters and its
    multiply-accumulates. Inside a block of units a box is a unit, in any other a layer.

    Args:
        model: a functional model with a static input shape.
        path: where to write.
        title: headline; by default the model's name, and the block's.
        block: name of a block, such as "block3", or of a unit, such as "stage2_unit1"; None draws all blocks.

    Raises:
        ValueError: if the model has no such block or unit; the message names those it has.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.structure import draw_structure
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     draw_structure(kerafer.build_model("ean"), f"{folder}/block3.png", block="block3")
    """
    from kerafer.profiling import profile

    rows = {row.name: row for row in profile(model).layers}
    reads = _reads(model)
    parts = _acyclic({name: name.split("_")[0] for name in rows}, reads)
    if block is not None:
        parts = _acyclic(_inside(parts, block), reads)
    boxes, sources = _boxes(model, rows, reads, parts)
    draw(Diagram(boxes, sources), path, title or (f"{model.name}: {block}" if block else model.name))


def _reads(model: keras.Model) -> dict[str, list[str]]:
    """Return the names of the layers that each layer reads, as often as it reads them."""
    made_by = {id(layer.output): layer.name for layer in model.layers}
    reads = {}
    for layer in model.layers:
        tensors = layer.input if isinstance(layer.input, list) else [layer.input]
        reads[layer.name] = [made_by[id(tensor)] for tensor in tensors if made_by[id(tensor)] != layer.name]
    return reads


def _acyclic(parts: Mapping[str, str], reads: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the parts in topological order; parts that read from each other, as other people's names allow, are one.

    Args:
        parts: by layer: the part that it belongs to.
        reads: by layer: the layers that it reads.
    """
    below: dict[str, set[str]] = {part: set() for part in parts.values()}
    for name, part in parts.items():
        below[part] |= {parts[source] for source in reads[name] if source in parts} - {part}
    for part in below:  # all that a part depends on, near and far
        ahead, seen = [part], set()
        while ahead:
            new = below[ahead.pop()] - seen
            seen |= new
            ahead.extend(new)
        below[part] = seen
    merged = {part: next(p for p in below if p == part or (p in below[part] and part in below[p])) for part in below}
    order = sorted(set(merged.values()), key=lambda part: len(below[part] - {part}))
    return {name: merged[part] for p in order for name, part in parts.items() if merged[part] == p}


def _inside(parts: Mapping[str, str], block: str) -> dict[str, str]:
    """Return the layers of a block or unit with the part of each: its unit, or itself."""
    repeating = {part for part in parts.values() if _units(name for name in parts if parts[name] == part) > 1}
    if block in repeating:
        return {name: _unit(name) or name for name in parts if parts[name] == block}
    found = [n for n in parts if parts[n] == block or (parts[n] in repeating and _unit(n) == block)]
    if not found:
        names = ", ".join(dict.fromkeys(parts.values()))
        units = list(dict.fromkeys(unit for n in parts if parts[n] in repeating and (unit := _unit(n))))
        also = f", or of the units {', '.join(units)}" if units else ""
        raise ValueError(f"`block` must be one of the blocks {names}{also}. Received: block={block!r}")
    return {name: name for name in found}


def _unit(name: str) -> str | None:
    """Return the unit that a layer belongs to: "stage2_unit1" of "stage2_unit1_split_first"."""
    found = re.match(r"[^_]+_(unit)?\d+(?=_|$)", name)
    return found[0] if found else None


def _units(names: Iterable[str]) -> int:
    return len({_unit(name) for name in names} - {None})


def _boxes(
    model: keras.Model,
    rows: Mapping[str, LayerProfile],
    reads: Mapping[str, list[str]],
    parts: Mapping[str, str],
) -> tuple[dict[str, Box], dict[str, tuple[str, ...]]]:
    """Return a box for each part and where its arrows come from; what lies outside the parts becomes a stub."""
    boxes: dict[str, Box] = {}
    sources: dict[str, tuple[str, ...]] = {}
    prefix = _shared_prefix(parts)
    for part in dict.fromkeys(parts.values()):
        names = [name for name in rows if parts.get(name) == part]
        read = [source for name in names for source in reads[name] if parts.get(source) != part]
        for source in read:
            if source not in parts:
                boxes[f"from {source}"] = Box(f"from {_place(source, prefix)}")
                sources[f"from {source}"] = ()
        sources[part] = tuple(dict.fromkeys(parts.get(source, f"from {source}") for source in read))
        if names == [part] and len(parts) < len(rows):
            boxes[part] = _layer_box(model.get_layer(part), rows[part], reads[part], prefix)
        else:
            boxes[part] = _part_box(model, part, [rows[name] for name in names])
    for name in rows:
        inside = [parts[source] for source in reads[name] if source in parts and name not in parts]
        if inside:
            stub = f"to {_place(name, prefix)}"
            boxes[stub] = Box(stub)
            sources[stub] = tuple(dict.fromkeys((*sources.get(stub, ()), *inside)))
    return boxes, sources


def _shared_prefix(parts: Mapping[str, str]) -> str:
    """Return what all names begin with, up to an underscore: the block's own name."""
    first, *others = (name.split("_") for name in parts)
    shared = 0
    while all(len(words) > shared + 1 and words[: shared + 1] == first[: shared + 1] for words in (first, *others)):
        shared += 1
    return "_".join(first[:shared]) + "_" if shared else ""


def _place(name: str, prefix: str) -> str:
    """Return where a layer outside the picture is: another unit of the same block, or another block."""
    block = name.partition("_")[0]
    return _unit(name) or block if prefix.startswith(f"{block}_") else block


def _part_box(model: keras.Model, part: str, rows: list[LayerProfile]) -> Box:
    kinds = Counter(_label(model.get_layer(row.name), row.kind, full=False) for row in rows)
    moves = [kind for kind in kinds if kind in _MOVES]
    counted = [f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items() if kind not in moves]
    units = _units(row.name for row in rows)
    fills = [_FILLS[row.kind] for row in rows if row.kind in _FILLS]
    return Box(
        head=f"{part} × {units}" if units > 1 else part,
        right=_shape(rows[-1]),
        lines=(*_wrapped([*counted, *moves], WIDE), *_costs(rows)),
        fill=_FILLS["Conv2D"] if _FILLS["Conv2D"] in fills else (fills or [_OTHER])[0],
    )


def _layer_box(layer: Any, row: LayerProfile, reads: list[str], prefix: str) -> Box:
    twice = {"Add": " to itself", "Multiply": " by itself"}.get(row.kind, "") if len(reads) > len(set(reads)) else ""
    head, *more = _label(layer, row.kind, full=True).split(", ")
    words, costs = [row.name.removeprefix(prefix), *more], _costs([row])
    lines = [*_wrapped(words, NARROW), *costs] if row.macs else _wrapped([*words, *costs], NARROW)
    return Box(head + twice, _shape(row), tuple(lines), _FILLS.get(row.kind, _OTHER))


def _wrapped(items: list[str], width: int) -> list[str]:
    """Return the items in lines, none of them broken."""
    text = ", ".join(item.replace(" ", "\N{NO-BREAK SPACE}") for item in items)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(text, width)]


def _costs(rows: list[LayerProfile]) -> list[str]:
    parameters, macs = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    costs = [f"{parameters:,} parameters"] if parameters else []
    return [", ".join([*costs, f"{macs:,} MACs"] if macs else costs)] if parameters or macs else []


def _shape(row: LayerProfile) -> str:
    return "×".join(map(str, row.output_shape))


def _label(layer: Any, kind: str, full: bool) -> str:
    """Return what a layer does, in short; with `full`, its step and the like too."""
    config = layer.get_config()
    if kind == "Activation":
        return {"relu": "ReLU"}.get(config["activation"], config["activation"])
    if kind == "ReLU":
        return "ReLU6" if config.get("max_value") == 6 else "ReLU"
    words = [_SHORT.get(kind, kind.lower())]
    window = config.get("kernel_size") or config.get("pool_size")
    if window:
        words[0] += f" {window[0]}×{window[1]}"
    if full and max(config.get("strides") or [1]) > 1:
        words.append(f"stride {config['strides'][0]}")
    if full and max(config.get("dilation_rate") or [1]) > 1:
        words.append(f"dilation {config['dilation_rate'][0]}")
    if full and config.get("depth_multiplier", 1) > 1:
        words.append(f"{config['depth_multiplier']} maps a channel")
    return ", ".join(words)
