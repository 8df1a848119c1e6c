"""`kerafer list` and `kerafer info`: what there is, and what it costs."""

from __future__ import annotations

import argparse
from typing import Any

from kerafer.cli.common import add_verb, print_json


def add(verbs: Any) -> None:
    """Add the verbs."""
    verb = add_verb(verbs, "list", "list the models of the zoo", "kerafer list", _list)
    verb.add_argument("pattern", nargs="?", default="*", help="shell-style filter, such as 'ean*'")
    verb = add_verb(verbs, "info", "tell what a model is and costs", "kerafer info ean --layers", _info)
    verb.add_argument("model", help="a model of `kerafer list`")
    verb.add_argument("--size", type=int, help="height and width of the input (default: the paper's)")
    verb.add_argument("--classes", type=int, help="number of classes (default: the spec's)")
    verb.add_argument("--layers", action="store_true", help="show every layer")


def _list(arguments: argparse.Namespace) -> int:
    from kerafer.zoo import list_models, model_spec

    specs = [model_spec(name) for name in list_models(arguments.pattern)]
    if arguments.json:
        print_json([_facts(spec) for spec in specs])
        return 0
    print(f"{'model':<12} {'input':<10} {'parameters':>11} {'FLOPs':>13} {'ruler':<10} {'weights':<9} paper")
    for spec in specs:
        size = "x".join(map(str, spec.input_shape))
        weights = ",".join(spec.weights) or "-"
        print(
            f"{spec.name:<12} {size:<10} {spec.parameters:>11,} {spec.flops:>13,} {spec.ruler:<10} {weights:<9} "
            f"{spec.paper}"
        )
    return 0


def _facts(spec: Any) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": spec.title,
        "paper": spec.paper,
        "input_shape": list(spec.input_shape),
        "labels": list(spec.labels),
        "preprocessing": spec.preprocessing.to_dict(),
        "parameters": spec.parameters,
        "flops": spec.flops,
        "flops_ruler": spec.ruler,
        "weights": list(spec.weights),
    }


def _info(arguments: argparse.Namespace) -> int:
    from kerafer.profiling import RULERS, profile
    from kerafer.weights import shipped
    from kerafer.zoo import build_model, model_spec

    spec = model_spec(arguments.model)
    shape = (arguments.size, arguments.size, spec.input_shape[2]) if arguments.size else None
    counted = profile(build_model(arguments.model, input_shape=shape, classes=arguments.classes))
    facts = {
        **_facts(spec),
        "input_shape": list(counted.input_shape),
        "trainable_parameters": counted.trainable_parameters,
        "total_parameters": counted.total_parameters,
        "flops": counted.flops[spec.ruler],
        "flops_by_ruler": dict(counted.flops),
        "results": {name: list(card["results"]) for name, card in shipped(spec.name).items()},
    }
    if arguments.layers:
        facts["layers"] = counted.to_dict()["layers"]
    if arguments.json:
        print_json(facts)
        return 0
    print(f"{spec.title} ({spec.name})\n{spec.paper}\n")
    print(f"input                 {'x'.join(map(str, counted.input_shape))}, RGB in [0, 1]")
    print(f"classes               {', '.join(spec.labels)}")
    print(f"trainable parameters  {counted.trainable_parameters:,}")
    print(f"all parameters        {counted.total_parameters:,} (with batch normalisation's moving statistics)")
    for name, value in counted.flops.items():
        mark = " <- the paper's" if name == spec.ruler else ""
        print(f"operations            {value:>12,}  {name}: {RULERS[name].description}{mark}")
    for name, results in facts["results"].items():
        for result in results:
            print(f"weights {name:<13} accuracy {result['accuracy']:.4f} on {result['data']} {result['split']}")
    for row in counted.layers if arguments.layers else ():
        shape_text = "x".join(map(str, row.output_shape))
        print(f"  {row.name:<26} {row.kind:<24} {shape_text:<12} {row.parameters:>8,} {row.macs:>11,} MACs")
    return 0
