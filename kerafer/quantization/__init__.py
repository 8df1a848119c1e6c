"""Export recipes, and the `tf_keras` twin through which every export goes."""

from __future__ import annotations

from kerafer.quantization.recipes import EXPORT_RECIPES, UNTRAINED_RECIPES, ExportRecipe, export_recipe

__all__ = ["EXPORT_RECIPES", "UNTRAINED_RECIPES", "ExportRecipe", "export_recipe"]
