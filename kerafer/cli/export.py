"""`kerafer export`: a bundle of .tflite files."""

from __future__ import annotations

import argparse
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
    verb.add_argument("--out", required=True, help="folder of the bundle")
    verb.add_argument(
        "--recipe",
        action="append",
        help="float32, float16, weight_int8, dynamic_int8 or static_int8 (may be repeated; default: all five)",
    )
    add_data(verb, required=False, flag="--calibrate", purpose="pictures for static_int8's ranges")
    verb.add_argument("--calibrate-split", default="train", help="split to calibrate on (default: train)")
    verb.add_argument("--overwrite", action="store_true", help="replace an existing bundle")
    add_reading(verb)


def _export(arguments: argparse.Namespace) -> int:
    from kerafer.exporting import export
    from kerafer.quantization import EXPORT_RECIPES, UNTRAINED_RECIPES

    model, weights = model_and_weights(arguments)
    calibration = read_data(arguments, arguments.calibrate, arguments.calibrate_split) if arguments.calibrate else None
    bundle = export(
        model,
        arguments.out,
        weights=weights,
        labels=arguments.labels,
        recipes=tuple(arguments.recipe or UNTRAINED_RECIPES),
        calibration=calibration,
        overwrite=arguments.overwrite,
    )
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
    print(
        f"  labels.txt, card.json, golden.json and model.keras beside them; `kerafer verify {bundle.folder}` proves it"
    )
    return 0
