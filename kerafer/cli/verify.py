"""`kerafer verify`: proof that a bundle computes what Keras computes."""

from __future__ import annotations

import argparse
from typing import Any

from kerafer.cli.common import add_data, add_reading, add_verb, held_out_split, print_json, progress, read_data
from kerafer.cli.screen import print_verdict


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "verify",
        "compare a bundle's files with Keras, check operators and metadata, run them on other runtimes",
        "kerafer verify ean-bundle --data fer2013:fer2013.csv --split public",
        _verify,
    )
    verb.add_argument("bundle", help="folder that `kerafer export` or `kerafer quantize` wrote")
    add_data(verb, required=False, purpose="faces to compare on and measure accuracy with")
    verb.add_argument("--split", help="split of --data (default: its public, val or test)")
    verb.add_argument(
        "--rungs",
        type=lambda text: tuple(name.strip() for name in text.split(",")),
        metavar="NAME,NAME",
        help="cpu alone, or runtimes besides this CPU's: gpu_float32, gpu_float16, old_runtime, mediapipe_cpu, "
        "gl_delegate, web_wasm, web_webgpu, arm64, or all (default: gpu_float32,gpu_float16)",
    )
    verb.add_argument("--require", action="store_true", help="fail where a rung cannot run on this machine")
    add_reading(verb)


def _verify(arguments: argparse.Namespace) -> int:
    from kerafer.verification import DEFAULT_RUNGS, verify

    data = None
    if arguments.data:
        data = read_data(arguments, arguments.data, arguments.split or held_out_split(arguments))
    report = verify(
        arguments.bundle,
        data=data,
        rungs=arguments.rungs or DEFAULT_RUNGS,
        require=arguments.require,
        progress=progress(arguments),
    )
    if arguments.json:
        print_json(report.to_dict())
    else:
        print_verdict(report.table())
    return 0 if report.passed else 1
