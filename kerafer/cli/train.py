"""`kerafer train` and `kerafer evaluate`."""

from __future__ import annotations

import argparse
import fnmatch
from pathlib import Path
from typing import Any

from kerafer.cli.common import add_data, add_model, add_reading, add_verb, model_and_weights, print_json, read_data


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
    verb.add_argument("--split", default="train", help="split to train on (default: train)")
    verb.add_argument("--validation", default="public", help="split to measure after each epoch (default: public)")
    verb.add_argument("--recipe", help="ean_paper or cosine (default: the model's own paper's)")
    verb.add_argument("--epochs", type=int, help="instead of the recipe's")
    verb.add_argument("--batch-size", type=int, help="instead of the recipe's")
    verb.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    verb.add_argument("--size", type=int, help="height and width of the input (default: the paper's)")
    verb.add_argument("--seed", type=int, default=0, help="decides weights, order and augmentation (default: 0)")
    verb.add_argument("--weights", help="start from shipped weights, such as fer2013")
    verb.add_argument("--out", help="folder of the run (default: runs/MODEL-RECIPE-SEED)")
    add_reading(verb)
    verb = add_verb(
        verbs,
        "evaluate",
        "measure a model's accuracy on a split, one centre crop an image",
        "kerafer evaluate ean --weights fer2013 --data fer2013:fer2013.csv --split public",
        _evaluate,
    )
    add_model(verb)
    add_data(verb, required=True)
    verb.add_argument("--split", default="public", help="train, public or private (default: public)")
    add_reading(verb)


def _train(arguments: argparse.Namespace) -> int:
    from kerafer.training import recipe, train
    from kerafer.training.recipes import DEFAULTS

    default = next((r for pattern, r in DEFAULTS.items() if fnmatch.fnmatch(arguments.model, pattern)), "cosine")
    changes = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "learning_rate")}
    chosen = recipe(arguments.recipe or default, **{k: v for k, v in changes.items() if v is not None})
    out = arguments.out or Path("runs") / f"{arguments.model}-{chosen.name}-{arguments.seed}"
    data = read_data(arguments, arguments.data, arguments.split)
    validation = read_data(arguments, arguments.data, arguments.validation)
    run = train(
        arguments.model,
        data,
        validation,
        chosen,
        out,
        seed=arguments.seed,
        size=arguments.size and (arguments.size, arguments.size),
        weights=arguments.weights,
        verbose=0 if arguments.json else 1,
    )
    if arguments.json:
        print_json({"folder": str(run.folder), **run.record})
        return 0
    last, best = run.record["result"]["last"], run.record["result"]["best"]
    print(f"{run.folder}: {run.record['result']['epochs']} epochs on {len(data):,} images")
    print(f"  last.keras  {arguments.validation} accuracy {last['val_accuracy']:.4f}")
    print(
        f"  best.keras  {arguments.validation} accuracy {best['val_accuracy']:.4f} (epoch {best['epoch']:.0f}, chosen "
        "on this split)"
    )
    print(f"  curves in {run.folder / 'curves.png'}, settings and versions in {run.folder / 'run.json'}")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from kerafer.evaluation import evaluate
    from kerafer.loading import load_model

    model, weights = model_and_weights(arguments)
    loaded = load_model(model, weights=weights)
    measured = evaluate(loaded, read_data(arguments, arguments.data, arguments.split), progress=not arguments.json)
    if arguments.json:
        print_json(measured.to_dict())
        return 0
    print(f"{measured.model} on {measured.data} {measured.split}, {measured.images:,} images, one centre crop")
    print(f"  accuracy   {measured.accuracy:.4f}")
    print(
        f"  leak-free  {measured.leak_free_accuracy:.4f} on the {measured.leak_free_images:,} images in no other split"
    )
    print(f"  loss       {measured.loss:.4f}")
    for name, recall in measured.recall.items():
        print(f"  {name:<10} {recall:.4f} found")
    return 0
