"""What several verbs share: arguments and printing."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerafer.data.dataset import FaceDataset


def add_verb(verbs: Any, name: str, summary: str, example: str, run: Any) -> argparse.ArgumentParser:
    """Add a verb with its help, an example, and `--json`."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("--json", action="store_true", help="print JSON for machines")
    verb.set_defaults(run=run)
    return verb


def add_model(verb: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add the model argument and its weights."""
    text = "a model of `kerafer list` (with --weights), a .keras or .tflite file, or the folder of a run or bundle"
    if default is None:
        verb.add_argument("model", help=text)
    else:
        verb.add_argument("--model", default=default, help=f"{text} (default: {default})")
    verb.add_argument("--weights", help="shipped weights, such as fer2013, for a model of the zoo")


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


def read_data(arguments: argparse.Namespace, source: str, split: str) -> FaceDataset:
    """Read a split as the arguments of `add_reading` say, and tell what was left out."""
    import sys

    from kerafer.data.dataset import load_data

    data = load_data(
        source,
        split,
        on_error=arguments.on_error,
        drop_black=arguments.drop_black,
        drop_leaked=arguments.drop_leaked,
    )
    if data.report.skipped:
        print(f"{source} {split}: {len(data.report.skipped)} malformed rows were left out:", file=sys.stderr)
        for problem in data.report.skipped[:10]:
            print(f"  {problem}", file=sys.stderr)
    return data


def print_json(value: Any) -> None:
    """Print one JSON value to standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def model_and_weights(arguments: argparse.Namespace) -> tuple[str, str | None]:
    """Return model and weights; a model of the zoo with one set of shipped weights needs no --weights."""
    from kerafer.weights import shipped
    from kerafer.zoo import list_models

    if arguments.weights is None and arguments.model in list_models() and len(shipped(arguments.model)) == 1:
        return arguments.model, next(iter(shipped(arguments.model)))
    return arguments.model, arguments.weights
