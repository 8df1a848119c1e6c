"""`kerafer data align`: a folder of photographs made into a data set of aligned faces."""

from __future__ import annotations

import argparse
import os
from typing import Any

from kerafer.cli.common import add_verb, print_json, progress
from kerafer.cli.screen import tell_error

MOST_WORKERS = 8  # each takes about half a gigabyte


def add(actions: Any) -> None:
    """Add the action."""
    verb = add_verb(
        actions,
        "align",
        "find, align and crop the faces of a folder of pictures, or go on with that",
        "kerafer data align photos faces --model efficientface",
        _align,
    )
    verb.add_argument("source", metavar="SRC", help="folder of pictures, such as SRC/train/happy/1.jpg")
    verb.add_argument("out", metavar="DST", help="folder to write: new, or of an alignment to go on with")
    verb.add_argument(
        "--model", default="ean", help="model of `kerafer list` that says how a face is framed (default: ean)"
    )
    verb.add_argument("--size", type=int, metavar="PIXELS", help="side of the faces written (default: the model's)")
    verb.add_argument(
        "--choose",
        choices=("center", "largest", "surest"),
        default="center",
        help="which of several faces: the largest with its distance from the centre weighed against it, the largest, "
        "or the surest (default: center)",
    )
    verb.add_argument(
        "--no-face",
        choices=("skip", "whole"),
        default="skip",
        help="leave out a picture without a face, or write it whole, resized (default: skip)",
    )
    verb.add_argument("--format", choices=("png", "jpg"), default="png", help="of the files written (default: png)")
    verb.add_argument("--min-confidence", type=float, default=0.9, help="of the face detector (default: 0.9)")
    verb.add_argument("--min-face", type=int, default=20, help="smallest face searched, in pixels (default: 20)")
    verb.set_defaults(goes_on="with the pictures that are left")
    verb.add_argument(
        "--workers", type=int, help=f"processes (default: one a processor, at most {MOST_WORKERS}, of 0.5 GB each)"
    )


def _align(arguments: argparse.Namespace) -> int:
    from kerafer.data.align import PART, align_faces
    from kerafer.vision.detect import MTCNNDetector
    from kerafer.zoo import model_spec

    workers = min(MOST_WORKERS, os.cpu_count() or 1) if arguments.workers is None else arguments.workers
    report = align_faces(
        arguments.source,
        arguments.out,
        contract=model_spec(arguments.model).preprocessing,
        size=arguments.size,
        choose=arguments.choose,
        no_face=arguments.no_face,
        format=arguments.format,
        detector=MTCNNDetector(arguments.min_confidence, arguments.min_face, batch=PART),
        workers=workers,
        progress=progress(arguments),
    )
    bad = report.unreadable + report.errors
    if arguments.json:
        print_json(report.to_dict())
        return 1 if bad else 0
    for problem in report.problems:
        tell_error(problem)
    written = "whole" if arguments.no_face == "whole" else "left out"
    print(f"{report.folder}: {report.pictures:,} pictures")
    print(f"  aligned     {report.aligned:,}")
    print(f"  no face     {report.no_face:,} ({written})")
    print(f"  unreadable  {report.unreadable:,}")
    print(f"  errors      {report.errors:,}")
    if report.other_files:
        print(f"  passed over {report.other_files:,} files that are no pictures by their suffix")
    print(f"  every picture's box, eyes and status in {report.folder / 'manifest.csv'}")
    return 1 if bad else 0
