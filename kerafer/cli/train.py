"""`kerafer train`, and `kerafer recipes`: training on hard labels or by a plan, and what recipes and plans say."""

from __future__ import annotations

import argparse
from pathlib import Path
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
    verbosity,
)


def add(verbs: Any) -> None:
    """Add the verbs."""
    verb = add_verb(
        verbs,
        "train",
        "train a model on hard labels or by a plan of stages, or go on with an interrupted training",
        "kerafer train ean --data fer2013:fer2013.csv --recipe cosine --out runs/ean\n"
        "  kerafer train ean --data fer2013:fer2013.csv --recipe ean_best --out runs/best",
        _train,
    )
    verb.add_argument("model", help="a model of `kerafer list`")
    add_data(verb, required=True)
    add_training(verb)
    verb.add_argument("--votes", metavar="CSV", help="FER+ votes (fer2013new.csv), for a plan that learns from them")
    add_reading(verb)
    verb = add_verb(verbs, "recipes", "list the training recipes and what they say", "kerafer recipes", _recipes)
    verb.add_argument("name", nargs="?", help="show all fields of this one")


def _train(arguments: argparse.Namespace) -> int:
    from kerafer.training import PLANS, default_recipe, train

    if arguments.recipe in PLANS:
        return _follow(arguments)
    if arguments.votes:
        raise ValueError(
            "`--votes` goes with a plan that learns from them. `kerafer ldl` trains on votes alone. "
            f"Received: --recipe {arguments.recipe}"
        )
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


def _follow(arguments: argparse.Namespace) -> int:
    """Train the stages of a plan, then write the file with integers that ships beside its weights."""
    from kerafer.deployment import quantize
    from kerafer.training import PLANS, parse_changes, run_plan

    plan = PLANS[arguments.recipe]
    if arguments.model != plan.model:
        raise ValueError(f"`--recipe {plan.name}` trains {plan.model}. Received: {arguments.model!r}")
    fixed = [f"--{name}" for name in ("size", "resize", "weights") if getattr(arguments, name)]
    if fixed:
        raise ValueError(f"{', '.join(fixed)} goes with a recipe of one stage, not with the plan {plan.name}.")
    own = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "learning_rate")}
    changes = {**parse_changes(arguments.set), **{k: v for k, v in own.items() if v is not None}}
    data, validation = training_splits(arguments, plan.model)
    options = {"seed": arguments.seed, "verbose": verbosity(arguments)}
    out = Path(arguments.out or f"runs/best-{arguments.seed}")
    plan = plan.changed(**changes)
    run = run_plan(plan, data, validation, out, **options)
    bundle = quantize(
        run.path(plan.result),
        recipe="qat_int8",
        data=data,
        validation=validation,
        out=out / f"{run.folder.name}-int8",
        training=plan.tuning,
        **options,
    )
    if arguments.json:
        model = str(run.path(plan.result))
        print_json({"folder": str(run.folder), "model": model, "bundle": str(bundle.folder), **run.record})
    else:
        print_run(run, arguments.validation, len(data))
        print(f"the plan's result is {run.path(plan.result)}")
        print(f"{bundle.folder}: {', '.join(bundle.tflite_files)}")
    return 0


def _recipes(arguments: argparse.Namespace) -> int:
    from kerafer.training import PLANS, RECIPES, recipe

    if arguments.name in PLANS:
        return _plan(arguments)
    chosen = {arguments.name: recipe(arguments.name)} if arguments.name else RECIPES
    if arguments.json:
        plans = {} if arguments.name else {name: plan.to_dict() for name, plan in PLANS.items()}
        print_json({**{name: value.to_dict() for name, value in chosen.items()}, **plans})
    elif arguments.name:
        for field, value in chosen[arguments.name].to_dict().items():
            print(f"{field:<18}{value}")
    else:
        for name, value in chosen.items():
            print(f"{name:<25}{value.loss}, {value.epochs} epochs of {value.optimizer} {value.learning_rate:g}")
            print(f"{'':<25}{value.source}")
        for name, plan in PLANS.items():
            print(f"{name:<25}{', then '.join(stage.name for stage in plan.stages)}")
            print(f"{'':<25}{plan.source}")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from kerafer.training import PLANS

    plan = PLANS[arguments.name]
    if arguments.json:
        print_json({plan.name: plan.to_dict()})
        return 0
    for stage in plan.to_dict()["stages"]:
        settings = stage["recipe"]
        for field, value in {**stage, **settings, "name": stage["name"], "recipe": settings["name"]}.items():
            print(f"{field:<18}{value}")
        print()
    print(f"{'result':<18}{plan.result}\n")
    for field, value in plan.tuning.to_dict().items():
        print(f"{field:<18}{value}")
    return 0
