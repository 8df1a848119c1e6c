"""A video's expressions over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerafer.plots.common import COLOURS, finish

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

TIMELINES = 6
"""Rows that are drawn at most."""


def expression_timeline(
    tracks: Mapping[int, Sequence[tuple[float, np.ndarray]]], labels: Sequence[str], path: str | Path | None, title: str
) -> Figure:
    """Draw each face's probabilities over a video's time into a PNG, a row for each of the faces seen longest.

    Args:
        tracks: by the face's number, when it was seen and its probabilities then, (classes,).
        labels: class names.
        path: where to write, or None.
        title: headline.

    Returns:
        The figure.
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
            colour, style = COLOURS[index % len(COLOURS)], ("-", "--")[index % 2]
            axes.plot(times, values[:, index], style, color=colour, linewidth=1.6, label=label)
        axes.set(ylim=(0, 1), ylabel=f"face {track}")
        axes.grid(alpha=0.3)
    rows[-1].set_xlabel("seconds")
    if shown:
        figure.legend(*rows[0].get_legend_handles_labels(), loc="outside right upper")
    return finish(figure, path)
