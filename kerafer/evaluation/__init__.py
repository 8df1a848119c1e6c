"""How well a model does: measures with their uncertainty, two models compared, subsets, and corrupted pictures.

predict -> Predictions -> measure -> Evaluation
           Predictions, Predictions -> compare -> Comparison
models, data -> robustness -> Robustness
model, pictures -> grad_cam -> Explanation; model, data -> embeddings -> layout
"""

from __future__ import annotations

from kerafer.evaluation.comparison import Comparison, compare
from kerafer.evaluation.corruptions import CORRUPTIONS, Corruption
from kerafer.evaluation.curves import Robustness, robustness
from kerafer.evaluation.explanations import Explanation, embeddings, explained_layers, grad_cam, layout
from kerafer.evaluation.measures import Evaluation, evaluate, measure
from kerafer.evaluation.predictions import VIEWS, Predictions, predict, predict_dataset
from kerafer.evaluation.report import draw_confusion, draw_reliability, write_report
from kerafer.evaluation.subsets import Subset, image_names, read_subset

__all__ = [
    "CORRUPTIONS",
    "VIEWS",
    "Comparison",
    "Corruption",
    "Evaluation",
    "Explanation",
    "Predictions",
    "Robustness",
    "Subset",
    "compare",
    "draw_confusion",
    "draw_reliability",
    "embeddings",
    "evaluate",
    "explained_layers",
    "grad_cam",
    "image_names",
    "layout",
    "measure",
    "predict",
    "predict_dataset",
    "read_subset",
    "robustness",
    "write_report",
]
