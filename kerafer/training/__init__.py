"""Training: recipes as data, the papers' methods, runs that resume exactly and keep a record."""

from __future__ import annotations

from kerafer.training.best import PLANS
from kerafer.training.distributions import Distributions, distributions_from_votes, generate_distributions
from kerafer.training.hosts import join_hosts
from kerafer.training.iterative import DistillationRun, distill
from kerafer.training.ldl import DistributionRun, train_with_distributions
from kerafer.training.loop import train
from kerafer.training.papers import RECIPES, default_recipe, recipe
from kerafer.training.plans import Plan, Stage, run_plan
from kerafer.training.recipes import TrainingRecipe, parse_changes
from kerafer.training.record import TrainingRun
from kerafer.training.sweeps import Sweep, sweep_combo, sweep_distillation

__all__ = [
    "PLANS",
    "RECIPES",
    "DistillationRun",
    "DistributionRun",
    "Distributions",
    "Plan",
    "Stage",
    "Sweep",
    "TrainingRecipe",
    "TrainingRun",
    "default_recipe",
    "distill",
    "distributions_from_votes",
    "generate_distributions",
    "join_hosts",
    "parse_changes",
    "recipe",
    "run_plan",
    "sweep_combo",
    "sweep_distillation",
    "train",
    "train_with_distributions",
]
