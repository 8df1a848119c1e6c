"""Training: recipes as data, a loop that resumes exactly, and a record of each run."""

from __future__ import annotations

from kerafer.training.loop import TrainingRun, train
from kerafer.training.recipes import RECIPES, TrainingRecipe, recipe

__all__ = ["RECIPES", "TrainingRecipe", "TrainingRun", "recipe", "train"]
