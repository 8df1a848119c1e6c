"""What the papers printed about the zoo's networks, cell by cell, and what kerafer measures in their place.

Every figure has one home, here: `benchmarks/counts.py` writes them beside ours, the tests hold ours against them, and
the documents' tables are made from that file. Nothing here loads Keras before a model is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerafer.profiling import Profile

MILLION = 10**6
MEBI = 2**20


@dataclass(frozen=True)
class Cell:
    """One figure about one network: printed in a paper, counted by another tool, or both.

    Args:
        paper: which paper printed it; "" where none did.
        table: where the paper printed it.
        row: what the paper calls the network, or what is special about it.
        model: name in the zoo; None where no known network fits.
        quantity: what is counted, a key of `QUANTITIES`.
        ruler: a key of `kerafer.profiling.RULERS` where `quantity` is `"flops"`.
        printed: the figure as printed; "" where no paper printed it.
        unit: what the printed figure is a multiple of.
        rounding: how the paper came to its digits: `"round"`, `"truncate"` or `"exact"`.
        counted: the exact figure by a counter other than kerafer's: the paper's tool, or its formula written anew.
        input_shape: None for the model's default.
        options: arguments of the model's builder.
        unseen: names of layers that the tool is taken not to see, beyond the model's own `unseen`.
        note: why the printed figure is not ours; "" where it is.
    """

    paper: str
    table: str
    row: str
    model: str | None
    quantity: str
    ruler: str = ""
    printed: str = ""
    unit: int = 1
    rounding: str = "exact"
    counted: int | None = None
    input_shape: tuple[int, int, int] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    note: str = ""


def _madd(counted: Profile) -> int:
    """Return torchstat's "MAdd": multiplications and additions apart, 4 per normalised element."""
    from kerafer.profiling import Ruler

    ruler = Ruler("torchstat's MAdd", per_mac=2, first_add_free=True, batch_norm=4)
    return sum(ruler.price(layer) for layer in counted.layers)


def _layers(counted: Profile, *endings: str) -> int:
    return sum(layer.kind.endswith(endings) for layer in counted.layers)


QUANTITIES: dict[str, Callable[[Profile, str], int]] = {
    "parameters": lambda counted, _: counted.trainable_parameters,
    "total_parameters": lambda counted, _: counted.total_parameters,
    "moving_statistics": lambda counted, _: counted.total_parameters - counted.trainable_parameters,
    "conv_parameters": lambda counted, _: counted.conv_parameters,
    "flops": lambda counted, ruler: counted.flops[ruler],
    "conv_macs": lambda counted, _: counted.conv_macs,
    "madd": lambda counted, _: _madd(counted),
    "memory": lambda counted, _: counted.memory,
    "memory_and_parameters": lambda counted, _: counted.memory + 4 * counted.trainable_parameters,
    # A separable convolution is a depthwise layer and a Conv2D here: it is counted once, by the latter.
    "convolutions": lambda counted, _: sum(layer.kind == "Conv2D" for layer in counted.layers),
    "poolings": lambda counted, _: _layers(counted, "Pooling2D"),
    "dense_layers": lambda counted, _: _layers(counted, "Dense"),
}
"""How each quantity is read from a `kerafer.Profile` and a ruler's name."""


def _pair(
    paper: str, table: str, row: str, model: str, parameters: tuple[str, int], flops: tuple[str, int], **both: Any
) -> Iterator[Cell]:
    """Yield a row's parameters and FLOPs, both (printed in millions, counted)."""
    both = {"unit": MILLION, "rounding": "round", **both}
    ruler = both.pop("ruler")
    quantity = both.pop("quantity", "parameters")
    yield Cell(paper, table, row, model, quantity, printed=parameters[0], counted=parameters[1], **both)
    yield Cell(paper, table, row, model, "flops", ruler, printed=flops[0], counted=flops[1], **both)


def _unprinted(row: str, model: str, quantity: str, counted: int, ruler: str = "", **more: Any) -> Cell:
    return Cell("", "", row, model, quantity, ruler, counted=counted, **more)


def _ean() -> Iterator[Cell]:
    paper, table = "EAN", "Table 1"
    rows = {
        "ean_a": (("0.077", 76_608), ("20.892", 20_891_694)),
        "ean_b": (("0.069", 76_528), ("24.834", 12_908_654)),
        "ean_c": (("0.069", 68_752), ("9.446", 9_446_062)),
        "ean_d": (("0.053", 53_280), ("11.723", 11_723_094)),
        "ean_e": (("0.053", 52_728), ("11.157", 5_703_102)),
        "ean_f": (("0.052", 52_024), ("5.126", 5_126_382)),
        "ean": (("0.044", 43_840), ("5.054", 5_054_158)),
    }
    notes = {
        ("ean_b", "parameters"): "misprint: the figure of model_c; the printed widths fit neither cell of model_b",
        ("ean_b", "flops"): "misprint: what expansion 6 in every block would cost, with 195,840 parameters",
        ("ean_e", "flops"): "misprint: torchstat's MAdd, where the other rows print its Flops",
    }
    for model, cells in rows.items():
        row = "EAN" if model == "ean" else f"model_{model[-1]}"
        for cell in _pair(paper, table, row, model, *cells, ruler="torchstat"):
            yield replace(cell, note=notes.get((model, cell.quantity), ""))
    yield Cell(
        paper, table, "model_e", "ean_e", "madd", "", "11.157", MILLION, "round", 11_156_997
    )  # the same printed cell, by what it holds
    memory = {"unit": MEBI, "rounding": "round"}
    yield Cell(paper, "Table 5", "proposed", "ean", "memory", printed="3.902", counted=4_091_244, **memory)
    yield Cell(paper, "section 3.1", "EAN", "ean", "memory_and_parameters", printed="4.07", **memory)
    yield Cell(paper, "Table 6", "with local attention", "ean", "parameters", printed="43,840", counted=43_840)
    without = {"eca_kernel": None}
    yield Cell(paper, "Table 6", "without", "ean", "parameters", printed="43,822", counted=43_822, options=without)
    note = "misprint: Table 6 and the text print 43,840"
    yield Cell(paper, "Table 3", "proposed", "ean", "parameters", printed="43,843", counted=43_840, note=note)
    yield Cell(paper, "Table 3", "LCNN", "lcnn", "total_parameters", printed="58,423", counted=58_423)
    yield _unprinted("as Keras counts", "ean", "total_parameters", 46_526)
    yield _unprinted("EAN", "ean", "conv_macs", 4_568_040)


def _ean_comparisons() -> Iterator[Cell]:
    """Yield EAN's Table 5: parameters, memory and FLOPs of other networks at its own input size."""
    port = {"input_shape": (44, 44, 3), "options": {"downsampling": False}}
    rows = (
        ("VGG-16", "vgg16_cifar", ("33.634", 33_634_375), "140.529", ("557.136", 557_136_128), {}),
        ("ResNet-18", "resnet18_cifar", ("11.172", 11_172_423), "65.460", ("1101.272", 1_101_271_552), {}),
        (
            "MobileNetV2",
            "mobilenet_v2",
            ("2.233", 2_232_839),
            "15.040",
            ("16.796", 16_795_648),
            {"input_shape": (44, 44, 3)},
        ),
        ("SqueezeNet", "squeezenet", ("0.733", 733_447), "18.881", ("101.243", 101_243_055), {}),
        ("mini-Xception", "lcnn", ("0.057", 57_095), "27.998", ("92.184", 92_184_960), port),
    )
    for row, model, parameters, memory, flops, more in rows:
        for cell in _pair("EAN", "Table 5", row, model, parameters, flops, ruler="torchstat", **more):
            last = "not reproducible: the last digit, which rounds to 92.185" if cell.printed == "92.184" else ""
            yield replace(cell, note=last)
        yield Cell("EAN", "Table 5", row, model, "memory", "", memory, MEBI, "round", **more)
    note = "not reproducible: neither x0.5 nor x1.0 in the usual ports fits, nor any width and depth that was tried"
    for quantity, ruler, printed, unit in (
        ("parameters", "", "0.126", MILLION),
        ("flops", "torchstat", "10.164", MILLION),
        ("memory", "", "6.284", MEBI),
    ):
        yield Cell("EAN", "Table 5", "ShuffleNetV2", None, quantity, ruler, printed, unit, "round", note=note)
    yield _unprinted("mini-Xception with its strides", "lcnn", "flops", 5_101_631, "torchstat", input_shape=(44, 44, 3))


def _efficientface() -> Iterator[Cell]:
    paper, thop = "EfficientFace", {"ruler": "thop"}
    rows = (
        ("Table 1", "baseline", "shufflenet_v2", ("1.26", 1_260_779), ("147.79", 147_791_560)),
        ("Table 1", "+ local", "efficientface_local", ("1.27", 1_271_767), ("152.79", 152_791_128)),
        ("Table 1", "+ modulator", "efficientface_modulator", ("1.27", 1_265_085), ("153.79", 152_175_758)),
        ("Table 1", "EfficientFace", "efficientface", ("1.28", 1_275_293), ("154.18", 154_176_526)),
        ("Table 2", "LDG", "ldg_resnet50", ("23.52", 23_522_375), ("4109.48", 4_109_480_960)),
        ("Table 4", "ResNet-18", "resnet18", ("11.18", 11_180_103), ("1818.56", 1_818_557_952)),
        ("Table 4", "MobileNet-V2", "mobilenet_v2", ("2.23", 2_232_839), ("312.86", 312_859_456)),
        ("Table 6", "VGG-16", "vgg16", ("134.29", 134_289_223), ("15479.79", 15_479_794_688)),
    )
    note = "misprint: contradicts the table's other rows, where the local extractor alone adds 2.00"
    for table, row, model, parameters, flops in rows:
        for cell in _pair(paper, table, row, model, parameters, flops, **thop):
            yield replace(cell, note=note if cell.printed == "153.79" else "")
    wide = {"options": {"stem_filters": 29}}
    yield _unprinted("baseline with 29 stem channels", "shufflenet_v2", "parameters", 1_261_559, **wide)
    yield _unprinted("baseline with 29 stem channels", "shufflenet_v2", "flops", 150_790_360, "thop", **wide)
    yield _unprinted("as Keras counts", "efficientface", "total_parameters", 1_293_405)
    yield _unprinted("EfficientFace", "efficientface", "conv_macs", 149_720_088)


def _lfer() -> Iterator[Cell]:
    ours = {"quantity": "conv_parameters", "ruler": "conv_ops", "rounding": "truncate"}
    rows = (
        ("baseline", "lfer_baseline", ("1.23", 1_238_184), ("291.48", 291_482_184), 1_261_559),
        ("+ output module", "lfer_output", ("1.25", 1_254_568), ("291.51", 291_513_921), 1_270_768),
        ("+ PDWRes", "lfer", ("1.26", 1_262_920), ("294.60", 294_606_017), 1_280_976),
    )
    for row, model, parameters, flops, _ in rows:
        yield from _pair("LFER-LDL", "Table 4", row, model, parameters, flops, **ours)
    # The competitors' cells of its Table 1 are EfficientFace's, by EfficientFace's ruler.
    yield from _pair(
        "LFER-LDL",
        "Table 1",
        "LDL-ALSG",
        "ldg_resnet50",
        ("23.52", 23_522_375),
        ("4109.48", 4_109_480_960),
        ruler="thop",
    )
    yield from _pair(
        "LFER-LDL", "Table 1", "SCN", "resnet18", ("11.18", 11_180_103), ("1818.56", 1_818_557_952), ruler="thop"
    )
    yield from _pair(
        "LFER-LDL", "Table 1", "gACNN", "vgg16", ("134.29", 134_289_223), ("15479.79", 15_479_794_688), ruler="thop"
    )
    for row, model, _, _, parameters in rows:
        yield _unprinted(row, model, "parameters", parameters)
    yield _unprinted("LFER-LDL", "lfer", "conv_macs", 148_402_888)
    normalised = {"options": {"head_batch_normalized": True}}
    yield _unprinted("batch normalisation in the head", "lfer", "parameters", 1_283_024, **normalised)
    yield _unprinted(
        "batch normalisation in the head", "lfer", "flops", 152_802_392, "thop", unseen=("head_pool",), **normalised
    )  # its average taken by a function call, as EfficientFace's code takes it
    late = {"options": {"head_bias": True, "local_strided": "second"}}
    yield _unprinted("bias in the head, second convolution strided", "lfer", "conv_parameters", 1_260_819, **late)


def _lcnn() -> Iterator[Cell]:
    paper = "LCNN"
    yield Cell(paper, "section III.B", "total", "lcnn", "total_parameters", printed="58423", counted=58_423)
    yield Cell(paper, "section III.B", "trainable", "lcnn", "parameters", printed="56951", counted=56_951)
    yield _unprinted("the difference", "lcnn", "moving_statistics", 1_472)
    yield Cell(paper, "Table 3", "convolutions", "lcnn", "convolutions", printed="15", counted=15)
    note = "misprint: 4 max pools and 1 global average; 9 only with the 4 strided shortcuts, which are convolutions"
    yield Cell(paper, "Table 3", "pooling", "lcnn", "poolings", printed="9", counted=5, note=note)
    yield Cell(paper, "Table 3", "FC", "lcnn", "dense_layers", printed="0", counted=0)
    for side, macs in ((44, 4_454_112), (48, 5_520_448), (64, 10_163_392)):
        yield _unprinted("LCNN", "lcnn", "conv_macs", macs, input_shape=(side, side, 1))


CELLS: tuple[Cell, ...] = (*_ean(), *_ean_comparisons(), *_efficientface(), *_lfer(), *_lcnn())
"""Every figure, paper by paper."""


def cells(model: str | None = None) -> tuple[Cell, ...]:
    """Return the figures about a model, or all of them.

    Args:
        model: a name of the zoo.

    Example:
        >>> [(c.quantity, c.printed) for c in cells("ean_a")]
        [('parameters', '0.077'), ('flops', '20.892')]
    """
    return tuple(cell for cell in CELLS if model in (None, cell.model))


def measure(cell: Cell) -> int | None:
    """Build the network of a cell and count what the cell counts, exactly; None where no network is known.

    Example:
        >>> measure(cells("ean")[0])
        43840
    """
    if cell.model is None:
        return None
    counted = _profiled(cell.model, cell.input_shape, tuple(sorted(cell.options.items())), cell.unseen)
    return QUANTITIES[cell.quantity](counted, cell.ruler)


@cache
def _profiled(
    name: str, input_shape: tuple[int, int, int] | None, options: tuple[tuple[str, Any], ...], unseen: tuple[str, ...]
) -> Profile:
    from kerafer.profiling import RULERS, profile
    from kerafer.zoo import build_model, model_spec

    spec = model_spec(name)
    spec = replace(spec, unseen={ruler: (*spec.unseen.get(ruler, ()), *unseen) for ruler in RULERS})
    return profile(build_model(name, input_shape=input_shape, **dict(options)), spec)


def as_printed(cell: Cell, value: int) -> str:
    """Return a value with the printed figure's unit, decimals and rounding, without separators of thousands.

    Example:
        >>> as_printed(cells("ean")[0], 43840)
        '0.044'
    """
    decimals = len(cell.printed.partition(".")[2])
    how = ROUND_DOWN if cell.rounding == "truncate" else ROUND_HALF_UP
    return str((Decimal(value) / cell.unit).quantize(Decimal(1).scaleb(-decimals), how))


def agrees(cell: Cell, value: int) -> bool:
    """Tell whether a value is the printed figure, to its last digit; the counted one where none is printed.

    Example:
        >>> cell = cells("lfer_baseline")[0]
        >>> cell.printed, agrees(cell, 1_238_184), agrees(cell, 1_240_000)
        ('1.23', True, False)
    """
    if not cell.printed:
        return value == cell.counted
    return as_printed(cell, value) == cell.printed.replace(",", "")


def verdict(cell: Cell, value: int | None) -> str:
    """Return `"exact"`, `"as printed"` (to the digits that there are), the cell's note, or `"differs"`.

    Example:
        >>> cell = cells("ean")[0]
        >>> verdict(cell, measure(cell))
        'as printed'
    """
    if cell.note:
        return cell.note
    if value is None or not agrees(cell, value):
        return "differs"
    return "exact" if cell.rounding == "exact" else "as printed"
