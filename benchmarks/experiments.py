"""Add training runs to results/experiments.csv: what was tried on FER2013 or FER+ and what came out, failures too.

python benchmarks/experiments.py runs/a runs/b --data fer2013:fer2013.csv --note "stronger decay"

Settings come from a run's record, accuracies from its kept models, measured here. Runs that were stopped count with
the epochs they had. A run that is in the file already is replaced. "best" is the epoch that is best on PublicTest,
which flatters it there; "last" is the end of the schedule, chosen by nothing.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

from common import read_table, write_table

import kerafer
from kerafer.data.dataset import FaceDataset
from kerafer.files import read_json
from kerafer.training.callbacks import HISTORY_FILE
from kerafer.training.record import BEST_MODEL, LAST_MODEL, RECORD_FILE

NAME = "experiments"
FIELDS = (
    *("run", "model", "options", "input", "data", "labels", "teachers", "starts_from", "augmentation", "mixup", "rate"),
    *("decay", "smoothing", "average", "cycle", "epochs", "of", "seed", "train_accuracy", "best_epoch"),
    *("best", "best_leak_free", "last", "last_leak_free", "note"),
)


def main() -> None:
    """Measure the runs and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", required=True, metavar="KIND:PATH")
    parser.add_argument("--note", default="", help="what was tried, and what was learned")
    arguments = parser.parse_args()
    data = kerafer.load_data(arguments.data, "public")
    kept = {row["run"]: row for row in read_table(NAME)}
    for folder in arguments.runs:
        row = describe(folder, data)
        row["note"] = arguments.note or kept.get(row["run"], {}).get("note", "")
        kept[row["run"]] = row
        print(f"{row['run']}: best {row['best']}, last {row['last'] or '-'}")
    about = "train to learn from, public (PublicTest, one centre crop) to measure, of FER2013 or FER+"
    write_table(NAME, FIELDS, kept.values(), command="python benchmarks/experiments.py", about=about)


def describe(folder: Path, data: FaceDataset) -> dict[str, Any]:
    """Return a run's row."""
    record = read_json(folder / RECORD_FILE)
    settings, recipe = record["settings"], record["settings"]["recipe"]
    with open(folder / HISTORY_FILE, newline="", encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    best = max(history, key=lambda row: (float(row["val_accuracy"]), int(row["epoch"])))
    row = {
        "run": folder.name,
        "model": settings["model"],
        "options": " ".join(f"{name}={value:g}" for name, value in settings["options"].items()),
        "input": "x".join(map(str, settings["size"])),
        "data": settings["data"]["training"]["name"],
        "labels": _labels(settings),
        "teachers": len(settings["teacher"]) or "",
        "starts_from": (settings["weights"] or {}).get("name", ""),
        "augmentation": "+".join(recipe["augmentation"]),
        "mixup": recipe["mixup"] or "",
        "rate": f"{recipe['learning_rate']:g}",
        "decay": f"{recipe['weight_decay']:g}",
        "smoothing": recipe["label_smoothing"] or "",
        "average": recipe["average_epochs"] or "",
        "cycle": recipe.get("cycle") or "",
        "epochs": len(history),
        "of": recipe["epochs"],
        "seed": settings["seed"],
        "train_accuracy": f"{float(history[-1]['accuracy']):.4f}",
        "best_epoch": best["epoch"],
    }
    for name, file in (("best", BEST_MODEL), ("last", LAST_MODEL)):
        if (folder / file).exists():
            measured = kerafer.evaluate(kerafer.load_model(folder / file), data)
            row[name], row[f"{name}_leak_free"] = f"{measured.accuracy:.4f}", f"{measured.leak_free_accuracy:.4f}"
        else:
            row[name] = row[f"{name}_leak_free"] = ""
    return row


def _labels(settings: dict[str, Any]) -> str:
    recipe, source = settings["recipe"], settings["distributions"]
    if recipe["loss"] == "distillation":
        return f"teacher {recipe['alpha']:g}, T {recipe['temperature']:g}, rest hard"
    if source is None:
        return "hard"
    share = recipe.get("hard_share") or source.get("share", 0)
    return f"{share:g} hard, {1 - share:g} {'FER+ votes' if source['source'] != 'generator' else source['generator']}"


if __name__ == "__main__":
    main()
