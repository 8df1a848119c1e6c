"""Pictures from files, as a person sees them: upright, 8 bits, RGB."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import numpy as np

from kerafer.files import DAMAGE

MAX_PIXELS = 150_000_000
"""Larger pictures are refused: 150 megapixels take 450 MB once decoded. Pillow itself refuses from 178 on."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What is decoded. Pillow knows more, among them EPS, for which it would start Ghostscript."""


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture upright, as 8-bit RGB.

    EXIF rotation is applied, 16-bit values are scaled to 8 bits, gray is repeated on three channels, transparent
    pixels are laid over white, and of an animation the first frame is taken.

    Args:
        path: a JPEG, PNG, WebP, BMP, TIFF or GIF file.

    Returns:
        (height, width, 3) uint8.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read as a picture, or has more than `MAX_PIXELS` pixels.

    Example:
        >>> import matplotlib.cbook as cbook
        >>> read_image(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).shape
        (600, 512, 3)
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no picture {path}.")
    _have_one_limit()
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height <= MAX_PIXELS:
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{path} is not a picture in a known format ({', '.join(FORMATS)}), or it is damaged."
        ) from error
    except Image.DecompressionBombError:
        pass
    except DAMAGE as error:
        raise ValueError(f"{path} cannot be read as a picture: {str(error) or type(error).__name__}.") from error
    raise ValueError(f"{path} has more than {MAX_PIXELS:,} pixels. Make it smaller first.")


@cache
def _have_one_limit() -> None:
    """Silence Pillow's warning of pictures that are half as large as it takes: `MAX_PIXELS` is the limit here."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _to_rgb(image: object) -> np.ndarray:
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":  # 16 or 32 bits a pixel, one channel
        values = np.asarray(image).astype(np.float64)
        # Pillow opens 16-bit gray as I;16 or, from PNG, as I
        top = 65535.0 if image.mode.startswith("I") else max(1.0, float(np.nanmax(values)))
        gray = np.clip(np.rint(np.nan_to_num(values) * (255.0 / top)), 0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=-1)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        background = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(background, rgba)
    return np.asarray(image.convert("RGB"))
