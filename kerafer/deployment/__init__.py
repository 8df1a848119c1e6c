"""From a trained model to the file that an app ships: quantized by any recipe, and the recipes beside each other."""

from __future__ import annotations

from kerafer.deployment.comparison import RecipeComparison, compare_recipes
from kerafer.deployment.layers import explain_rounding
from kerafer.deployment.quantizing import quantize

__all__ = ["RecipeComparison", "compare_recipes", "explain_rounding", "quantize"]
