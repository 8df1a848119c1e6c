"""`kerafer benchmark`: latency of exported files, here or on an Android phone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerafer.cli.common import add_verb, print_json, progress
from kerafer.cli.screen import print_verdict

if TYPE_CHECKING:
    from kerafer.benchmarking import Plan


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "benchmark",
        "measure the latency of .tflite files here, or print (or run) the commands that measure it on an Android phone",
        "kerafer benchmark ean-bundle --device android --processor gpu --tool benchmark_model --run",
        _benchmark,
    )
    verb.add_argument("files", nargs="+", metavar="FILE_OR_BUNDLE", help=".tflite files, or folders of bundles")
    verb.add_argument(
        "--device",
        choices=("desktop", "android"),
        default="desktop",
        help="desktop: LiteRT's CPU interpreter on this machine; android: TensorFlow's benchmark_model on a phone "
        "(default: desktop)",
    )
    verb.add_argument("--threads", type=int, help="CPU threads (default: 1 here, 4 on a phone)")
    verb.add_argument("--runs", type=int, default=200, help="measured inferences (default: 200)")
    verb.add_argument("--warmup", type=int, default=20, help="inferences before them (default: 20)")
    verb.add_argument("--reference", metavar="NAME", help="file that ratios refer to (default: the first)")
    phone = verb.add_argument_group("with --device android")
    phone.add_argument("--processor", choices=("cpu", "gpu"), help="XNNPACK or the GPU delegate (default: cpu)")
    phone.add_argument("--profile", action="store_true", help="let the tool time each kind of operator too")
    phone.add_argument("--tool", metavar="PATH", help="benchmark_model for the phone's processor, to be put on it")
    phone.add_argument(
        "--run",
        dest="runs_now",
        action="store_true",
        help="run the commands on the attached phone, not only print them",
    )
    phone.add_argument("--serial", help="which phone, as `adb devices` tells it, where there are several")
    phone.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="PATH",
        help="read what the commands printed, one log for each file",
    )


def _benchmark(arguments: argparse.Namespace) -> int:
    from kerafer.benchmarking import benchmark_here, benchmark_on_phone, read_log

    _check(arguments)
    files, left_out = _files(arguments.files, arguments.processor == "gpu")
    if not arguments.json:
        for name, why in left_out:
            print(f"{name} is left out: {why}")
    if arguments.device == "desktop":
        report = benchmark_here(
            files,
            threads=arguments.threads or 1,
            runs=arguments.runs,
            warmup=arguments.warmup,
            reference=arguments.reference,
            progress=progress(arguments),
        )
    else:
        plan = _plan(arguments, files)
        if arguments.log:
            report = read_log(plan, arguments.log, reference=arguments.reference)
        elif arguments.runs_now:
            report = benchmark_on_phone(plan, reference=arguments.reference, progress=progress(arguments))
        else:
            _print_plan(plan, arguments.json)
            return 0
    if arguments.json:
        print_json(report.to_dict())
    else:
        print_verdict(report.table())
    return 0 if report.passed else 1


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that would be ignored."""
    own = {"run": arguments.runs_now} | {
        name: getattr(arguments, name) for name in ("processor", "profile", "tool", "serial", "log")
    }
    given = [f"--{name}" for name, value in own.items() if value]
    if arguments.device == "desktop" and given:
        raise ValueError(f"{', '.join(given)} goes with --device android. Received: --device desktop")
    if arguments.runs_now and arguments.log:
        raise ValueError("`--run` measures and `--log` reads what was measured; give one of them.")
    if arguments.threads is not None and arguments.threads < 1:
        raise ValueError(f"`--threads` must be a positive integer. Received: {arguments.threads}")


def _files(sources: list[str], on_gpu: bool) -> tuple[tuple[Path, ...], list[tuple[str, str]]]:
    """Return the files that are named or lie in the bundles, and what of the bundles is not meant for the GPU."""
    from kerafer.exporting import Bundle
    from kerafer.files import inside
    from kerafer.quantization import EXPORT_RECIPES

    found: list[Path] = []
    left_out = []
    for source in map(Path, sources):
        if not source.is_dir():
            if not source.is_file():
                raise FileNotFoundError(f"There is no file or bundle {source}.")
            found.append(source)
            continue
        bundle = Bundle.open(source)
        for name in bundle.tflite_files:
            recipe = EXPORT_RECIPES.get(bundle.card.files[name]["recipe"])
            if on_gpu and recipe is not None and not recipe.runs_on_gpu:
                left_out.append((name, f"{recipe.name} is not meant for the GPU"))
            else:
                found.append(inside(source, name))
    if not found:
        raise ValueError(f"None of {', '.join(sources)} holds a file that is meant for the GPU.")
    return tuple(found), left_out


def _plan(arguments: argparse.Namespace, files: tuple[Path, ...]) -> Plan:
    from kerafer.benchmarking import Plan

    return Plan(
        files,
        processor=arguments.processor or "cpu",
        threads=arguments.threads or 4,
        runs=arguments.runs,
        warmup=arguments.warmup,
        profile=arguments.profile,
        serial=arguments.serial,
        tool=Path(arguments.tool) if arguments.tool else None,
    )


def _print_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        files = {
            str(file): {"push": plan.push(file), "benchmark": plan.benchmark(file), "remove": plan.remove(file)}
            for file in plan.files
        }
        print_json({"prepare": plan.prepare(), "files": files})
    else:
        print(plan.text())
