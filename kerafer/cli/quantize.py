"""`kerafer quantize`: files of any recipe, the recipes beside each other, and which layer suffers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kerafer.cli.common import (
    add_data,
    add_labels,
    add_model,
    add_reading,
    add_verb,
    held_out_split,
    model_and_weights,
    print_json,
    read_data,
)

if TYPE_CHECKING:
    from kerafer.data.dataset import FaceDataset
    from kerafer.training import TrainingRecipe

_TRAINING = "of the fine-tuning"


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "quantize",
        "write integer or half-size files, after training with rounded numbers where the recipe says so",
        "kerafer quantize ean --weights fer2013 --recipe qat_int8 --data fer2013:fer2013.csv --epochs 1",
        _quantize,
    )
    add_model(verb)
    add_labels(verb)
    verb.add_argument(
        "--recipe",
        action="append",
        help="float32, float16, weight_int8, dynamic_int8, static_int8 or qat_int8 (repeatable; default: qat_int8)",
    )
    verb.add_argument("--out", help="folder of the bundle (default: MODEL-RECIPE)")
    add_data(verb, required=False, purpose="data to train with and to calibrate on")
    verb.add_argument("--split", default="train", help="split to train with and to calibrate on (default: train)")
    verb.add_argument("--validation", help="split to measure on (default: the data set's public, val or test)")
    verb.add_argument("--training", default="qat", help=f"recipe {_TRAINING}, of `kerafer recipes` (default: qat)")
    verb.add_argument("--epochs", type=int, help=_TRAINING)
    verb.add_argument("--batch-size", type=int, help=_TRAINING)
    verb.add_argument("--learning-rate", type=float, help=_TRAINING)
    verb.add_argument(
        "--plain-loss", action="store_true", help="learn from the labels alone, not from the float model as teacher"
    )
    verb.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change any field of the training's recipe"
    )
    verb.add_argument("--seed", type=int, default=0, help="decides order, augmentation and calibration (default: 0)")
    verb.add_argument(
        "--keep-float",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave layers of this name in float, with weight_int8 or static_int8 (repeatable)",
    )
    verb.add_argument("--compare", action="store_true", help="all recipes, or those named, measured beside each other")
    verb.add_argument("--debug", action="store_true", help="also tell what rounding does to each layer, with a plot")
    add_reading(verb)


def _quantize(arguments: argparse.Namespace) -> int:
    from kerafer.deployment import compare_recipes, quantize
    from kerafer.exporting.bundle import loaded_source
    from kerafer.quantization import EXPORT_RECIPES

    recipes = tuple(arguments.recipe or (EXPORT_RECIPES if arguments.compare else ("qat_int8",)))
    if (arguments.compare or any(EXPORT_RECIPES[r].trained for r in recipes if r in EXPORT_RECIPES)) and not (
        arguments.data
    ):
        raise ValueError("`--data` must be given: qat_int8 trains, and --compare measures. Received: none")
    data, validation = _splits(arguments)
    model, weights = model_and_weights(arguments)
    loaded = loaded_source(model, weights=weights, labels=arguments.labels)
    out = arguments.out or (f"{loaded.card.model}-recipes" if arguments.compare else None)
    bundle = quantize(
        loaded,
        recipe=recipes,
        data=data,
        validation=validation,
        out=out,
        training=_training(arguments),
        keep_float=arguments.keep_float,
        seed=arguments.seed,
        verbose=0 if arguments.json else 1,
    )
    told: dict[str, Any] = {"folder": str(bundle.folder), "card": bundle.card.to_dict()}
    texts = [_listed(bundle)]
    if arguments.compare:
        comparison = compare_recipes(bundle, validation, progress=not arguments.json)
        told["comparison"] = comparison.to_dict()
        texts += ["", comparison.table(), "", f"picture in {bundle.folder / 'comparison.png'}"]
    if arguments.debug:
        from kerafer.deployment.layers import explain_rounding

        report = explain_rounding(bundle, loaded, validation, progress=not arguments.json)
        told["layers"] = report.to_dict()
        texts += ["", report.table(), "", f"picture in {bundle.folder / 'layers.png'}"]
    if arguments.json:
        print_json(told)
    else:
        print("\n".join(texts))
    return 0


def _splits(arguments: argparse.Namespace) -> tuple[FaceDataset | None, FaceDataset | None]:
    if not arguments.data:
        return None, None
    validation = arguments.validation or held_out_split(arguments, arguments.split)
    data, measured = (read_data(arguments, arguments.data, split) for split in (arguments.split, validation))
    return data, measured


def _training(arguments: argparse.Namespace) -> TrainingRecipe:
    from kerafer.training import parse_changes, recipe

    own = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "learning_rate")}
    changes = {**parse_changes(arguments.set), **{k: v for k, v in own.items() if v is not None}}
    if arguments.plain_loss:
        changes["loss"] = "cross_entropy"
    return recipe(arguments.training, **changes)


def _listed(bundle: Any) -> str:
    lines = [f"{bundle.folder}:"]
    for name in bundle.tflite_files:
        entry = bundle.card.files[name]
        line = f"  {name:<28} {entry['bytes']:>9,} bytes, {entry['input']['type']} in"
        note = entry.get("against_fine_tuned")
        if note:
            line += (
                f"; {note['mean_steps']:.2f} steps in mean and {note['agreement']:.1%} agreement with the model that "
                f"was fine-tuned, on {note['faces']}"
            )
        lines.append(line)
    lines.append(f"`kerafer verify {bundle.folder}` proves them; `kerafer info` tells what is inside")
    return "\n".join(lines)
