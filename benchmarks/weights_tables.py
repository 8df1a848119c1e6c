"""The table of what was tried to train better weights, for `readme.py`."""

from __future__ import annotations

from common import read_table


def experiments() -> list[list[str]]:
    """Return the table of every training in results/experiments.csv: its heads, then its rows."""
    lines = [
        [
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
    return [heads, *lines]
