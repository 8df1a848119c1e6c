"""Pictures with what was found drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from kerafer.vision.detect import Face

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

# Told apart by people with any colour vision (Okabe and Ito), bright on dark.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#FFFFFF")


def annotate(
    image: np.ndarray, faces: Sequence[tuple[Face, Mapping[str, float]]], names: Sequence[str] | None = None
) -> np.ndarray:
    """Draw boxes, landmarks and the three most probable expressions of each face.

    Args:
        image: (height, width, 3) uint8 RGB.
        faces: each face with the probability of every class.
        names: what stands in the upper left corner of each face's box; nothing by default.

    Returns:
        (height, width, 3) uint8, a copy; with a line of text where no face was found.
    """
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(image).convert("RGB")
    draw = ImageDraw.Draw(canvas, "RGBA")
    unit = max(1.0, max(canvas.size) / 640)  # so that large pictures get readable text
    if not faces:
        _text(
            draw, (round(8 * unit), round(8 * unit)), "no face found", "#FFFFFF", _font(round(16 * unit)), canvas.size
        )
    for (face, probabilities), name in zip(faces, names or [""] * len(faces), strict=True):
        _face(draw, face, probabilities, unit, canvas.size)
        if name:
            corner = (face.box[0] + round(4 * unit), face.box[1] + round(3 * unit))
            _text(draw, corner, name, "#FFFFFF", _font(_small(face, unit)), canvas.size)
    return np.asarray(canvas)


def _small(face: Face, unit: float) -> int:
    """Return the size of a face's texts."""
    return max(10, min(round(14 * unit), round(face.box[2] * 0.16)))


def _face(draw: object, face: Face, probabilities: Mapping[str, float], unit: float, size: tuple[int, int]) -> None:
    best = sorted(probabilities.items(), key=lambda item: -item[1])[:3]
    colour = COLOURS[list(probabilities).index(best[0][0]) % len(COLOURS)]
    x, y, w, h = face.box
    draw.rectangle((x, y, x + w, y + h), outline=colour, width=max(2, round(2.5 * unit)))
    radius = max(1.5, 0.012 * w)
    for px, py in face.landmarks.values():
        draw.ellipse((px - radius, py - radius, px + radius, py + radius), fill=colour)
    lines = [f"{label} {probability:.0%}" for label, probability in best]
    font = _font(_small(face, unit))
    _text(draw, (x, y + h + round(2 * unit)), "\n".join(lines), "#FFFFFF", font, size)


def _text(draw: object, at: tuple[int, int], text: str, colour: str, font: FreeTypeFont, size: tuple[int, int]) -> None:
    left, top, right, bottom = draw.multiline_textbbox(at, text, font=font)
    dx, dy = min(0, size[0] - right - 2), min(0, size[1] - bottom - 2)  # keep it inside the picture
    at = (max(0, at[0] + dx), max(0, at[1] + dy))
    left, top, right, bottom = draw.multiline_textbbox(at, text, font=font)
    draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=(0, 0, 0, 170))
    draw.multiline_text(at, text, fill=colour, font=font)


@cache
def _font(size: int) -> FreeTypeFont:
    from matplotlib import font_manager
    from PIL import ImageFont

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
