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
    progress,
    read_data,
    verbosity,
)
from kerafer.cli.screen import print_verdict

if TYPE_CHECKING:
    from kerafer.data.dataset import FaceDataset
    from kerafer.training import TrainingRecipe

_TUNING = ("training", "epochs", "batch_size", "learning_rate", "plain_loss", "set")


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "quantize",
        "write integer or half-size files, after training with rounded numbers where the recipe says so",
        "kerafer quantize ean --weights fer2013 --recipe qat_int8 --data fer2013:fer2013.csv --epochs 1\n"
        "  kerafer quantize ean --compare --data fer2013:fer2013.csv --out ean-recipes",
        _quantize,
    )
    add_model(verb, keras_only=True)
    add_labels(verb)
    verb.add_argument(
        "--recipe",
        action="append",
        help="float32, float16, weight_int8, dynamic_int8, static_int8 or qat_int8 (repeatable; default: qat_int8)",
    )
    verb.add_argument("--out", help="folder of the bundle (default: MODEL-RECIPE, with --compare MODEL-recipes)")
    verb.add_argument("--android", metavar="PROJECT", help="Android project that gets a copy of the bundle's files")
    verb.add_argument("--name", help="of the bundle in the Android project (default: the model's)")
    verb.add_argument("--overwrite", action="store_true", help="replace a bundle of that name in the Android project")
    verb.set_defaults(goes_on="from the last epoch of its fine-tuning")
    add_data(verb, required=False, purpose="data to train with and to calibrate on")
    verb.add_argument("--split", default="train", help="split to train with and to calibrate on (default: train)")
    verb.add_argument("--validation", help="split to measure on (default: the data set's public, val or test)")
    tuning = verb.add_argument_group("for the fine-tuning of qat_int8")
    tuning.add_argument("--training", help="its recipe, of `kerafer recipes` (default: qat)")
    tuning.add_argument("--epochs", type=int, help="instead of the recipe's")
    tuning.add_argument("--batch-size", type=int, help="instead of the recipe's")
    tuning.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    tuning.add_argument(
        "--plain-loss", action="store_true", help="learn from the labels alone, not from the float model as teacher"
    )
    tuning.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change any field of the recipe (repeatable)"
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
    verb.add_argument(
        "--layers",
        action="store_true",
        help="also tell what rounding does to each layer, with a plot; --debug includes it for integer files",
    )
    add_reading(verb)


def _quantize(arguments: argparse.Namespace) -> int:
    from kerafer.quantization import EXPORT_RECIPES, export_recipe

    recipes = tuple(arguments.recipe or (EXPORT_RECIPES if arguments.compare else ("qat_int8",)))
    chosen = [export_recipe(name) for name in recipes]
    trains = any(recipe.trained for recipe in chosen)
    integer = any(recipe.input_type == "uint8" for recipe in chosen)
    arguments.layers = arguments.layers or (arguments.debug and integer)
    _check(arguments, trains, integer)

    from kerafer.deployment import compare_recipes, explain_rounding, quantize
    from kerafer.exporting import android_folder, check_target, install_in_android
    from kerafer.exporting.bundle import loaded_source

    model, weights = model_and_weights(arguments)
    loaded = loaded_source(model, weights=weights, labels=arguments.labels)
    data, validation = _splits(arguments, trains)
    out = arguments.out or (f"{loaded.card.model}-recipes" if arguments.compare else None)
    if arguments.android:  # what can be refused before the work is
        place = android_folder(arguments.android, arguments.name or loaded.card.model)
        check_target(place, arguments.overwrite)
    bundle = quantize(
        loaded,
        recipe=recipes,
        data=data,
        validation=validation,
        out=out,
        training=_training(arguments) if trains else None,
        keep_float=arguments.keep_float,
        seed=arguments.seed,
        verbose=verbosity(arguments),
    )
    told: dict[str, Any] = {"folder": str(bundle.folder), "card": bundle.card.to_dict()}
    texts, verified = [_listed(bundle)], True
    if arguments.android:
        place = install_in_android(bundle, arguments.android, arguments.name, overwrite=arguments.overwrite)
        told["android"] = str(place)
        texts.append(f"a copy for the app in {place}")
    if arguments.compare:
        comparison = compare_recipes(bundle, validation, progress=progress(arguments))
        told["comparison"] = comparison.to_dict()
        verified = all(row.verified for row in comparison.rows)
        texts += ["", comparison.table(), "", f"picture in {bundle.folder / 'comparison.png'}"]
    if arguments.layers:
        report = explain_rounding(bundle, loaded, validation, calibration=data, progress=progress(arguments))
        told["layers"] = report.to_dict()
        texts += ["", report.table(), "", f"picture in {bundle.folder / 'layers.png'}"]
    if arguments.json:
        print_json(told)
    else:
        print_verdict("\n".join(texts))
    return 0 if verified else 1


def _check(arguments: argparse.Namespace, trains: bool, integer: bool) -> None:
    """Refuse what would be ignored, or fail only after a training."""
    if (trains or arguments.compare) and not arguments.data:
        raise ValueError("`--data` must be given: qat_int8 trains, and --compare measures. Received: none")
    tuning = [f"--{name.replace('_', '-')}" for name in _TUNING if getattr(arguments, name) not in (None, False, [])]
    if tuning and not trains:
        raise ValueError(f"{', '.join(tuning)} goes with a fine-tuning. Add --recipe qat_int8, or leave it out.")
    if arguments.layers and not integer:
        raise ValueError("`--layers` explains integer files. Add --recipe static_int8 or qat_int8.")
    if (arguments.name or arguments.overwrite) and not arguments.android:
        raise ValueError("`--name` and `--overwrite` go with --android PROJECT. Received: no project")
    if arguments.validation and not arguments.data:
        raise ValueError("`--validation` goes with --data. Received: no data")


def _splits(arguments: argparse.Namespace, trains: bool) -> tuple[FaceDataset | None, FaceDataset | None]:
    """Return the split to train with and calibrate on, and the one to measure on where anything is measured."""
    if not arguments.data:
        return None, None
    data = read_data(arguments, arguments.data, arguments.split)
    if not (trains or arguments.compare or arguments.layers or arguments.validation):
        return data, None
    held_out = arguments.validation or held_out_split(arguments, arguments.split)
    return data, read_data(arguments, arguments.data, held_out)


def _training(arguments: argparse.Namespace) -> TrainingRecipe:
    from kerafer.training import parse_changes, recipe

    own = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "learning_rate")}
    changes = {**parse_changes(arguments.set), **{k: v for k, v in own.items() if v is not None}}
    if arguments.plain_loss:
        changes["loss"] = "cross_entropy"
    return recipe(arguments.training or "qat", **changes)


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
