"""`kerafer train`, and `kerafer recipes`: training on hard labels, and what the recipes say."""

from __future__ import annotations

import argparse
from typing import Any

from kerafer.cli.common import (
    add_data,
    add_reading,
    add_training,
    add_verb,
    chosen_recipe,
    print_json,
    print_run,
    training_options,
    training_splits,
)


def add(verbs: Any) -> None:
    """Add the verbs."""
    verb = add_verb(
        verbs,
        "train",
        "train a model on hard labels, or go on with an interrupted training",
        "kerafer train ean --data fer2013:fer2013.csv --recipe cosine --out runs/ean",
        _train,
    )
    verb.add_argument("model", help="a model of `kerafer list`")
    add_data(verb, required=True)
    add_training(verb)
    add_reading(verb)
    verb = add_verb(verbs, "recipes", "list the training recipes and what they say", "kerafer recipes", _recipes)
    verb.add_argument("name", nargs="?", help="show all fields of this one")


def _train(arguments: argparse.Namespace) -> int:
    from kerafer.training import default_recipe, train

    chosen = chosen_recipe(arguments, default_recipe(arguments.model))
    data, validation = training_splits(arguments, arguments.model)
    run = train(
        arguments.model,
        data,
        validation,
        chosen,
        arguments.out or f"runs/{arguments.model}-{chosen.name}-{arguments.seed}",
        weights=arguments.weights,
        **training_options(arguments),
    )
    if arguments.json:
        print_json({"folder": str(run.folder), **run.record})
    else:
        print_run(run, arguments.validation, len(data))
    return 0


def _recipes(arguments: argparse.Namespace) -> int:
    from kerafer.training import RECIPES, recipe

    chosen = {arguments.name: recipe(arguments.name)} if arguments.name else RECIPES
    if arguments.json:
        print_json({name: value.to_dict() for name, value in chosen.items()})
    elif arguments.name:
        for field, value in chosen[arguments.name].to_dict().items():
            print(f"{field:<18}{value}")
    else:
        for name, value in chosen.items():
            print(f"{name:<25}{value.loss}, {value.epochs} epochs of {value.optimizer} {value.learning_rate:g}")
            print(f"{'':<25}{value.source}")
    return 0
