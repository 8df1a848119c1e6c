"""Draw the networks of docs/papers.md into docs/figures.

python -m benchmarks.papers
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures"

# model, block or None for all blocks, headline
FIGURES = (
    ("ean", None, "EAN"),
    ("ean", "block3", "EAN: block3 (EAIRB)"),
    ("lcnn", None, "LCNN"),
    ("lcnn", "block1", "LCNN: block1, a residual of separable convolutions"),
    ("efficientface", None, "EfficientFace"),
    ("efficientface", "stage2_unit0", "ShuffleNetV2's unit of stride 2"),
    ("efficientface", "stage2_unit1", "ShuffleNetV2's unit of stride 1"),
    ("efficientface", "modulator", "EfficientFace: channel-spatial modulator"),
    ("lfer", None, "LFER-LDL"),
    ("lfer", "local", "LFER-LDL: PDWRes"),
    ("lfer", "head", "LFER-LDL: output module"),
)


def file_name(model: str, block: str | None) -> str:
    """Return the name of a figure's file."""
    return f"{model}-{block}.png" if block else f"{model}.png"


def main() -> int:
    """Draw all figures."""
    import kerafer
    from kerafer.structure import draw_structure

    built = {model: kerafer.build_model(model) for model, _, _ in FIGURES}
    for model, block, title in FIGURES:
        draw_structure(built[model], FOLDER / file_name(model, block), title, block)
        print(f"wrote docs/figures/{file_name(model, block)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
