"""`kerafer data check`: what is in a data set, and what is wrong with it."""

from __future__ import annotations

import argparse
from typing import Any

from kerafer.cli.common import add_reading, add_verb, print_json, read_data


def add(verbs: Any) -> None:
    """Add the verb."""
    group = verbs.add_parser("data", help="look at data sets", description="Look at data sets.")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    verb = add_verb(
        actions,
        "check",
        "count images and report duplicates, leaks and bad rows",
        "kerafer data check fer2013:fer2013.csv",
        _check,
    )
    verb.add_argument("data", metavar="KIND:PATH", help="data set, such as fer2013:fer2013.csv")
    verb.add_argument("--split", action="append", help="only this split (may be repeated)")
    add_reading(verb)
    verb.set_defaults(on_error="skip")


def _check(arguments: argparse.Namespace) -> int:
    splits = arguments.split or ("train", "public", "private")
    found: dict[str, Any] = {}
    for split in splits:
        try:
            data = read_data(arguments, arguments.data, split)
        except ValueError as error:
            if arguments.split or "has no split" not in str(error):
                raise
            continue
        found[split] = {
            "images": len(data),
            "classes": data.counts(),
            "sha256": data.checksum(),
            **data.report.to_dict(),
        }
    bad = sum(len(entry["skipped"]) for entry in found.values())
    if arguments.json:
        print_json(found)
        return 1 if bad else 0
    for split, entry in found.items():
        print(f"{split}: {entry['images']:,} images")
        print("  classes       " + ", ".join(f"{name} {count:,}" for name, count in entry["classes"].items()))
        print(f"  black         {len(entry['black'])}")
        print(f"  repeated      {entry['repeated']} (equal to an earlier image of this split)")
        leaks = ", ".join(f"{count} also in {other}" for other, count in entry["duplicates"].items())
        print(f"  leaked        {leaks or 'none'}")
        print(f"  conflicting   {entry['conflicting']} groups of equal images with different labels (all splits)")
        print(f"  malformed     {len(entry['skipped'])}")
        for reason, count in entry["dropped"].items():
            print(f"  dropped       {count} {reason}")
    return 1 if bad else 0
