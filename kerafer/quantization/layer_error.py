"""Which layer hurts when a model is rounded to int8: each layer's values beside the float ones, and each rounded alone.

Two questions are answered, since they have different answers. What a layer gives in the rounded file, compared with the
float one, holds the errors of all layers before it. A file in which that layer alone is rounded shows what it does to
the probabilities.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kerafer.quantization.inner import KERNELS, InnerRunner, Operator, operators
from kerafer.quantization.selective import one_layer_int8, ranges

# Operators that only move values: they are rounded with what they move.
_MOVING = frozenset(
    "DEQUANTIZE GATHER MAX_POOL_2D PAD PADV2 QUANTIZE RESHAPE SLICE SPLIT SQUEEZE STRIDED_SLICE TRANSPOSE".split()  # noqa: SIM905
)
_SHOWN = 20


@dataclass(frozen=True)
class LayerError:
    """What one layer gives in a rounded file, beside the same layer of the float file.

    Args:
        layer: its name in the Keras model.
        operator: what computes its output, such as `"CONV_2D"`.
        compared: shape of the output, over how many inputs.
        sqnr_db: power of the float output over that of the difference, in decibels: 6 for each bit that is left.
            Errors of earlier layers are in it. Infinite where nothing differs.
        nrmse: root of the mean squared difference, over the root of the mean squared float output.
        steps_sqnr_db: the same ratio if only this output were rounded, to the file's steps and range; None where the
            output is a float tensor. Low here, high before: this layer's range is what hurts.
        clipped: share of float values outside of the range that the rounded output can hold, or None.
        weight_error: of its kernel, the root mean squared difference over the root mean square of the channel where
            that is largest; None without a kernel. After fine-tuning it holds what was learned, too.
    """

    layer: str
    operator: str
    compared: str
    sqnr_db: float
    nrmse: float
    steps_sqnr_db: float | None
    clipped: float | None
    weight_error: float | None


@dataclass(frozen=True)
class AloneError:
    """What rounding of one layer, inputs, weights and outputs, does to the probabilities while all others are in float.

    Args:
        layer: its name in the Keras model.
        mean_difference: mean absolute difference of a probability.
        max_difference: largest one.
        agreement: share of inputs with the same best class.
    """

    layer: str
    mean_difference: float
    max_difference: float
    agreement: float


@dataclass(frozen=True)
class LayerErrorReport:
    """What `layer_error_report` found.

    Args:
        inputs: how many inputs.
        together: the whole rounded file against the float file; its `layer` is empty.
        layers: in the network's order.
        alone: the worst first.
    """

    inputs: int
    together: AloneError
    layers: tuple[LayerError, ...]
    alone: tuple[AloneError, ...]

    def worst(self, count: int = 3) -> tuple[str, ...]:
        """Return patterns of the layers that hurt most when rounded alone, as `keep_float` takes them."""
        return tuple(re.escape(row.layer) for row in self.alone[:count])

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict a layer in the network's order; what was not measured of a layer is None."""
        alone = {row.layer: asdict(row) for row in self.alone}
        blank = dict.fromkeys(("mean_difference", "max_difference", "agreement"))
        return [{**asdict(row), **alone.get(row.layer, blank)} for row in self.layers]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; an infinite ratio becomes None."""
        layers = [{k: None if v in (math.inf, -math.inf) else v for k, v in row.items()} for row in self.rows()]
        together = {k: v for k, v in asdict(self.together).items() if k != "layer"}
        return {"inputs": self.inputs, "together": together, "layers": layers, "worst_first": list(self._order())}

    def table(self, count: int | None = _SHOWN) -> str:
        """Return the report as text for people: the layers that hurt most, first.

        Args:
            count: how many layers, or None for all.
        """
        heads = ("layer", "operator", "alone: mean diff", "agree", "SQNR dB", "own steps dB", "clipped", "weights")
        rows = {row["layer"]: row for row in self.rows()}
        order = list(self._order())
        lines = [heads]
        for layer in order[:count]:
            row = rows[layer]
            forms = (("mean_difference", ".1e"), ("agreement", ".1%"), ("sqnr_db", ".1f"), ("steps_sqnr_db", ".1f"))
            cells = [_shown(row[key], form) for key, form in (*forms, ("clipped", ".2%"), ("weight_error", ".2%"))]
            lines.append((layer, row["operator"], *cells))
        widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
        text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        text.insert(1, "-" * max(map(len, text)))
        if len(order) > len(lines) - 1:
            text.append(f"... and {len(order) - len(lines) + 1} layers more")
        whole = self.together
        title = (
            f"{self.inputs} inputs; the whole file: mean difference {whole.mean_difference:.1e}, largest "
            f"{whole.max_difference:.1e}, same best class {whole.agreement:.1%}"
        )
        return "\n".join([title, "", *text])

    def _order(self) -> Iterable[str]:
        # those that were not rounded alone come last, the noisiest first
        rest = sorted(self.layers, key=lambda row: row.sqnr_db)
        return dict.fromkeys([*(row.layer for row in self.alone), *(row.layer for row in rest)])


def layer_error_report(
    float32: bytes | str | Path,
    int8: bytes | str | Path,
    inputs: np.ndarray,
    calibration: np.ndarray | None = None,
    *,
    progress: bool = False,
) -> LayerErrorReport:
    """Compare a rounded file with its float file layer by layer, and round each layer alone.

    Args:
        float32: the float file, as `kerafer.exporting.convert` gives it: with names of layers in it, not slimmed.
        int8: a rounded file of the same model, likewise: static or dynamic, of any quantizer, or fine-tuned.
        inputs: (n, height, width, 3) float32.
        calibration: (n, height, width, 3) inputs in [0, 1] for the ranges of each layer rounded alone; None for
            `inputs`.
        progress: show a bar.

    Returns:
        The report.

    Raises:
        ValueError: if a file has no names in it, the two share no layer, or the inputs do not fit.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.exporting import convert
        >>> model = kerafer.build_model("ean")
        >>> x = synthetic(4).inputs(kerafer.model_spec("ean").preprocessing)
        >>> report = layer_error_report(convert(model, "float32"), convert(model, "static_int8", x), x)
        >>> len(report.worst(2)), 0 <= report.together.agreement <= 1
        (2, True)
    """
    float32, int8 = _content(float32), _content(int8)
    layers = layer_errors(float32, int8, inputs)
    known = {row.layer for row in layers}
    alone = [
        row
        for row in rounded_alone(float32, inputs, inputs if calibration is None else calibration, progress=progress)
        if row.layer in known
    ]
    together = _compared("", InnerRunner(float32).predict(inputs), InnerRunner(int8).predict(inputs))
    return LayerErrorReport(len(inputs), together, layers, tuple(alone))


def layer_errors(float32: bytes | str | Path, int8: bytes | str | Path, inputs: np.ndarray) -> tuple[LayerError, ...]:
    """Compare what each layer gives in two files of one model.

    Layers are found by name, whatever the operators around them are: quantization-aware training names and orders them
    otherwise than the converter does.

    Args:
        float32: the float file with names of layers, its path or its content.
        int8: a rounded file of the same model, likewise.
        inputs: (n, height, width, 3) float32.

    Returns:
        One error a layer that computes something, in the network's order; what only one file has is left out.

    Raises:
        ValueError: if a file has no names in it, the two share no layer, or the inputs do not fit.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.exporting import convert
        >>> model = kerafer.build_model("ean")
        >>> x = synthetic(4).inputs(kerafer.model_spec("ean").preprocessing)
        >>> first = layer_errors(convert(model, "float32"), convert(model, "static_int8", x), x)[0]
        >>> first.layer, first.operator, first.compared, first.sqnr_db > 20
        ('stem_conv', 'CONV_2D', '44 x 44 x 16, of 4 inputs', True)
    """
    float32, int8 = _content(float32), _content(int8)
    reference, rounded = InnerRunner(float32), InnerRunner(int8)
    _check_inputs(inputs, reference)
    theirs = _last_of_each(int8)
    pairs = [
        (ours, theirs[layer])
        for layer, ours in _last_of_each(float32).items()
        # a converter may swap a layer with a change of shape next to it: the values are the same, in the same order
        if layer in theirs and math.prod(_shape(reference, ours)) == math.prod(_shape(rounded, theirs[layer]))
    ]
    if not pairs:
        raise ValueError("`float32` and `int8` have no layer in common: they must be of the same model.")
    sums = [_Sums(rounded.limits(their.output), rounded.details[their.output]) for _, their in pairs]
    for ours, theirs_run in zip(reference.runs(inputs), rounded.runs(inputs), strict=True):
        for (our, their), total in zip(pairs, sums, strict=True):
            total.add(ours.value(our.output).ravel(), theirs_run.value(their.output).ravel())
    return tuple(
        LayerError(
            our.layer,
            our.kind,
            f"{' x '.join(map(str, _shape(reference, our)[1:]))}, of {len(inputs)} inputs",
            *total.ratios(),
            _weight_error(reference, our, rounded, their),
        )
        for (our, their), total in zip(pairs, sums, strict=True)
    )


def rounded_alone(
    float32: bytes | str | Path, inputs: np.ndarray, calibration: np.ndarray, *, progress: bool = False
) -> tuple[AloneError, ...]:
    """Round each layer of a float file by itself, and compare the probabilities.

    An integer kernel takes integers, so the layer's inputs are rounded with it: if a range between two layers is bad,
    both are bad, and both must stay in float to mend it.

    Args:
        float32: the float file with names of layers, its path or its content.
        inputs: (n, height, width, 3) float32.
        calibration: (n, height, width, 3) inputs in [0, 1], for the ranges.
        progress: show a bar.

    Returns:
        One error a layer that computes something, the worst first.

    Raises:
        ValueError: if the file has no names in it, or the inputs do not fit.
    """
    float32 = _content(float32)
    reference = InnerRunner(float32)
    _check_inputs(inputs, reference)
    groups: dict[str, list[Operator]] = {}
    for operator in operators(float32):
        if operator.layer and operator.kind not in _MOVING:
            groups.setdefault(operator.layer, []).append(operator)
    measured = ranges(float32, calibration)
    expected = reference.predict(inputs)
    found = []
    for layer, chosen in tqdm(groups.items(), desc="each layer alone", unit="layer", disable=not progress):
        runner = InnerRunner(one_layer_int8(float32, chosen, measured))
        found.append(_compared(layer, expected, runner.predict(inputs)))
    return tuple(sorted(found, key=lambda row: -row.mean_difference))


class _Sums:
    """Adds up what two files give for one layer, and what rounding alone would do."""

    def __init__(self, limits: tuple[float, float] | None, detail: dict[str, Any]) -> None:
        self.limits, self.step = limits, detail["quantization"][0]
        self.power = self.noise = self.own_noise = self.outside = self.count = 0.0

    def add(self, value: np.ndarray, rounded: np.ndarray) -> None:
        value = value.astype(np.float64)
        self.count += value.size
        self.power += float((value**2).sum())
        self.noise += float(((rounded - value) ** 2).sum())
        if self.limits is not None:
            low, high = self.limits
            # half a step beyond the ends is rounding, not clipping
            self.outside += int(((value < low - self.step / 2) | (value > high + self.step / 2)).sum())
            held = np.clip(low + np.rint((value - low) / self.step) * self.step, low, high)
            self.own_noise += float(((held - value) ** 2).sum())

    def ratios(self) -> tuple[float, float, float | None, float | None]:
        """Return SQNR, normalised RMSE, SQNR of the steps alone, and the clipped share."""
        nrmse = math.sqrt(self.noise / self.power) if self.power else (math.inf if self.noise else 0.0)
        if self.limits is None:
            return _decibels(self.power, self.noise), nrmse, None, None
        own = _decibels(self.power, self.own_noise)
        return _decibels(self.power, self.noise), nrmse, own, self.outside / self.count


def _decibels(power: float, noise: float) -> float:
    if not noise:
        return math.inf
    return 10 * math.log10(power / noise) if power else -math.inf


def _weight_error(reference: InnerRunner, our: Operator, rounded: InnerRunner, their: Operator) -> float | None:
    """Return the error of the worst channel of a kernel, relative to that channel."""
    if our.kind not in KERNELS or their.kind != our.kind:
        return None
    kernel, other = (run.value(op.inputs[1]).astype(np.float64) for run, op in ((reference, our), (rounded, their)))
    if kernel.shape != other.shape:
        return None
    axes = (0, 1, 2) if our.kind == "DEPTHWISE_CONV_2D" else tuple(range(1, kernel.ndim))  # all but the channels'
    noise, power = ((other - kernel) ** 2).sum(axis=axes), (kernel**2).sum(axis=axes)
    return float(np.sqrt((noise / np.where(power > 0, power, 1.0)).max()))


def _last_of_each(data: bytes) -> dict[str, Operator]:
    """Return the operator that gives a layer's output, by the layer, in order of the first mention."""
    return {operator.layer: operator for operator in operators(data) if operator.layer and operator.kind not in _MOVING}


def _shape(runner: InnerRunner, operator: Operator) -> tuple[int, ...]:
    return tuple(int(side) for side in runner.details[operator.output]["shape"])


def _compared(layer: str, expected: np.ndarray, got: np.ndarray) -> AloneError:
    difference = np.abs(got - expected)
    agreement = (got.argmax(axis=1) == expected.argmax(axis=1)).mean()
    return AloneError(layer, float(difference.mean()), float(difference.max()), float(agreement))


def _check_inputs(inputs: np.ndarray, runner: InnerRunner) -> None:
    shape = tuple(int(side) for side in runner.input["shape"][1:])
    if np.ndim(inputs) != 4 or np.shape(inputs)[1:] != shape or not len(inputs):
        raise ValueError(f"`inputs` must be one or more pictures (n, {shape}). Received: {np.shape(inputs)}")


def _content(file: bytes | str | Path) -> bytes:
    return Path(file).read_bytes() if isinstance(file, (str, Path)) else bytes(file)


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
