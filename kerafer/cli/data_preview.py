"""`kerafer data preview`: what a recipe's augmentation makes of a data set's images."""

from __future__ import annotations

import argparse
from typing import Any

from kerafer.cli.common import add_reading, add_verb, print_json, read_data

NONE = "none"


def add(actions: Any) -> None:
    """Add the action."""
    verb = add_verb(
        actions,
        "preview",
        "draw training images and their augmented versions",
        "kerafer data preview fer2013:fer2013.csv --recipe cosine --out preview.png",
        _preview,
    )
    verb.add_argument("data", metavar="KIND:PATH", help="data set, such as fer2013:fer2013.csv")
    verb.add_argument(
        "--recipe", default="cosine", help="training recipe whose augmentation is shown (default: cosine)"
    )
    verb.add_argument(
        "--augmentation",
        nargs="+",
        metavar="NAME",
        help=f"augmentations in order, instead of the recipe's, or {NONE}; a wrong name lists them all",
    )
    verb.add_argument("--split", default="train", help="split to show (default: train)")
    verb.add_argument("--model", default="ean", help="model of `kerafer list` that says the sizes (default: ean)")
    verb.add_argument("--size", type=int, help="height and width of the model's input (default: the paper's)")
    verb.add_argument("--count", type=int, default=8, help="images to show (default: 8)")
    verb.add_argument("--views", type=int, default=8, help="augmented versions of each (default: 8)")
    verb.add_argument("--seed", type=int, default=0, help="decides images and versions (default: 0)")
    verb.add_argument("--out", default="preview.png", metavar="PNG", help="file to write (default: preview.png)")
    add_reading(verb)


def _preview(arguments: argparse.Namespace) -> int:
    from kerafer.data.augment.drawing import choose_images, draw_augmentations
    from kerafer.plots.common import check_picture
    from kerafer.training import recipe
    from kerafer.zoo import model_spec

    check_picture(arguments.out, "--out")
    names = recipe(arguments.recipe).augmentation if arguments.augmentation is None else arguments.augmentation
    names = () if list(names) == [NONE] else tuple(names)
    contract = model_spec(arguments.model).preprocessing
    if arguments.size is not None:
        contract = contract.resized_to((arguments.size, arguments.size))
    data = read_data(arguments, arguments.data, arguments.split)
    title = arguments.recipe if arguments.augmentation is None else ""
    draw_augmentations(
        data,
        contract,
        names,
        arguments.out,
        count=arguments.count,
        views=arguments.views,
        seed=arguments.seed,
        title=title,
    )
    shown = choose_images(data, arguments.count, arguments.seed)
    if arguments.json:
        print_json(
            {
                "file": arguments.out,
                "recipe": arguments.recipe if arguments.augmentation is None else None,
                "augmentation": list(names),
                "resize": list(contract.resize),
                "size": list(contract.size),
                "views": arguments.views,
                "seed": arguments.seed,
                "rows": data.rows[shown].tolist(),
            }
        )
    else:
        print(f"{arguments.out}: {len(shown)} images of {arguments.split}, {', '.join(names) or 'centre crop'}")
    return 0
