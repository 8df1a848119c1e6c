"""Pictures of training and results; every plot of kerafer is drawn here, returned as a figure and written if asked."""

from kerafer.plots.evaluation import confusion_matrix, picture_table, reliability, robustness_curves
from kerafer.plots.explanations import embedding_scatter, grad_cam_grid, label_distributions
from kerafer.plots.quantization import accuracy_against_size, layer_error_bars
from kerafer.plots.training import ablation_bars, sweep_curve, training_curves
from kerafer.plots.video import expression_timeline

__all__ = [
    "ablation_bars",
    "accuracy_against_size",
    "confusion_matrix",
    "embedding_scatter",
    "expression_timeline",
    "grad_cam_grid",
    "label_distributions",
    "layer_error_bars",
    "picture_table",
    "reliability",
    "robustness_curves",
    "sweep_curve",
    "training_curves",
]
