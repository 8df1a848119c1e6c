"""Boxes joined by arrows, top to bottom, as a PNG: laid out without overlaps, drawn by matplotlib alone."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kerafer.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Lengths and font sizes are pixels; where there is room, the picture is drawn larger.
WIDTH = 1200
MARGIN, PAD, LINE = 20, 10, 18
COLUMN_GAP, RANK_GAP = 26, 22
LANE, TRACK, BEND = 16, 9, 5
HEAD, PLAIN, TITLE = 14, 12.5, 17
PALETTE = 48
INK, GRAY, EDGE = "#1d2733", "#5a6672", "#8fa0b0"


@dataclass(frozen=True)
class Box:
    """One box.

    Args:
        head: its headline; a box of a headline alone has no frame.
        right: what stands at the end of that line.
        lines: what stands below.
        fill: colour.
    """

    head: str
    right: str = ""
    lines: tuple[str, ...] = ()
    fill: str = "#ffffff"


@dataclass(frozen=True)
class Diagram:
    """Boxes by name in topological order, and the names of those that an arrow leads from to each."""

    boxes: Mapping[str, Box]
    sources: Mapping[str, tuple[str, ...]]

    @property
    def arrows(self) -> list[tuple[str, str]]:
        """All arrows, as (from, to)."""
        return [(source, name) for name in self.boxes for source in self.sources[name]]


@dataclass
class _Arrow:
    """Where an arrow runs down: in a column, or in a lane left of it; lane -1 is the column itself."""

    source: str
    target: str
    column: int
    lane: int = -1


def draw(diagram: Diagram, path: str | Path, title: str) -> None:
    """Draw a diagram, whole or not at all.

    Args:
        diagram: what to draw.
        path: where to write the PNG.
        title: headline.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    layout = _Layout(diagram)
    width = max(layout.width, _text_width(title, TITLE, bold=True) + 2 * MARGIN)
    height = layout.height + 2 * LINE
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=((layout.width - width) / 2, (layout.width + width) / 2))
    axes.set(ylim=(layout.height, -2 * LINE))
    axes.set_axis_off()
    axes.text(layout.width / 2, -LINE * 0.6, title, size=TITLE, weight="bold", color=INK, ha="center", va="center")
    for arrow in layout.arrows:
        _draw_arrow(axes, layout.points(arrow))
    for name, box in diagram.boxes.items():
        _draw_box(axes, box, *layout.frame(name))
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=72 * min(2, max(1, WIDTH / width)), metadata={"Software": None})
    with replacing(path) as temporary, Image.open(drawn) as picture:
        picture.convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE).save(temporary, optimize=True)


class _Layout:
    """Ranks from top to bottom, columns from left to right, and a way for each arrow that meets no box."""

    def __init__(self, diagram: Diagram) -> None:
        self.diagram = diagram
        self.rank = _ranks(diagram)
        self.column = _columns(diagram, self.rank)
        self.arrows = self._routed()
        self._place()

    def _routed(self) -> list[_Arrow]:
        """Return every arrow with the column or lane that it runs down in."""
        taken = {(self.column[name], rank): name for name, rank in self.rank.items()}
        outs = [source for source, _ in self.diagram.arrows]
        arrows = []
        for source, target in self.diagram.arrows:
            between = range(self.rank[source] + 1, self.rank[target])
            ways = [self.column[target], self.column[source]]
            if not between and outs.count(source) == 1:
                ways.reverse()  # several sources of one target meet just above it
            # an arrow may share its way with others from the same box
            free = [c for c in ways if all(taken.get((c, rank), source) == source for rank in between)]
            arrow = _Arrow(source, target, free[0] if free else max(ways), -1 if free else 0)
            while not free and any(self._meet(arrow, other) for other in arrows):
                arrow.lane += 1
            arrows.append(arrow)
            taken.update(((arrow.column, rank), source) for rank in between if free)
        return arrows

    def _meet(self, one: _Arrow, other: _Arrow) -> bool:
        same_way = (one.column, one.lane) == (other.column, other.lane) and one.source != other.source
        return (
            same_way
            and self.rank[one.source] < self.rank[other.target]
            and self.rank[other.source] < self.rank[one.target]
        )

    def _place(self) -> None:
        """Set the pixels: columns and lanes on x, ranks and the tracks between them on y."""
        sizes = {name: _size(box) for name, box in self.diagram.boxes.items()}
        self.sizes, x, self.centre, self.lane_x = sizes, float(MARGIN), {}, {}
        for column in range(max(self.column.values()) + 1):
            lanes = 1 + max([a.lane for a in self.arrows if a.column == column], default=-1)
            for lane in range(lanes):
                self.lane_x[column, lane] = x + (lanes - lane - 0.5) * LANE
            x += lanes * LANE
            widest = max(sizes[name][0] for name in sizes if self.column[name] == column)
            self.centre[column] = self.lane_x[column, -1] = x + widest / 2
            sizes |= {n: (widest, h) for n, (_, h) in sizes.items() if self.column[n] == column and h > LINE + PAD}
            x += widest + COLUMN_GAP
        self.width = x - COLUMN_GAP + MARGIN
        self.middle, self.track_y, y = {}, {}, float(PAD)
        for rank in range(max(self.rank.values()) + 1):
            tallest = max(sizes[name][1] for name in sizes if self.rank[name] == rank)
            self.middle[rank] = y + tallest / 2
            y += tallest
            tracks = self._tracks(rank)
            count = 1 + max(tracks.values(), default=-1)
            for end, track in tracks.items():
                self.track_y[end] = y + RANK_GAP / 2 + (track - 0.5) * TRACK
            y += RANK_GAP + max(0, count - 1) * TRACK
        self.height = y - RANK_GAP + MARGIN

    def _tracks(self, rank: int) -> dict[tuple[str, str], int]:
        """Return which horizontal line below a rank each bend takes: of what leaves a box, or of what arrives."""
        spans: dict[tuple[str, str], list[float]] = {}
        for arrow in self.arrows:
            lane = self.lane_x[arrow.column, arrow.lane]
            for end, name, at in (
                ("out", arrow.source, self.rank[arrow.source]),
                ("in", arrow.target, self.rank[arrow.target] - 1),
            ):
                x = self.centre[self.column[name]]
                if at == rank and x != lane:
                    spans.setdefault((end, name), []).extend((x, lane))
        tracks: dict[tuple[str, str], int] = {}
        for end, span in sorted(spans.items(), key=lambda item: item[0][0] == "in"):
            blocked = {
                tracks[other] for other in tracks if min(span) <= max(spans[other]) and min(spans[other]) <= max(span)
            }
            tracks[end] = next(track for track in range(len(spans)) if track not in blocked)
        return tracks

    def frame(self, name: str) -> tuple[float, float, float, float]:
        """Return a box's left, top, width and height."""
        width, height = self.sizes[name]
        return self.centre[self.column[name]] - width / 2, self.middle[self.rank[name]] - height / 2, width, height

    def points(self, arrow: _Arrow) -> list[tuple[float, float]]:
        """Return the corners of an arrow's way."""
        lane = self.lane_x[arrow.column, arrow.lane]
        start, end = (self.centre[self.column[name]] for name in (arrow.source, arrow.target))
        _, top, _, height = self.frame(arrow.source)
        points = [(start, top + height)]
        if lane != start:
            y = self.track_y["out", arrow.source]
            points += [(start, y), (lane, y)]
        if lane != end:
            y = self.track_y["in", arrow.target]
            points += [(lane, y), (end, y)]
        return [*points, (end, self.frame(arrow.target)[1])]


def _ranks(diagram: Diagram) -> dict[str, int]:
    """Return each box's rank: one below the lowest it comes from; what comes from none, just above where it goes."""
    rank: dict[str, int] = {}
    for name in diagram.boxes:
        rank[name] = 1 + max([rank[source] for source in diagram.sources[name]], default=-1)
    for name in diagram.boxes:
        users = [rank[target] for source, target in diagram.arrows if source == name]
        if not diagram.sources[name] and users:
            rank[name] = min(users) - 1
    return rank


def _columns(diagram: Diagram, rank: Mapping[str, int]) -> dict[str, int]:
    """Return each box's column: chains of boxes, the longest first, each in the first column that has room for it."""
    column: dict[str, int] = {}
    spans: list[tuple[int, int, int]] = []
    while len(column) < len(diagram.boxes):
        best: dict[str, list[str]] = {}
        for name in (n for n in diagram.boxes if n not in column):
            before = [best[source] for source in diagram.sources[name] if source in best]
            best[name] = [*max(before, key=len, default=[]), name]
        chain = max(best.values(), key=len)
        first = min([rank[s] + 1 for s in diagram.sources[chain[0]]], default=rank[chain[0]])
        last = max([rank[t] - 1 for s, t in diagram.arrows if s == chain[-1]], default=rank[chain[-1]])
        taken = {c for c, start, end in spans if first <= end and start <= last}
        place = next(c for c in range(len(spans) + 1) if c not in taken)
        spans.append((place, first, last))
        column |= dict.fromkeys(chain, place)
    return column


@cache
def _text_width(text: str, size: float, bold: bool = False) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(weight="bold" if bold else "normal")
    # a rasterised text is a little wider than its outline
    return 1.04 * float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1) if text.strip() else 0.0


def _size(box: Box) -> tuple[float, float]:
    head = _text_width(box.head, HEAD, bold=True) + (_text_width(box.right, PLAIN) + 2 * PAD if box.right else 0)
    widest = max([head, *(_text_width(line, PLAIN) for line in box.lines)])
    return widest + 2 * PAD, LINE * (1 + len(box.lines)) + PAD


def _draw_box(axes: Axes, box: Box, left: float, top: float, width: float, height: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    if not (box.lines or box.right):
        axes.text(left + width / 2, top + height / 2, box.head, size=PLAIN, color=GRAY, ha="center", va="center")
        return
    style = f"round,pad=0,rounding_size={BEND}"
    axes.add_patch(FancyBboxPatch((left, top), width, height, boxstyle=style, facecolor=box.fill, edgecolor=EDGE))
    y = top + (PAD + LINE) / 2
    axes.text(left + PAD, y, box.head, size=HEAD, weight="bold", color=INK, va="center")
    axes.text(left + width - PAD, y, box.right, size=PLAIN, color=INK, ha="right", va="center")
    for number, line in enumerate(box.lines, start=1):
        axes.text(left + PAD, y + number * LINE, line, size=PLAIN, color=GRAY, va="center")


def _draw_arrow(axes: Axes, points: list[tuple[float, float]]) -> None:
    """Draw a line through the points with round bends, and an arrow head at its end."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Line

    vertices, codes = [points[0]], [Line.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        vertices += [_towards(corner, before), corner, _towards(corner, after)]
        codes += [Line.LINETO, Line.CURVE3, Line.CURVE3]
    line = Line([*vertices, points[-1]], [*codes, Line.LINETO])
    axes.add_patch(FancyArrowPatch(path=line, arrowstyle="-|>", mutation_scale=9, color=EDGE, linewidth=1.3))


def _towards(corner: tuple[float, float], point: tuple[float, float]) -> tuple[float, float]:
    """Return the place where a bend at a corner meets the line to a point."""
    (x, y), (to_x, to_y) = corner, point
    length = abs(to_x - x) + abs(to_y - y)
    share = min(BEND, length / 2) / length if length else 0
    return x + (to_x - x) * share, y + (to_y - y) * share
