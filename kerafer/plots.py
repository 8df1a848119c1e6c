"""Pictures of training and results; every plot of kerafer is drawn here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerafer.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

TIMELINES = 6
TIMELINE_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#000000", "#777777")
"""Told apart by people with any colour vision (Okabe and Ito); every second line is dashed too."""


def training_curves(history: Sequence[dict[str, float]], path: str | Path, title: str) -> None:
    """Draw loss, accuracy and learning rate over epochs into a PNG.

    Args:
        history: one dict an epoch with `epoch`, `loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`.
        path: where to write.
        title: headline.
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
    _save(figure, path)


def confusion_matrix(
    confusion: Sequence[Sequence[int]], class_names: Sequence[str], path: str | Path, title: str
) -> None:
    """Draw a confusion matrix into a PNG: shares of each true class, in percent, with the counts below them.

    Args:
        confusion: (classes, classes) images by true class (rows) and predicted class (columns).
        class_names: name of each class.
        path: where to write.
        title: headline.
    """
    import numpy as np
    from matplotlib.figure import Figure

    counts = np.asarray(confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)  # the row of a class without images is all 0
    side = 2.0 + 0.85 * len(class_names)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    for row in range(len(counts)):
        for column in range(len(counts)):
            text = f"{100 * shares[row, column]:.1f}\n({counts[row, column]:,})" if totals[row] else "no\nimages"
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    places = range(len(class_names))
    axes.set_xticks(places, class_names, rotation=45, ha="right")
    axes.set_yticks(places, class_names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    _save(figure, path)


def reliability(bins: Sequence[dict[str, Any]], path: str | Path, title: str) -> None:
    """Draw a reliability diagram into a PNG: accuracy over confidence, and how many images have which confidence.

    Args:
        bins: from `kerafer.evaluation.measures.calibration_bins`.
        path: where to write.
        title: headline.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6.5), layout="constrained")
    figure.suptitle(title, fontsize=10)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    width = bins[0]["to"] - bins[0]["above"]
    full = [row for row in bins if row["images"]]
    starts = [row["above"] for row in full]
    upper.bar(starts, [row["accuracy"] for row in full], width, align="edge", edgecolor="white", label="accuracy")
    upper.plot([row["confidence"] for row in full], [row["accuracy"] for row in full], "k.", label="mean confidence")
    upper.plot([0, 1], [0, 1], "--", color="gray", label="as confident as right")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    upper.legend(loc="upper left")
    lower.bar([row["above"] for row in bins], [row["images"] for row in bins], width, align="edge", edgecolor="white")
    lower.set(xlabel="probability of the best class", ylabel="images")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    _save(figure, path)


def picture_table(images: Sequence[np.ndarray], captions: Sequence[str], path: str | Path, title: str) -> None:
    """Draw pictures with captions into a PNG, eight in a row.

    Args:
        images: each (height, width) gray or (height, width, 3) RGB, uint8; there may be none.
        captions: one for each.
        path: where to write.
        title: headline.
    """
    from matplotlib.figure import Figure

    columns = 8
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.5 * columns, 2.1 * rows + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if number < len(images):
            image = images[number]
            axes.imshow(image, **({"cmap": "gray", "vmin": 0, "vmax": 255} if image.ndim == 2 else {}))
            axes.set_title(captions[number], fontsize=7)
    _save(figure, path)


def robustness_curves(
    curves: Mapping[str, Mapping[str, Any]], models: Sequence[str], path: str | Path, title: str
) -> None:
    """Draw accuracy over severity into a PNG, one picture a corruption and one line a model.

    Args:
        curves: of `kerafer.evaluation.Robustness`.
        models: names of the lines.
        path: where to write.
        title: headline.
    """
    from matplotlib.figure import Figure

    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.2 * columns + 0.6, 3.4 * rows + 0.8), layout="constrained")
    figure.suptitle(title)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axes, (name, curve) in zip(panels, curves.items(), strict=False):
        for model in models:
            axes.plot(curve["severities"], curve["accuracy"][model], marker=".", label=model)
        axes.axvline(curve["neutral"], color="gray", linewidth=0.8, linestyle=":")
        axes.set(title=name, xlabel=curve["unit"], ylabel="accuracy", ylim=(0, 1))
        axes.grid(alpha=0.3)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    panels[0].legend(fontsize=8)
    _save(figure, path)


def sweep_curve(
    rows: Sequence[dict[str, Any]], constants: Sequence[str], path: str | Path, *, title: str, split: str
) -> None:
    """Draw the validation accuracy over one constant, a line for each value of a second one, into a PNG.

    Args:
        rows: of a `Sweep`.
        constants: names of the one or two constants; with two, the last makes the axis.
        path: where to write.
        title: headline.
        split: what was measured.
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
    _save(figure, path)


def accuracy_against_size(
    rows: Sequence[tuple[str, int, float]], path: str | Path, title: str, *, reference: float
) -> None:
    """Draw the accuracy of a model's files against their size into a PNG.

    Args:
        rows: (recipe, bytes, accuracy in [0, 1]).
        path: where to write.
        title: headline.
        reference: accuracy of the float Keras model, drawn as a line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(100 * reference, color="gray", linestyle="--", linewidth=1, label="Keras, float32")
    for recipe, size, accuracy in rows:
        axes.plot(size / 1000, 100 * accuracy, "o")
        axes.annotate(recipe, (size / 1000, 100 * accuracy), textcoords="offset points", xytext=(6, 5), fontsize=9)
    axes.set(xlabel="size of the file, KB", ylabel="accuracy, %", title=title, xlim=(0, None))
    axes.margins(x=0.2, y=0.2)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    _save(figure, path)


def ablation_bars(tables: Sequence[dict[str, Any]], path: str | Path, title: str) -> None:
    """Draw what each part of a system gains into a PNG: bars of accuracy, a panel for each table.

    Args:
        tables: each with `title` and `rows`, whose `what` names the row and whose `accuracy` lists a value in [0, 1]
            for each seed.
        path: where to write.
        title: headline.

    Example:
        >>> rows = [{"what": "plain", "accuracy": [0.5, 0.52]}, {"what": "+ part", "accuracy": [0.55, 0.54]}]
        >>> ablation_bars([{"title": "Mine", "rows": rows}], "/tmp/kerafer-ablation.png", "2 epochs")
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
    _save(figure, path)


def layer_error_bars(rows: Sequence[dict[str, Any]], path: str | Path, title: str, annotated: int = 3) -> None:
    """Draw what rounding does to each layer into a PNG: noise of its output, and its effect when rounded alone.

    Args:
        rows: of `kerafer.quantization.layer_error.LayerErrorReport.rows`, in the network's order.
        path: where to write.
        title: headline.
        annotated: how many of the worst layers are named beside their bars.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(7.0, 0.16 * len(rows) + 2), 7.5), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subplots(2, 1, sharex=True)
    places = np.arange(len(rows))
    ratios = np.array([row["sqnr_db"] for row in rows], float)
    upper.bar(places, np.where(np.isfinite(ratios), ratios, 0), color="tab:blue", label="with all layers before it")
    own = np.array([np.nan if row["steps_sqnr_db"] is None else row["steps_sqnr_db"] for row in rows], float)
    upper.plot(places, np.where(np.isfinite(own), own, np.nan), "k_", markersize=6, label="this output rounded alone")
    upper.set(ylabel="signal to quantization noise, dB")
    upper.legend(fontsize=8, loc="lower left")
    effects = np.array([row["mean_difference"] or 0.0 for row in rows])
    worst = set(np.argsort(-effects, kind="stable")[:annotated].tolist())
    lower.bar(places, effects, color=["tab:red" if place in worst else "tab:blue" for place in places])
    for place in sorted(worst):
        share = rows[place]["agreement"]
        text = rows[place]["layer"] + ("" if share is None else f"\nagreement {share:.1%}")
        side = "right" if place > len(rows) / 2 else "left"
        lower.annotate(text, (place, effects[place]), fontsize=7, ha=side, va="bottom", rotation=15)
    lower.set(ylabel="layer rounded alone:\nmean difference of a probability")
    lower.margins(y=0.2)
    lower.set_xticks(places, [row["layer"] for row in rows], rotation=90, fontsize=5)
    for axes in (upper, lower):
        axes.grid(axis="y", alpha=0.3)
    _save(figure, path)


def _save(figure: Figure, path: str | Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def expression_timeline(
    tracks: Mapping[int, Sequence[tuple[float, np.ndarray]]], labels: Sequence[str], path: str | Path, title: str
) -> None:
    """Draw each face's probabilities over a video's time into a PNG, a row for each of the faces seen longest.

    Args:
        tracks: by face, when it was seen and its probabilities then, (classes,).
        labels: class names.
        path: where to write.
        title: headline.
    """
    import numpy as np
    from matplotlib.figure import Figure

    shown = sorted(sorted(tracks, key=lambda track: -len(tracks[track]))[:TIMELINES])
    figure = Figure(figsize=(11, 1.2 + 1.9 * max(1, len(shown))), layout="constrained")
    left_out = f" (the {len(shown)} of {len(tracks)} that were seen longest)" if len(tracks) > len(shown) else ""
    figure.suptitle(title + left_out if shown else f"{title}: no face")
    rows = figure.subplots(max(1, len(shown)), 1, sharex=True, squeeze=False)[:, 0]
    for axes, track in zip(rows, shown, strict=False):
        times = np.array([seconds for seconds, _ in tracks[track]])
        values = np.stack([probabilities for _, probabilities in tracks[track]])
        # a line is broken where the face was away
        breaks = np.flatnonzero(np.diff(times) > 1) + 1
        times, values = np.insert(times, breaks, np.nan), np.insert(values, breaks, np.nan, axis=0)
        for index, label in enumerate(labels):
            colour, style = TIMELINE_COLOURS[index % len(TIMELINE_COLOURS)], ("-", "--")[index % 2]
            axes.plot(times, values[:, index], style, color=colour, linewidth=1.6, label=label)
        axes.set(ylim=(0, 1), ylabel=f"face {track + 1}")
        axes.grid(alpha=0.3)
    rows[-1].set_xlabel("seconds")
    if shown:
        figure.legend(*rows[0].get_legend_handles_labels(), loc="outside right upper")
    _save(figure, path)
