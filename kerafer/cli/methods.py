"""`kerafer ldl`, `kerafer distill` and `kerafer sweep`: the papers' training methods."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kerafer.cli.common import (
    add_data,
    add_reading,
    add_training,
    add_verb,
    chosen_recipe,
    print_json,
    print_run,
    progress,
    training_options,
    training_splits,
)

if TYPE_CHECKING:
    from kerafer.data.dataset import FaceDataset
    from kerafer.loading import LoadedModel
    from kerafer.training import TrainingRecipe
    from kerafer.training.sweeps import Sweep

_TAUGHT = "a run, bundle or .keras file"


def add(verbs: Any) -> None:
    """Add the verbs."""
    verb = add_verb(
        verbs,
        "ldl",
        "train a model on label distributions, from a generator or from FER+ votes",
        "kerafer ldl efficientface --data rafdb:RAF-DB --validation test --generator ldg_resnet50 --out runs/ldl",
        _ldl,
    )
    verb.add_argument("model", help="a model of `kerafer list`")
    add_data(verb, required=True)
    _add_distributions(verb)
    add_training(verb)
    add_reading(verb)
    verb = add_verb(
        verbs,
        "distill",
        "train students from teachers, each the next one's teacher (EAN's iterative transfer)",
        "kerafer distill ean --teacher runs/ean --rounds 2 --data fer2013:fer2013.csv --epochs 1",
        _distill,
    )
    verb.add_argument("model", help="the student, a model of `kerafer list`")
    add_data(verb, required=True)
    _add_teacher(verb)
    verb.add_argument("--no-weight-transfer", action="store_true", help="start each student anew")
    add_training(verb)
    add_reading(verb)
    group = verbs.add_parser("sweep", help="repeat a paper's sweep", description="Repeat a paper's sweep.")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    verb = add_verb(
        actions,
        "distillation",
        "train with each alpha and T of EAN's Table 2",
        "kerafer sweep distillation ean --teacher runs/ean --data fer2013:fer2013.csv --out runs/table2",
        _sweep_distillation,
    )
    verb.add_argument("model", help="the student, a model of `kerafer list`")
    add_data(verb, required=True)
    _add_teacher(verb)
    verb.add_argument("--pairs", nargs="+", metavar="ALPHA,T", help="instead of Table 2's six")
    add_training(verb)
    add_reading(verb)
    verb = add_verb(
        actions,
        "combo",
        "train with each beta of LFER-LDL's Figures 6 and 7",
        "kerafer sweep combo lfer --data rafdb:RAF-DB --validation test --generator runs/ldg --out runs/beta",
        _sweep_combo,
    )
    verb.add_argument("model", help="a model of `kerafer list`")
    add_data(verb, required=True)
    _add_distributions(verb)
    verb.add_argument("--betas", nargs="+", type=float, help="instead of 0, 0.1, ..., 1")
    add_training(verb)
    add_reading(verb)


def _add_distributions(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--generator",
        default="ldg_resnet50",
        help=f"what generates distributions: {_TAUGHT}; or a model of `kerafer list`, which is trained on hard labels "
        "first (default: ldg_resnet50)",
    )
    verb.add_argument("--generator-recipe", help="recipe of a generator that is trained (default: its own)")
    verb.add_argument(
        "--generator-set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of that recipe"
    )
    verb.add_argument("--generator-weights", help="initial weights of a generator that is trained")
    verb.add_argument("--generator-size", type=int, help="height and width of its input (default: the paper's)")
    verb.add_argument("--votes", metavar="CSV", help="FER+ votes (fer2013new.csv) instead of a generator")
    verb.add_argument("--ferplus", action="store_true", help="the votes that were read with the data, instead of one")


def _add_teacher(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--teacher",
        action="append",
        help=f"{_TAUGHT}; repeated, an ensemble (default: the model itself, trained on hard labels first)",
    )
    verb.add_argument("--teacher-recipe", help="recipe of a teacher that is trained (default: the model's own)")
    verb.add_argument(
        "--teacher-set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of that recipe"
    )
    verb.add_argument("--rounds", type=int, help="exactly so many (default: until one no longer improves)")


def _ldl(arguments: argparse.Namespace) -> int:
    from kerafer.training import default_recipe, train, train_with_distributions

    chosen = chosen_recipe(arguments, default_recipe(arguments.model, "soft"))
    data, validation = training_splits(arguments, arguments.model)
    out = arguments.out or f"runs/{arguments.model}-{chosen.name}-{arguments.seed}"
    options = training_options(arguments)
    if (made := _votes(arguments, data)) is not None:
        run = train(
            arguments.model,
            data,
            validation,
            chosen,
            out,
            weights=arguments.weights,
            distributions=made,
            **options,
        )
    else:
        run = train_with_distributions(
            arguments.model,
            data,
            validation,
            chosen,
            out,
            **_generator(arguments),
            cache=arguments.cache,
            weights=arguments.weights,
            **options,
        ).student
    if arguments.json:
        print_json({"folder": str(run.folder), **run.record})
    else:
        print_run(run, arguments.validation, len(data))
    return 0


def _distill(arguments: argparse.Namespace) -> int:
    from kerafer.training import default_recipe, distill

    chosen = chosen_recipe(arguments, default_recipe(arguments.model, "distill"))
    data, validation = training_splits(arguments, arguments.model)
    finished = distill(
        arguments.model,
        data,
        validation,
        chosen,
        arguments.out or f"runs/{arguments.model}-{chosen.name}-{arguments.seed}",
        teacher=_teacher(arguments),
        rounds=arguments.rounds,
        weight_transfer=not arguments.no_weight_transfer,
        weights=arguments.weights,
        **training_options(arguments),
    )
    if arguments.json:
        print_json({"folder": str(finished.folder), **finished.summary})
        return 0
    print(f"{finished.folder}: {len(finished.rounds)} rounds")
    for number, row in enumerate(finished.summary["rounds"], 1):
        mark = "  the best" if number == finished.best_round else ""
        print(f"  {row['folder']:<10}{arguments.validation} accuracy {row['val_accuracy']:.4f}{mark}")
    return 0


def _sweep_distillation(arguments: argparse.Namespace) -> int:
    from kerafer.training import default_recipe, sweep_distillation
    from kerafer.training.sweeps import TABLE_2

    chosen = chosen_recipe(arguments, default_recipe(arguments.model, "distill"))
    pairs = [_pair(text) for text in arguments.pairs] if arguments.pairs else TABLE_2
    data, validation = training_splits(arguments, arguments.model)
    swept = sweep_distillation(
        arguments.model,
        data,
        validation,
        chosen,
        arguments.out or f"runs/{arguments.model}-sweep-distillation-{arguments.seed}",
        teacher=_teacher(arguments),
        pairs=pairs,
        rounds=arguments.rounds,
        weights=arguments.weights,
        **training_options(arguments),
    )
    return _print_sweep(arguments, swept)


def _sweep_combo(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from kerafer.loading import load_model
    from kerafer.training import generate_distributions, sweep_combo, train
    from kerafer.training.recipes import SOFT_LOSSES
    from kerafer.training.sweeps import BETAS, combo_settings

    chosen, betas = chosen_recipe(arguments, "lfer_rafdb"), arguments.betas or BETAS
    combo_settings(chosen, betas)  # refuses before a generator is trained
    data, validation = training_splits(arguments, arguments.model)
    out = Path(arguments.out or f"runs/{arguments.model}-sweep-combo-{arguments.seed}")
    options = training_options(arguments)
    made = None
    if chosen.loss in SOFT_LOSSES and (made := _votes(arguments, data)) is None:
        given = _generator(arguments)
        generator = given["generator"]
        if isinstance(generator, str):  # one generator serves all betas
            run = train(
                generator,
                data,
                validation,
                given["generator_recipe"],
                out / "generator",
                seed=arguments.seed,
                weights=given["generator_weights"],
                size=given["generator_size"],
                verbose=options["verbose"],
            )
            generator = load_model(run.path("best"))
        made = generate_distributions(generator, data, arguments.cache or out, progress=progress(arguments))
    swept = sweep_combo(
        arguments.model,
        data,
        validation,
        chosen,
        out,
        distributions=made,
        betas=betas,
        weights=arguments.weights,
        **options,
    )
    return _print_sweep(arguments, swept)


def _print_sweep(arguments: argparse.Namespace, swept: Sweep) -> int:
    if arguments.json:
        print_json({"folder": str(swept.folder), "rows": swept.rows, "best": swept.best})
        return 0
    for row in swept.rows:
        mark = "  the best" if row is swept.best else ""
        print(f"  {row['folder']:<36}{arguments.validation} accuracy {row['val_accuracy']:.4f}{mark}")
    print(f"  table and plot: {swept.folder / 'sweep.csv'}, {swept.folder / 'sweep.png'}")
    return 0


def _votes(arguments: argparse.Namespace, data: FaceDataset) -> Any:
    """Return FER+ distributions where they were asked for."""
    from kerafer.training import distributions_from_votes

    return distributions_from_votes(data) if arguments.votes or arguments.ferplus else None


def _generator(arguments: argparse.Namespace) -> dict[str, Any]:
    from kerafer.loading import load_model
    from kerafer.training import default_recipe, parse_changes, recipe
    from kerafer.zoo import list_models

    name = arguments.generator
    if name not in list_models():
        _refuse_unused(arguments, "generator", ("recipe", "set", "weights", "size"))
        return {"generator": load_model(name)}
    changes = parse_changes(arguments.generator_set)
    return {
        "generator": name,
        "generator_recipe": recipe(arguments.generator_recipe or default_recipe(name), **changes),
        "generator_weights": arguments.generator_weights,
        "generator_size": arguments.generator_size and (arguments.generator_size, arguments.generator_size),
    }


def _teacher(arguments: argparse.Namespace) -> TrainingRecipe | list[LoadedModel]:
    from kerafer.loading import load_model
    from kerafer.training import default_recipe, parse_changes, recipe

    if arguments.teacher:
        _refuse_unused(arguments, "teacher", ("recipe", "set"))
        return [load_model(name) for name in arguments.teacher]
    name = arguments.teacher_recipe or default_recipe(arguments.model)
    return recipe(name, **parse_changes(arguments.teacher_set))


def _refuse_unused(arguments: argparse.Namespace, role: str, settings: tuple[str, ...]) -> None:
    """Refuse settings of a training that does not take place."""
    given = [f"--{role}-{setting}" for setting in settings if getattr(arguments, f"{role}_{setting}")]
    if given:
        raise ValueError(
            f"`{', '.join(given)}` are for a {role} that is trained here. Received: a trained one, {role}="
            f"{getattr(arguments, role)!r}. Leave out either."
        )


def _pair(text: str) -> tuple[float, float]:
    try:
        alpha, temperature = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"`--pairs` must be ALPHA,T such as 0.5,5. Received: {text!r}") from error
    return alpha, temperature
