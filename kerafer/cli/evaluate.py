"""`kerafer evaluate`, `kerafer compare` and `kerafer robustness`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerafer.cli.common import (
    add_data,
    add_model,
    add_reading,
    add_verb,
    held_out_split,
    model_and_weights,
    print_json,
    progress,
    read_data,
    reading_options,
)

if TYPE_CHECKING:
    from kerafer.data.dataset import FaceDataset
    from kerafer.evaluation import Evaluation, Predictions
    from kerafer.loading import LoadedModel

# written out, since their modules load numpy and more; tests hold them against the modules
VIEWS = ("center", "flip", "ten_crop")
CORRUPTIONS = ("occlusion", "rotation", "blur", "light", "gamma")

_MODEL = (
    "a model of `kerafer list` (NAME, or NAME:WEIGHTS if it has several), a .keras or .tflite file, or the folder of a "
    "run or bundle"
)


def add(verbs: Any) -> None:
    """Add the verbs."""
    verb = add_verb(
        verbs,
        "evaluate",
        "measure a model on a split: accuracy, per class, calibration, with confidence intervals",
        "kerafer evaluate ean --weights fer2013 --data fer2013:fer2013.csv --split public --out evaluation",
        _evaluate,
    )
    add_model(verb)
    add_data(verb, required=True)
    _add_part(verb)
    verb.add_argument("--out", metavar="FOLDER", help="write evaluation.json and pictures of confusion and mistakes")
    verb.add_argument("--predictions", metavar="FILE.npz", help="keep what was predicted, for kerafer compare")
    add_reading(verb)
    verb = add_verb(
        verbs,
        "compare",
        "tell whether one model is better than another on the same images, or only luckier",
        "kerafer compare runs/a runs/b --data fer2013:fer2013.csv --split public",
        _compare,
    )
    text = f"{_MODEL}; or the .npz file of kerafer evaluate --predictions"
    verb.add_argument("a", metavar="A", help=text)
    verb.add_argument("b", metavar="B", help="the same")
    add_data(verb, required=False, purpose="data set to run the models on")
    _add_part(verb)
    add_reading(verb)
    verb = add_verb(
        verbs,
        "robustness",
        "measure accuracy as pictures are covered, turned, blurred, lightened and darkened",
        "kerafer robustness ean runs/b --data fer2013:fer2013.csv --split public --out robustness",
        _robustness,
    )
    verb.add_argument("models", nargs="+", metavar="MODEL", help=_MODEL)
    add_data(verb, required=True)
    _add_part(verb, views=False)
    verb.add_argument("--corruption", nargs="+", choices=CORRUPTIONS, default=CORRUPTIONS, help="default: all")
    verb.add_argument("--seed", type=int, default=0, help="decides where pictures are covered (default: 0)")
    verb.add_argument("--out", required=True, metavar="FOLDER", help="where robustness.json and .png are written")
    add_reading(verb)


def _add_part(verb: argparse.ArgumentParser, *, views: bool = True) -> None:
    verb.add_argument("--split", help="such as train, test or private (default: the data set's public, val or test)")
    verb.add_argument("--subset", metavar="LIST.txt", help="only the images that a list names, one a line")
    verb.add_argument(
        "--leak-free",
        action="store_true",
        help="only the images that occur in no other split, pixel for pixel; the usual output has their accuracy too",
    )
    if views:
        verb.add_argument(
            "--views",
            choices=VIEWS,
            default="center",
            help="centre crop, that and its mirror image, or four corners, centre and mirror images (default: center)",
        )


def _read_part(arguments: argparse.Namespace) -> FaceDataset:
    """Read the split, or the images of it that the list names."""
    if arguments.leak_free:
        _check_leaks(arguments)
        arguments.drop_leaked = True
    data = read_data(arguments, arguments.data, arguments.split or held_out_split(arguments))
    if arguments.subset is None:
        return data
    from kerafer.evaluation import read_subset

    subset = read_subset(data, arguments.subset, on_error=arguments.on_error)
    if subset.problems:
        print(f"{arguments.subset}: {len(subset.problems)} names were left out:", file=sys.stderr)
        for problem in subset.problems[:10]:
            print(f"  {problem}", file=sys.stderr)
    return data.take(subset.index)


def _check_leaks(arguments: argparse.Namespace) -> None:
    """Refuse data that lack the split which leaks would come from: all of the other would pass for clean."""
    from kerafer.data.dataset import load_data

    split = arguments.split or held_out_split(arguments)
    other = "train" if split != "train" else held_out_split(arguments)
    try:
        load_data(arguments.data, other, **reading_options(arguments))
    except (ValueError, OSError) as error:
        raise ValueError(
            f"`--leak-free` leaves out of {split!r} what also occurs in {other!r}, which cannot be read: {error}"
        ) from error


def _predict(arguments: argparse.Namespace, loaded: LoadedModel, data: FaceDataset) -> Predictions:
    from dataclasses import replace

    from kerafer.evaluation import predict

    found = predict(loaded, data, views=arguments.views, progress=progress(arguments))
    return replace(found, subset=Path(arguments.subset).name if arguments.subset else "")


def _open(source: str) -> LoadedModel:
    """Load a model that is named in one word, under that name: runs would all be called last.keras."""
    from dataclasses import replace

    from kerafer.loading import load_model
    from kerafer.zoo import list_models

    name, _, weights = source.partition(":")
    if name not in list_models():
        return replace(load_model(source), name=source)
    model, weights = model_and_weights(argparse.Namespace(model=name, weights=weights or None))
    return load_model(model, weights=weights)


def _evaluate(arguments: argparse.Namespace) -> int:
    from kerafer.evaluation import measure, write_report
    from kerafer.loading import load_model

    if arguments.predictions and not arguments.predictions.endswith(".npz"):
        raise ValueError(f"`--predictions` must end in .npz. Received: {arguments.predictions!r}")
    model, weights = model_and_weights(arguments)
    loaded = load_model(model, weights=weights)
    data = _read_part(arguments)
    found = _predict(arguments, loaded, data)
    measured = measure(found)
    written = [found.save(arguments.predictions)] if arguments.predictions else []
    if arguments.out:
        written += write_report(measured, found, data, arguments.out)
    if arguments.json:
        print_json({**measured.to_dict(), "written": [str(path) for path in written]})
        return 0
    _print_evaluation(measured)
    for path in written:
        print(f"wrote {path}")
    return 0


def _print_evaluation(measured: Evaluation) -> None:
    seen = {"center": "one centre crop", "flip": "centre crop and mirror image", "ten_crop": "ten crops"}
    part = f" ({measured.subset})" if measured.subset else ""
    print(
        f"{measured.model} on {measured.data} {measured.split}{part}, {measured.images:,} images, "
        f"{seen[measured.views]}"
    )
    for name, label in (("accuracy", "accuracy"), ("balanced_accuracy", "balanced"), ("macro_f1", "macro F1")):
        low, high = measured.intervals[name]
        level = f"{100 * measured.settings['level']:.0f} %"
        print(f"  {label:<11} {getattr(measured, name):.4f}  ({level}: {low:.4f} to {high:.4f})")
    if measured.leak_free_images:
        share = f"{measured.leak_free_accuracy:.4f}"
        print(f"  leak-free   {share} on the {measured.leak_free_images:,} images in no other split")
    else:
        print("  leak-free   none: every image is also in another split")
    print(f"  loss        {measured.loss:.4f}")
    print(f"  calibration {measured.calibration_error:.4f} expected error")
    print(f"  {'class':<11} images  recall  precision  F1")
    for name, images in measured.support.items():
        values = [
            f"{table[name]:.4f}" if name in table else "-"
            for table in (measured.recall, measured.precision, measured.f1)
        ]
        print(f"  {name:<11} {images:>6,}  {values[0]:<6}  {values[1]:<9}  {values[2]}")


def _compare(arguments: argparse.Namespace) -> int:
    from kerafer.evaluation import Predictions, compare

    sources = (arguments.a, arguments.b)
    data = None
    if all(source.endswith(".npz") for source in sources):
        if arguments.data or arguments.subset:
            raise ValueError(
                "`--data` and `--subset` go with models to run; the .npz files hold what was predicted. Received: "
                f"{' and '.join(sources)} with --data {arguments.data} --subset {arguments.subset}"
            )
    else:
        if arguments.data is None:
            raise ValueError(
                f"`--data` must be given to run models. Received: {' and '.join(sources)}. Only two .npz files of "
                "kerafer evaluate --predictions go without."
            )
        data = _read_part(arguments)
    sides = []
    for source in sources:
        if source.endswith(".npz"):
            sides.append(Predictions.load(source))
        else:
            sides.append(_predict(arguments, _open(source), data))
    compared = compare(*sides)
    if arguments.json:
        print_json(compared.to_dict())
        return 0
    part = f" ({compared.subset})" if compared.subset else ""
    print(f"{compared.data} {compared.split}{part}, {compared.images:,} images")
    print(f"  A {compared.accuracy_a:.4f}  {compared.a}, {compared.views_a}")
    print(f"  B {compared.accuracy_b:.4f}  {compared.b}, {compared.views_b}")
    low, high = compared.interval
    level = f"{100 * compared.settings['level']:.0f} %"
    print(f"  B - A {compared.difference:+.4f}  ({level}: {low:+.4f} to {high:+.4f})")
    print("             B right  B wrong")
    print(f"  A right  {compared.both_right:>9,}{compared.only_a_right:>9,}")
    print(f"  A wrong  {compared.only_b_right:>9,}{compared.both_wrong:>9,}")
    print("  recall         A       B   B - A")
    for name, row in compared.recall.items():
        print(f"  {name:<9} {row['a']:.4f}  {row['b']:.4f} {row['difference']:+.4f}  of {row['images']:,}")
    print(compared.sentence)
    return 0


def _robustness(arguments: argparse.Namespace) -> int:
    from kerafer.evaluation import robustness

    models = [_open(source) for source in arguments.models]
    measured = robustness(
        models,
        _read_part(arguments),
        corruptions=tuple(arguments.corruption),
        seed=arguments.seed,
        progress=progress(arguments),
    )
    written = measured.write(arguments.out)
    if arguments.json:
        print_json({**measured.to_dict(), "written": [str(path) for path in written]})
        return 0
    print(f"{measured.data} {measured.split}, {measured.images:,} images, accuracy")
    for name, curve in measured.curves.items():
        print(f"{name} ({curve['unit']})")
        print(" ".join(f"{value:>7g}" for value in curve["severities"]))
        for model, values in curve["accuracy"].items():
            print(" ".join(f"{value:>7.4f}" for value in values) + f"  {model}")
    for path in written:
        print(f"wrote {path}")
    return 0
