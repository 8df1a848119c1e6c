"""`kerafer plot`: where a model looks, how it lays out its classes, how a training went."""

from __future__ import annotations

import argparse
from typing import Any

from kerafer.cli.common import add_data, add_model, add_reading, add_verb, model_and_weights, print_json


def add(verbs: Any) -> None:
    """Add the verbs."""
    group = verbs.add_parser(
        "plot",
        help="draw where a model looks, its embedding, or a training's curves",
        description="Draw where a model looks, its embedding, or a training's curves.",
    )
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    verb = add_verb(
        actions,
        "gradcam",
        "draw what argues for a face's class, at the end of each block of the model",
        "kerafer plot gradcam photo.jpg --model ean --weights fer2013 --out gradcam.png",
        _grad_cam,
    )
    verb.add_argument("images", nargs="+", metavar="IMAGE", help="photographs; each face of each is explained")
    add_model(verb, default="ean")
    verb.add_argument("--label", help="explain this class instead of the most probable one")
    verb.add_argument("--out", default="gradcam.png", metavar="FILE.png", help="(default: gradcam.png)")

    verb = add_verb(
        actions,
        "embedding",
        "draw the pictures of a data set as a model lays them out before its classifier",
        "kerafer plot embedding ean --weights fer2013 --data fer2013:fer2013.csv --split public --method tsne",
        _embedding,
    )
    add_model(verb, keras_only=True)
    add_data(verb, required=True)
    verb.add_argument("--split", default="public", help="(default: public)")
    verb.add_argument("--method", choices=("pca", "tsne"), default="pca", help="of scikit-learn (default: pca)")
    verb.add_argument("--images", type=int, default=2000, help="drawn by chance (default: 2000)")
    verb.add_argument("--seed", type=int, default=0, help="of the choice and the layout (default: 0)")
    verb.add_argument("--out", default="embedding.png", metavar="FILE.png", help="(default: embedding.png)")
    add_reading(verb)

    verb = add_verb(
        actions,
        "curves",
        "draw the curves of a training again, from its history",
        "kerafer plot curves runs/ean --out curves.png",
        _curves,
    )
    verb.add_argument("folder", metavar="RUN", help="folder of a training")
    verb.add_argument("--out", default="curves.png", metavar="FILE.png", help="(default: curves.png)")


def _grad_cam(arguments: argparse.Namespace) -> int:
    import numpy as np

    from kerafer.evaluation import grad_cam
    from kerafer.loading import load_model
    from kerafer.plots import grad_cam_grid
    from kerafer.vision import Recognizer
    from kerafer.vision.recognize import cut

    model, weights = model_and_weights(arguments)
    loaded = load_model(model, weights=weights)
    labels, contract = loaded.card.labels, loaded.card.preprocessing
    if arguments.label is not None and arguments.label not in labels:
        raise ValueError(f"`--label` must be one of {', '.join(labels)}. Received: {arguments.label!r}")
    pictures = Recognizer(loaded).recognize(arguments.images)
    faces = [(picture, found.face) for picture in pictures for found in picture.faces]
    if not faces:
        raise ValueError(f"No face was found in {', '.join(arguments.images)}: there is nothing to explain.")
    pixels = [contract.pixels(cut(contract, picture.image, face)) for picture, face in faces]
    chosen = None if arguments.label is None else [labels.index(arguments.label)] * len(faces)
    found = grad_cam(loaded, contract.scale(np.stack(pixels)), chosen)
    texts = {"probabilities": found.probabilities, "labels": labels, "classes": found.classes}
    grad_cam_grid(pixels, found.maps, found.layers, arguments.out, f"Grad-CAM of {loaded.name}", **texts)
    told = [
        {"source": picture.source, "box": list(face.box), "explained": labels[c], "probability": round(float(p[c]), 4)}
        for (picture, face), c, p in zip(faces, found.classes, found.probabilities, strict=True)
    ]
    if arguments.json:
        print_json({"model": loaded.name, "layers": [name for name, _ in found.layers], "faces": told})
    else:
        for face in told:
            print(f"{face['source']}: {face['explained']} {face['probability']:.0%}")
        print(f"drawn in {arguments.out}")
    return 0


def _embedding(arguments: argparse.Namespace) -> int:
    import numpy as np

    from kerafer import load_data
    from kerafer.cli.common import reading_options
    from kerafer.evaluation import embeddings, layout
    from kerafer.loading import load_model
    from kerafer.plots import embedding_scatter

    model, weights = model_and_weights(arguments)
    loaded = load_model(model, weights=weights)
    data = load_data(arguments.data, arguments.split, **reading_options(arguments))
    if len(data) > arguments.images:
        chosen = np.random.default_rng(arguments.seed).choice(len(data), arguments.images, replace=False)
        data = data.take(np.sort(chosen))
    places = layout(embeddings(loaded, data), arguments.method, arguments.seed)
    title = f"{loaded.name} on {len(data):,} images of {data.name} {data.split}, {arguments.method}"
    embedding_scatter(places, np.asarray(data.labels), data.class_names, arguments.out, title)
    if arguments.json:
        print_json({"model": loaded.name, "images": len(data), "method": arguments.method, "drawn": arguments.out})
    else:
        print(f"drawn in {arguments.out}")
    return 0


def _curves(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from kerafer.plots import training_curves
    from kerafer.training.callbacks import HISTORY_FILE, read_history

    history = read_history(Path(arguments.folder) / HISTORY_FILE)
    training_curves(history, arguments.out, title=str(arguments.folder))
    if arguments.json:
        print_json({"run": arguments.folder, "epochs": len(history), "drawn": arguments.out})
    else:
        print(f"{len(history)} epochs, drawn in {arguments.out}")
    return 0
