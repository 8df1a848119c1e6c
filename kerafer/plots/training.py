"""Pictures of trainings: curves, sweeps, ablations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerafer.plots.common import finish

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_curves(history: Sequence[dict[str, float]], path: str | Path | None, title: str) -> Figure:
    """Draw loss, accuracy and learning rate over epochs into a PNG.

    Args:
        history: one dict an epoch with `epoch`, `loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`.
        path: where to write, or None.
        title: headline.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    figure.suptitle(title)
    for axes, key in zip(figure.subplots(1, 3), ("loss", "accuracy", "learning_rate"), strict=True):
        for name, label in ((key, "training"), (f"val_{key}", "validation")):
            if name in history[0]:
                axes.plot(epochs, [row[name] for row in history], marker=".", markersize=3, label=label)
        axes.set(xlabel="epoch", ylabel=key.replace("_", " "))
        axes.grid(alpha=0.3)
        if key != "learning_rate":
            axes.legend()
    return finish(figure, path)


def sweep_curve(
    rows: Sequence[dict[str, Any]], constants: Sequence[str], path: str | Path | None, *, title: str, split: str
) -> Figure:
    """Draw the validation accuracy over one constant, a line for each value of a second one, into a PNG.

    Args:
        rows: of a `Sweep`.
        constants: names of the one or two constants; with two, the last makes the axis.
        path: where to write, or None.
        title: headline.
        split: what was measured.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    axis = constants[-1]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    lines = sorted({tuple(row[c] for c in constants[:-1]) for row in rows})
    for line in lines:
        chosen = [row for row in rows if tuple(row[c] for c in constants[:-1]) == line]
        for key, style in (("val_accuracy", "-o"), ("last_val_accuracy", ":.")):
            name = "best epoch" if key == "val_accuracy" else "last epoch"
            label = ", ".join([*(f"{c} {v:g}" for c, v in zip(constants, line, strict=False)), name])
            axes.plot([row[axis] for row in chosen], [100 * row[key] for row in chosen], style, label=label)
    axes.set(xlabel=axis.replace("_", " "), ylabel=f"accuracy on {split}, %", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return finish(figure, path)


def ablation_bars(tables: Sequence[dict[str, Any]], path: str | Path | None, title: str) -> Figure:
    """Draw what each part of a system gains into a PNG: bars of accuracy, a panel for each table.

    Args:
        tables: each with `title` and `rows`, whose `what` names the row and whose `accuracy` lists a value in [0, 1]
            for each seed.
        path: where to write, or None.
        title: headline.

    Returns:
        The figure.

    Example:
        >>> rows = [{"what": "plain", "accuracy": [0.5, 0.52]}, {"what": "+ part", "accuracy": [0.55, 0.54]}]
        >>> len(ablation_bars([{"title": "Mine", "rows": rows}], None, "2 epochs").axes)
        1
    """
    from matplotlib.figure import Figure

    count = sum(len(table["rows"]) for table in tables)
    figure = Figure(figsize=(8, 1.0 + 0.45 * count + 0.5 * len(tables)), layout="constrained")
    panels = figure.subplots(
        len(tables), squeeze=False, sharex=True, height_ratios=[len(table["rows"]) for table in tables]
    )[:, 0]
    for axes, table in zip(panels, tables, strict=True):
        places = range(len(table["rows"]))
        for place, row in zip(places, table["rows"], strict=True):
            values = [100 * value for value in row["accuracy"]]
            mean = sum(values) / len(values)
            axes.barh(place, mean, color="#4c78a8", height=0.65)
            axes.plot(values, [place] * len(values), "k.", markersize=5)
            axes.annotate(f"{mean:.2f}", (max(values), place), xytext=(5, 0), textcoords="offset points", va="center")
        axes.set_yticks(places, [row["what"] for row in table["rows"]])
        axes.invert_yaxis()
        axes.set_title(table["title"], loc="left", fontsize="medium")
        axes.grid(axis="x", alpha=0.3)
    every = [100 * value for table in tables for row in table["rows"] for value in row["accuracy"]]
    room = max(1.0, max(every) - min(every))
    panels[-1].set_xlim(max(0.0, min(every) - room), max(every) + 0.4 * room)
    panels[-1].set_xlabel("accuracy, % (a dot a seed)")
    figure.suptitle(title)
    return finish(figure, path)
