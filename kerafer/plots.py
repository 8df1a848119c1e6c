"""Pictures of training and results; every plot of kerafer is drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kerafer.files import replacing


def training_curves(history: Sequence[dict[str, float]], path: str | Path, title: str) -> None:
    """Draw loss, accuracy and learning rate over epochs into a PNG.

    Args:
        history: one dict an epoch with `epoch`, `loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`.
        path: where to write.
        title: headline.
    """
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    figure.suptitle(title)
    for axes, key in zip(figure.subplots(1, 3), ("loss", "accuracy", "learning_rate"), strict=True):
        for name, label in ((key, "training"), (f"val_{key}", "validation")):
            if name in history[0]:
                axes.plot(epochs, [row[name] for row in history], marker=".", markersize=3, label=label)
        axes.set(xlabel="epoch", ylabel=key.replace("_", " "))
        axes.grid(alpha=0.3)
        if key != "learning_rate":
            axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
