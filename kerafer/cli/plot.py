"""`kerafer plot`: where a model looks and what it says, how good that is, how a training went."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kerafer.cli.common import (
    add_data,
    add_detector,
    add_model,
    add_reading,
    add_verb,
    chosen_recognizer,
    model_and_weights,
    print_json,
)

if TYPE_CHECKING:
    import numpy as np

    from kerafer.vision import RecognizedFace, Recognizer


def add(verbs: Any) -> None:
    """Add the verbs."""
    group = verbs.add_parser(
        "plot",
        help="draw where a model looks, what it says, how good that is, or a training's curves",
        description="Draw where a model looks, what it says, how good that is, or a training's curves.",
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
        "distribution",
        "draw each face with the probabilities of all classes beside it",
        "kerafer plot distribution photo.jpg --model ean --weights fer2013 --out distribution.png",
        _distribution,
    )
    verb.add_argument("images", nargs="+", metavar="IMAGE", help="photographs; each face of each is drawn")
    add_model(verb, default="ean")
    add_detector(verb, default="mtcnn_litert")
    verb.add_argument("--out", default="distribution.png", metavar="FILE.png", help="(default: distribution.png)")

    for name, summary in (
        ("confusion", "draw which classes were taken for which"),
        ("reliability", "draw how sure a model was, and how often it was right"),
    ):
        verb = add_verb(
            actions,
            name,
            f"{summary}, from predictions",
            "kerafer evaluate ean --data fer2013:fer2013.csv --predictions ean.npz\n"
            f"  kerafer plot {name} ean.npz --out {name}.png",
            _measured,
        )
        verb.add_argument("predictions", metavar="FILE.npz", help="of kerafer evaluate --predictions")
        verb.add_argument("--out", default=f"{name}.png", metavar="FILE.png", help=f"(default: {name}.png)")
        verb.set_defaults(drawn=name)

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
    from kerafer.plots.common import check_picture
    from kerafer.vision import Recognizer

    check_picture(arguments.out, "--out")
    model, weights = model_and_weights(arguments)
    loaded = load_model(model, weights=weights)
    labels, contract = loaded.card.labels, loaded.card.preprocessing
    if arguments.label is not None and arguments.label not in labels:
        raise ValueError(f"`--label` must be one of {', '.join(labels)}. Received: {arguments.label!r}")
    faces, pixels = _faces(Recognizer(loaded), arguments.images)
    chosen = None if arguments.label is None else [labels.index(arguments.label)] * len(faces)
    found = grad_cam(loaded, contract.scale(np.stack(pixels)), chosen)
    texts = {"probabilities": found.probabilities, "labels": labels, "classes": found.classes}
    grad_cam_grid(pixels, found.maps, found.layers, arguments.out, f"Grad-CAM of {loaded.name}", **texts)
    told = [
        {"source": source, "box": list(face.face.box), "explained": labels[c], "probability": round(float(p[c]), 4)}
        for (source, face), c, p in zip(faces, found.classes, found.probabilities, strict=True)
    ]
    if arguments.json:
        print_json({"model": loaded.name, "layers": [name for name, _ in found.layers], "faces": told})
    else:
        for face in told:
            print(f"{face['source']}: {face['explained']} {face['probability']:.0%}")
        print(f"drawn in {arguments.out}")
    return 0


def _distribution(arguments: argparse.Namespace) -> int:
    import numpy as np

    from kerafer.plots import label_distributions
    from kerafer.plots.common import check_picture

    check_picture(arguments.out, "--out")
    recognizer = chosen_recognizer(arguments)
    faces, pixels = _faces(recognizer, arguments.images)
    labels, name = recognizer.loaded.card.labels, recognizer.loaded.name
    values = np.array([list(face.probabilities.values()) for _, face in faces])
    label_distributions(pixels, values, labels, arguments.out, f"What {name} says of each face")
    if arguments.json:
        told = [{"source": source, **face.to_dict()} for source, face in faces]
        print_json({"model": name, "faces": told, "drawn": arguments.out})
    else:
        print(f"{len(faces)} face{'s' * (len(faces) != 1)}, drawn in {arguments.out}")
    return 0


def _faces(recognizer: Recognizer, images: Sequence[str]) -> tuple[list[tuple[str, RecognizedFace]], list[np.ndarray]]:
    """Return the faces of pictures with their sources, and each as the model sees it, (height, width, 3) uint8.

    Raises:
        ValueError: if there is none.
    """
    from kerafer.vision.recognize import cut

    contract = recognizer.loaded.card.preprocessing
    found = [(picture, face) for picture in recognizer.recognize(images) for face in picture.faces]
    if not found:
        raise ValueError(f"No face was found in {', '.join(images)}: there is nothing to draw.")
    pixels = [contract.pixels(cut(contract, picture.image, face.face)) for picture, face in found]
    return [(picture.source, face) for picture, face in found], pixels


def _measured(arguments: argparse.Namespace) -> int:
    from kerafer.evaluation import Predictions, draw_confusion, draw_reliability, measure
    from kerafer.plots.common import check_picture

    check_picture(arguments.out, "--out")
    measured = measure(Predictions.load(arguments.predictions))
    (draw_confusion if arguments.drawn == "confusion" else draw_reliability)(measured, arguments.out)
    if arguments.json:
        own = {"confusion": measured.confusion} if arguments.drawn == "confusion" else {"bins": measured.calibration}
        print_json({"model": measured.model, "images": measured.images, **own, "drawn": arguments.out})
    else:
        print(f"{measured.model} on {measured.images:,} images, drawn in {arguments.out}")
    return 0


def _embedding(arguments: argparse.Namespace) -> int:
    import numpy as np

    from kerafer import load_data
    from kerafer.cli.common import reading_options
    from kerafer.evaluation import embeddings, layout
    from kerafer.loading import load_model
    from kerafer.plots import embedding_scatter
    from kerafer.plots.common import check_picture

    check_picture(arguments.out, "--out")
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
    from kerafer.plots.common import check_picture
    from kerafer.training.callbacks import HISTORY_FILE, read_history

    check_picture(arguments.out, "--out")
    history = read_history(Path(arguments.folder) / HISTORY_FILE)
    training_curves(history, arguments.out, title=str(arguments.folder))
    if arguments.json:
        print_json({"run": arguments.folder, "epochs": len(history), "drawn": arguments.out})
    else:
        print(f"{len(history)} epochs, drawn in {arguments.out}")
    return 0
