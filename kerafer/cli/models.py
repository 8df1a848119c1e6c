"""`kerafer list` and `kerafer import-weights`: what there is, what others trained; and what a model costs."""

from __future__ import annotations

import argparse
from typing import Any

from kerafer.cli.common import add_verb, print_json


def add(verbs: Any) -> None:
    """Add the verbs."""
    verb = add_verb(verbs, "list", "list the models of the zoo", "kerafer list", _list)
    verb.add_argument("pattern", nargs="?", default="*", help="shell-style filter, such as 'ean*'")
    verb = add_verb(
        verbs,
        "import-weights",
        "turn somebody else's checkpoint into a model that every verb takes",
        "kerafer import-weights efficientface checkpoint.pth.tar --origin rafdb --out efficientface-rafdb",
        _import,
    )
    verb.add_argument("model", help="a model of `kerafer list`")
    verb.add_argument(
        "checkpoint", help="PyTorch's .pth, .pth.tar or .pt, or a .npz with PyTorch's names; for lcnn a Keras 2 .hdf5"
    )
    verb.add_argument("--out", required=True, help="folder to write: model.keras and its card")
    verb.add_argument(
        "--origin", help="which published checkpoint it is, for label order and normalisation (default: the first)"
    )
    verb.add_argument("--labels", help="class names in the checkpoint's order, comma-separated, if it is another one")


def _list(arguments: argparse.Namespace) -> int:
    from kerafer.zoo import list_models, model_spec

    specs = [model_spec(name) for name in list_models(arguments.pattern)]
    if arguments.json:
        print_json([_facts(spec) for spec in specs])
        return 0
    width = max(map(len, (spec.name for spec in specs)), default=5)
    print(f"{'model':<{width}} {'input':<11} {'parameters':>11} {'FLOPs':>14} {'ruler':<10} {'weights':<9} paper")
    for spec in specs:
        size = "x".join(map(str, spec.input_shape))
        weights = ",".join(spec.weights) or "-"
        print(
            f"{spec.name:<{width}} {size:<11} {spec.parameters:>11,} {spec.flops:>14,} {spec.ruler:<10} {weights:<9} "
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
        "origins": {name: origin.source for name, origin in spec.origins.items()},
    }


def tell_model(arguments: argparse.Namespace) -> int:
    """Tell what a model of the zoo costs, for `kerafer info`."""
    from kerafer.profiling import RULERS, profile
    from kerafer.structure import draw_structure
    from kerafer.weights import shipped
    from kerafer.zoo import build_model, model_spec

    if arguments.block and not arguments.picture:
        raise ValueError("`--block` says what to draw and needs `--picture FILE.png`.")
    spec = model_spec(arguments.model)
    shape = (arguments.size, arguments.size, spec.input_shape[2]) if arguments.size else None
    model = build_model(arguments.model, input_shape=shape, classes=arguments.classes)
    counted = profile(model, spec)
    if arguments.picture:
        draw_structure(model, arguments.picture, title=spec.title, block=arguments.block)
    as_published = shape is None and arguments.classes is None
    facts = {
        **_facts(spec),
        "input_shape": list(counted.input_shape),
        "trainable_parameters": counted.trainable_parameters,
        "total_parameters": counted.total_parameters,
        "conv_parameters": counted.conv_parameters,
        "conv_macs": counted.conv_macs,
        "flops": counted.flops[spec.ruler],
        "flops_by_ruler": dict(counted.flops),
        "memory_read_and_written": counted.memory,
        "activation_peak": counted.activation_peak,
        "published": _published(spec) if as_published else [],
        "results": {name: list(card["results"]) for name, card in shipped(spec.name).items()},
    }
    if arguments.layers:
        facts["layers"] = counted.to_dict()["layers"]
    if arguments.json:
        print_json(facts)
        return 0
    print(f"{spec.title} ({spec.name})\n{spec.paper}\n")
    kind = "RGB" if counted.input_shape[2] == 3 else "gray, made from RGB inside the deployed model"
    print(f"input                 {'x'.join(map(str, counted.input_shape))}, {kind}")
    print(f"classes               {', '.join(spec.labels)}")
    print(f"trainable parameters  {counted.trainable_parameters:,}")
    print(f"all parameters        {counted.total_parameters:,} (with batch normalisation's moving statistics)")
    for name, value in counted.flops.items():
        mark = " <- the paper's" if name == spec.ruler else ""
        print(f"FLOPs ({name}){'':<{14 - len(name)}}{value:>14,}  {RULERS[name].description}{mark}")
    print(f"memory traffic        {counted.memory:>14,}  bytes read and written, as torchstat counts")
    print(f"activation peak       {counted.activation_peak:>14,}  bytes of float32 maps alive at once")
    for row in (row for row in facts["published"] if row["model"] == spec.name):
        print(
            f"in print              {row['printed']:>14}  {row['paper']}, {row['table']}, {row['row']}: "
            f"{row['quantity']}, {row['ours']:,} here, {row['verdict']}"
        )
    for name, results in facts["results"].items():
        for result in results:
            print(f"weights {name:<13} accuracy {result['accuracy']:.4f} on {result['data']} {result['split']}")
    if arguments.picture:
        print(f"drawn in {arguments.picture}")
    for row in counted.layers if arguments.layers else ():
        shape_text = "x".join(map(str, row.output_shape))
        print(
            f"  {row.name:<34} {row.kind:<22} {shape_text:<11} {row.parameters:>9,} parameters {row.macs:>11,} MACs "
            f"{row.flops[spec.ruler]:>11,} FLOPs {row.memory:>10,} bytes"
        )
    return 0


def _published(spec: Any) -> list[dict[str, Any]]:
    """Return what the paper printed about the model and its variants, beside what is counted here."""
    from kerafer.published import cells, measure, verdict
    from kerafer.zoo import list_models, model_spec

    family = [name for name in list_models() if model_spec(name).paper == spec.paper]
    rows = []
    for cell in (cell for name in family for cell in cells(name) if cell.printed):
        value = measure(cell)
        rows.append(
            {
                "paper": cell.paper,
                "table": cell.table,
                "model": cell.model,
                "row": cell.row,
                "quantity": cell.quantity,
                "ruler": cell.ruler,
                "printed": cell.printed,
                "unit": cell.unit,
                "ours": value,
                "verdict": verdict(cell, value),
            }
        )
    return rows


def _import(arguments: argparse.Namespace) -> int:
    from kerafer.card import ModelCard
    from kerafer.checkpoints import import_weights
    from kerafer.zoo import model_spec

    labels = tuple(arguments.labels.split(",")) if arguments.labels else None
    folder = import_weights(
        arguments.model, arguments.checkpoint, arguments.out, origin=arguments.origin, labels=labels
    )
    card = ModelCard.read(folder)
    if arguments.json:
        print_json({"folder": str(folder), **card.to_dict()})
        return 0
    origins = model_spec(arguments.model).origins
    others = [name for name, origin in origins.items() if origin.source != card.training["imported_from"]]
    print(f"{folder}: {card.title}, taken to be {card.training['imported_from']}")
    print(f"  labels         {', '.join(card.labels)}")
    print(f"  normalisation  mean {card.preprocessing.mean}, std {card.preprocessing.std}")
    if others and not arguments.labels:
        print(f"  if it is another one: --origin {' or '.join(others)}, or --labels")
    return 0
