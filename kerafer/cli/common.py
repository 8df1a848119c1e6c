"""What several verbs share: arguments and printing."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerafer.data.dataset import FaceDataset
    from kerafer.training import TrainingRecipe, TrainingRun
    from kerafer.vision import Recognizer


def add_verb(verbs: Any, name: str, summary: str, example: str, run: Any) -> argparse.ArgumentParser:
    """Add a verb with its help, an example, and the arguments that all verbs have."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("--json", action="store_true", help="print JSON for machines")
    verb.add_argument("-q", "--quiet", action="store_true", help="no progress, and nothing printed but errors and JSON")
    verb.add_argument("--debug", action="store_true", help="an error's traceback, and what native libraries say")
    verb.set_defaults(run=run, goes_on="")
    return verb


def progress(arguments: argparse.Namespace) -> bool:
    """Return whether progress bars are for somebody to see: on a terminal, unless told otherwise."""
    return not (arguments.json or arguments.quiet) and sys.stderr.isatty()


def verbosity(arguments: argparse.Namespace) -> int:
    """Return how Keras tells of a training: a bar on a terminal, a line an epoch in a log, or nothing."""
    if arguments.json or arguments.quiet:
        return 0
    return 1 if sys.stdout.isatty() else 2


def add_model(verb: argparse.ArgumentParser, default: str | None = None, *, keras_only: bool = False) -> None:
    """Add the model argument and its weights; `keras_only` where a `.tflite` file will not do."""
    files = "a .keras file" if keras_only else "a .keras or .tflite file"
    text = f"a model of `kerafer list` (with --weights), {files}, or the folder of a run or bundle"
    if default is None:
        verb.add_argument("model", help=text)
    else:
        verb.add_argument("--model", default=default, help=f"{text} (default: {default})")
    verb.add_argument("--weights", help="shipped weights for a model of the zoo (default: fer2013)")


def add_detector(verb: argparse.ArgumentParser, default: str) -> None:
    """Add what finds the faces: the names in `kerafer.vision.DETECTORS`, which is not imported for a help text."""
    verb.add_argument(
        "--detector",
        choices=("mtcnn", "mtcnn_litert", "blazeface"),
        default=default,
        help=f"what finds the faces: the reference, the same on LiteRT, or the phones' (default: {default})",
    )
    verb.add_argument(
        "--threads", type=int, default=1, help="CPU threads of LiteRT, for the detector and the model (default: 1)"
    )


def chosen_recognizer(arguments: argparse.Namespace, **detector_options: Any) -> Recognizer:
    """Return what `add_model` and `add_detector` choose; shipped weights run on LiteRT, without TensorFlow."""
    from kerafer.exporting import load_exported
    from kerafer.loading import load_model
    from kerafer.vision import DETECTORS, Recognizer
    from kerafer.zoo import list_models

    detector = DETECTORS[arguments.detector](**detector_options, threads=arguments.threads)
    model, weights = model_and_weights(arguments)
    if model in list_models() and weights is not None:
        loaded = load_exported(model, weights, threads=arguments.threads)
    else:
        loaded = load_model(model, weights=weights, threads=arguments.threads)
    return Recognizer(loaded, detector=detector)


def add_labels(verb: argparse.ArgumentParser) -> None:
    """Add the class names of a model that kerafer did not make."""
    verb.add_argument(
        "--labels",
        type=lambda text: tuple(text.split(",")),
        metavar="NAME,NAME",
        help="class names in output order, for a .keras file of one's own",
    )


def add_data(verb: argparse.ArgumentParser, *, required: bool, flag: str = "--data", purpose: str = "data set") -> None:
    """Add the data argument."""
    verb.add_argument(flag, required=required, metavar="KIND:PATH", help=f"{purpose}, such as fer2013:fer2013.csv")


def add_reading(verb: argparse.ArgumentParser) -> None:
    """Add how bad rows and unwanted images are treated."""
    verb.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="refuse a malformed row with its line number, or leave it out and count it (default: raise)",
    )
    verb.add_argument("--drop-black", action="store_true", help="leave out images of one single value")
    verb.add_argument("--drop-leaked", action="store_true", help="leave out images that also occur in another split")
    verb.add_argument(
        "--cache", metavar="FOLDER", help="keep what was found and decoded here, so that the next start is fast"
    )
    verb.add_argument(
        "--option",
        action="append",
        default=[],
        type=reader_option,
        metavar="NAME=VALUE",
        help="one of the reader's own, such as classes=7, angles=S,HL or held_out=0.1 (may be repeated)",
    )


def reader_option(text: str) -> tuple[str, Any]:
    """Return name and value of `NAME=VALUE`: a number, a list of texts at commas, or a text.

    Example:
        >>> reader_option("held_out=0.1"), reader_option("angles=S,HL")
        (('held_out', 0.1), ('angles', ('S', 'HL')))
    """
    name, equals, value = text.partition("=")
    if not name.isidentifier() or not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, received {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, tuple(value.split(",")) if "," in value else value


def reading_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `add_reading` as every reader takes them."""
    votes = {"votes": arguments.votes} if getattr(arguments, "votes", None) else {}
    if votes and not arguments.data.startswith("fer2013:"):
        raise ValueError(
            f"`--votes` goes with fer2013:PATH; ferplus:PATH holds its votes (--ferplus). Received: {arguments.data!r}"
        )
    return {
        "on_error": arguments.on_error,
        "drop_black": arguments.drop_black,
        "drop_leaked": arguments.drop_leaked,
        "cache": arguments.cache,
        "progress": progress(arguments),
        **votes,
        **dict(arguments.option),
    }


def held_out_split(arguments: argparse.Namespace, training: str = "train") -> str:
    """Return the data set's own first split that is not the one trained on: public, val or test.

    Raises:
        ValueError: if the data set has no other.
    """
    from kerafer.data.check import split_names

    others = [name for name in split_names(arguments.data, **dict(arguments.option)) if name != training]
    if not others:
        raise ValueError(
            f"{arguments.data} has no split but {training!r} to measure on. Hold out a part (folder: --option "
            "held_out=0.1), or name a split."
        )
    return others[0]


def add_training(verb: argparse.ArgumentParser) -> None:
    """Add what every training takes."""
    verb.add_argument("--split", default="train", help="split to train on (default: train)")
    verb.add_argument(
        "--validation", help="split to measure after each epoch (default: the data set's public, val or test)"
    )
    verb.add_argument("--recipe", help="one of `kerafer recipes` (default: the model's own paper's)")
    verb.add_argument("--epochs", type=int, help="instead of the recipe's")
    verb.add_argument("--batch-size", type=int, help="instead of the recipe's")
    verb.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    verb.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change any field of the recipe (repeatable)"
    )
    verb.add_argument("--size", type=int, help="height and width of the input (default: the paper's)")
    verb.add_argument("--resize", type=int, help="height and width of the picture that the input is cut from")
    verb.add_argument("--seed", type=int, default=0, help="decides weights, order and augmentation (default: 0)")
    verb.add_argument("--weights", help="start from shipped weights, such as fer2013")
    verb.add_argument("--out", help="folder of the run (default: runs/MODEL-RECIPE-SEED)")
    verb.set_defaults(goes_on="from its last epoch")


def chosen_recipe(arguments: argparse.Namespace, default: str) -> TrainingRecipe:
    """Return the recipe that the arguments of `add_training` choose and change."""
    from kerafer.training import parse_changes, recipe

    own = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "learning_rate")}
    changes = {**parse_changes(arguments.set), **{k: v for k, v in own.items() if v is not None}}
    return recipe(arguments.recipe or default, **changes)


def training_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `add_training` that every training function takes as they are."""
    return {
        "seed": arguments.seed,
        "size": arguments.size and (arguments.size, arguments.size),
        "resize": arguments.resize and (arguments.resize, arguments.resize),
        "verbose": verbosity(arguments),
    }


def training_splits(arguments: argparse.Namespace, model: str) -> tuple[FaceDataset, FaceDataset]:
    """Join the other hosts, if there are any, and read both splits, decoded into the cache if there is one."""
    from dataclasses import replace

    from kerafer.data.stored import decode
    from kerafer.training import join_hosts
    from kerafer.zoo import model_spec

    join_hosts()
    contract = model_spec(model).preprocessing
    if arguments.size:
        contract = contract.resized_to((arguments.size, arguments.size))
    if arguments.resize:
        contract = replace(contract, resize=(arguments.resize, arguments.resize))
    arguments.validation = arguments.validation or held_out_split(arguments, arguments.split)
    splits = [read_data(arguments, arguments.data, split) for split in (arguments.split, arguments.validation)]
    if arguments.cache:
        splits = [decode(part, arguments.cache, contract.resize) for part in splits]
    return splits[0], splits[1]


def print_run(run: TrainingRun, validation: str, images: int) -> None:
    """Tell how a training ended."""
    last, best = run.record["result"]["last"], run.record["result"]["best"]
    print(f"{run.folder}: {run.record['result']['epochs']} epochs on {images:,} images")
    print(f"  last.keras  {validation} accuracy {last['val_accuracy']:.4f}")
    print(
        f"  best.keras  {validation} accuracy {best['val_accuracy']:.4f} (epoch {best['epoch']:.0f}, chosen on this "
        "split)"
    )
    print(f"  curves in {run.folder / 'curves.png'}, settings and versions in {run.folder / 'run.json'}")


def read_data(arguments: argparse.Namespace, source: str, split: str) -> FaceDataset:
    """Read a split as the arguments of `add_reading` say, and tell what was left out."""
    from kerafer.data.dataset import load_data

    data = load_data(source, split, **reading_options(arguments))
    if data.report.skipped:
        print(f"{source} {split}: {len(data.report.skipped)} malformed rows were left out:", file=sys.stderr)
        for problem in data.report.skipped[:10]:
            print(f"  {problem}", file=sys.stderr)
    return data


def print_json(value: Any) -> None:
    """Print one JSON value to standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def model_and_weights(arguments: argparse.Namespace) -> tuple[str, str | None]:
    """Return model and weights; a model of the zoo without --weights has those of FER2013, or the first it has."""
    from kerafer.weights import shipped
    from kerafer.zoo import list_models

    if arguments.weights is None and arguments.model in list_models() and shipped(arguments.model):
        return arguments.model, min(shipped(arguments.model), key=lambda name: name != "fer2013")
    return arguments.model, arguments.weights
