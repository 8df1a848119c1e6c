"""What is fuzzed: every reader that takes bytes from outside, with whole files to start from.

A reader may return, or refuse with ValueError or OSError (which FileNotFoundError is). Any other exception, a crash of
the process, a reader that takes longer than `SECONDS`, or a half-written file beside the input is a finding. Readers
that keep something in a cache, or whose result can be written, do so, so that there is something to be half-written.
"""

from __future__ import annotations

import data_targets
import model_targets
import training_targets
from target import Target, half_written

__all__ = ["REFUSALS", "SECONDS", "TARGETS", "Target", "half_written"]

REFUSALS = (ValueError, OSError)
SECONDS = 30
TARGETS: dict[str, Target] = {**data_targets.TARGETS, **model_targets.TARGETS, **training_targets.TARGETS}
