"""The papers' losses, each by its equation: label distributions, Combo loss, distillation.

They are plain `keras.losses.Loss` objects written with `keras.ops`: for `model.compile` and for loops of your own, on
every Keras backend, and for a `tf_keras` model while Keras runs on TensorFlow. (`tf_keras` applies `sample_weight`
itself: give it `reduction="none"` if you weight images.)

All take y_pred of shape (batch, classes): probabilities that add up to 1, or logits with `from_logits=True`, which is
more exact and finite for every finite logit, in its gradient too. Half-precision predictions are computed in float32.
"""

from __future__ import annotations

from kerafer.losses.combo import ComboLoss
from kerafer.losses.distillation import DistillationLoss, distillation_targets
from kerafer.losses.distribution import KLLoss, LabelDistributionLoss

__all__ = ["ComboLoss", "DistillationLoss", "KLLoss", "LabelDistributionLoss", "distillation_targets"]
