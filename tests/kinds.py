"""The networks that a test goes by: the four systems, one of each other kind, and, where time allows, all."""

import pytest

import kerafer

SYSTEMS = ("ean", "lcnn", "efficientface", "lfer")
MODELS = kerafer.list_models()
_first = {kerafer.model_spec(name).builder: name for name in (*reversed(MODELS), *SYSTEMS)}
ONE_OF_EACH_KIND = sorted(_first.values())
"""The others have the same blocks, and differ in widths or in parts left out."""
EACH = [n if n in ONE_OF_EACH_KIND else pytest.param(n, marks=pytest.mark.exhaustive) for n in MODELS]
"""All; what differs little from another is tested by `make test-all` only."""
