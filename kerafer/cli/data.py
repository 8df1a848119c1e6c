"""`kerafer data`: align, check and preview. Here `check`: what is in a data set, and what is wrong with it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from kerafer.cli import data_align, data_preview
from kerafer.cli.common import add_reading, add_verb, print_json, reading_options

if TYPE_CHECKING:
    from kerafer.data.check import DataCheck


def add(verbs: Any) -> None:
    """Add the verbs."""
    group = verbs.add_parser("data", help="align, check or preview data", description="Align, check or preview data.")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    verb = add_verb(
        actions,
        "check",
        "count images and report duplicates, leaks and bad rows",
        "kerafer data check rafdb:rafdb --cache cache --picture rafdb.png",
        _check,
    )
    verb.add_argument("data", metavar="KIND:PATH", help="data set, such as fer2013:fer2013.csv")
    verb.add_argument("--split", action="append", help="only this split (may be repeated)")
    verb.add_argument("--picture", metavar="FILE.png", help="draw samples and counts of each class")
    add_reading(verb)
    verb.set_defaults(on_error="skip")
    data_preview.add(actions)
    data_align.add(actions)


def _check(arguments: argparse.Namespace) -> int:
    from kerafer.data.check import check_data, draw_check

    check = check_data(arguments.data, arguments.split, **reading_options(arguments))
    if arguments.picture:
        draw_check(check, arguments.picture)
    if arguments.json:
        print_json(check.to_dict())
    else:
        _print(check)
        if arguments.picture:
            print(f"samples and counts are drawn in {arguments.picture}")
    return 1 if check.bad else 0


def _print(check: DataCheck) -> None:
    splits = check.splits
    for name, found in splits.items():
        for problem in found.report.skipped[:10]:
            print(f"{name}: {problem}", file=sys.stderr)
        if len(found.report.skipped) > 10:
            print(f"{name}: and {len(found.report.skipped) - 10} more; --json lists all", file=sys.stderr)
    rows = {name: [found.classes[name] for found in splits.values()] for name in check.class_names}
    rows["all"] = [found.images for found in splits.values()]
    wide = max(14, *map(len, rows))
    print(f"{'':<{wide}}" + "".join(f"{name:>10}" for name in splits))
    for name, counts in rows.items():
        print(f"{name:<{wide}}" + "".join(f"{count:>10,}" for count in counts))
    for name, found in splits.items():
        report = found.report
        print(f"{name}: {found.images:,} images of {report.rows:,} rows")
        print(f"  black         {len(report.black)}")
        print(f"  repeated      {report.repeated} (equal to an earlier image of this split)")
        leaks = ", ".join(f"{count} also in {other}" for other, count in report.duplicates.items())
        print(f"  leaked        {leaks or 'none'}")
        print(f"  conflicting   {report.conflicting} groups of equal images with different labels (all splits)")
        print(f"  malformed     {len(report.skipped)}")
        for reason, count in report.dropped.items():
            print(f"  dropped       {count} {reason}")
