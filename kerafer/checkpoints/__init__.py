"""Other people's checkpoints, from PyTorch and from Keras 2, read without running anything from them.

Their numbers go into the zoo's models as they are; what does not fit is named before a single weight changes.
"""

from __future__ import annotations

from kerafer.checkpoints.importing import import_weights
from kerafer.checkpoints.keras_2 import load_mini_xception
from kerafer.checkpoints.torch_files import read_torch_state
from kerafer.checkpoints.torch_state import load_torch_state

__all__ = ["import_weights", "load_mini_xception", "load_torch_state", "read_torch_state"]
