"""The networks that a test goes by: the four systems always, the others where time allows."""

import pytest

import kerafer

SYSTEMS = ("ean", "lcnn", "efficientface", "lfer")
MODELS = kerafer.list_models()
_a_kind = {kerafer.model_spec(name).builder: name for name in (*reversed(MODELS), *SYSTEMS)}
ONE_OF_EACH_KIND = sorted(_a_kind.values())
"""The others have the same blocks, and differ in widths or in parts left out."""
EACH = [name if name in SYSTEMS else pytest.param(name, marks=pytest.mark.exhaustive) for name in MODELS]
"""All; the rows of the systems' ablations and what only stands beside them are tested by `make test-all` alone."""
