"""`kerafer export`: a bundle of .tflite files."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

from kerafer.cli.common import (
    add_data,
    add_labels,
    add_model,
    add_reading,
    add_verb,
    model_and_weights,
    print_json,
    read_data,
)


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "export",
        "write a bundle: .tflite files, labels, card and golden vectors",
        "kerafer export ean --weights fer2013 --out ean-bundle",
        _export,
    )
    add_model(verb, keras_only=True)
    add_labels(verb)
    verb.add_argument("--out", help="folder of the bundle")
    verb.add_argument(
        "--android", metavar="PROJECT", help="Android project that gets the bundle into its assets; needs no --out"
    )
    verb.add_argument("--name", help="of the bundle in the Android project (default: the model's)")
    verb.add_argument(
        "--recipe",
        action="append",
        help="float32, float16, weight_int8, dynamic_int8 or static_int8, or qat_int8 where it is shipped with the "
        "weights (may be repeated; default: the first five, with --android all that there are)",
    )
    add_data(verb, required=False, flag="--calibrate", purpose="pictures for static_int8's ranges")
    verb.add_argument("--calibrate-split", default="train", help="split to calibrate on (default: train)")
    verb.add_argument("--overwrite", action="store_true", help="replace an existing bundle")
    add_reading(verb)


def _for_app(arguments: argparse.Namespace, model: str, weights: str | None) -> tuple[str, ...]:
    """Return the tuned files that are shipped with the weights, for an app, which tries them first on a CPU."""
    from kerafer.weights import shipped_files

    if not arguments.android:
        return ()
    return tuple(e["recipe"] for name, e in shipped_files(model).items() if name == f"{weights}_{e['recipe']}")


def _export(arguments: argparse.Namespace) -> int:
    from kerafer.exporting import android_folder, check_target, export, install_in_android
    from kerafer.quantization import EXPORT_RECIPES, UNTRAINED_RECIPES
    from kerafer.zoo import list_models

    if not arguments.out and not arguments.android:
        raise ValueError("Either --out FOLDER or --android PROJECT must say where the bundle goes. Received: neither")
    model, weights = model_and_weights(arguments)
    calibration = read_data(arguments, arguments.calibrate, arguments.calibrate_split) if arguments.calibrate else None
    with ExitStack() as stack:
        out = arguments.out or f"{stack.enter_context(TemporaryDirectory())}/bundle"
        if arguments.android:  # what can be refused before the work is; a file's or run's own name is read later
            name = arguments.name or (model if model in list_models() else None)
            place = android_folder(arguments.android, name or "bundle")
            if name:
                check_target(place, arguments.overwrite)
        bundle = export(
            model,
            out,
            weights=weights,
            labels=arguments.labels,
            recipes=tuple(arguments.recipe or (*UNTRAINED_RECIPES, *_for_app(arguments, model, weights))),
            calibration=calibration,
            overwrite=arguments.overwrite,
        )
        if arguments.android:
            place = install_in_android(bundle, arguments.android, arguments.name, overwrite=arguments.overwrite)
            bundle = replace(bundle, folder=bundle.folder if arguments.out else place)
    if arguments.json:
        print_json({"folder": str(bundle.folder), "card": bundle.card.to_dict()})
        return 0
    print(f"{bundle.folder}:")
    for name in bundle.tflite_files:
        entry = bundle.card.files[name]
        print(
            f"  {name:<26} {entry['bytes']:>8,} bytes, {entry['input']['type']} in: "
            f"{EXPORT_RECIPES[entry['recipe']].description}"
        )
    if arguments.android:
        print(f"  labels.txt, card.json and golden.json beside them, for the app: {place}")
    if arguments.out:
        print(
            f"  labels.txt, card.json, golden.json, model.keras beside them; `kerafer verify {bundle.folder}` proves it"
        )
    return 0
