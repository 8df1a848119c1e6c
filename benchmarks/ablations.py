"""The papers' ablations on FER2013, every row at the same budget: results/ablations.json and docs/ablations.png.

python benchmarks/ablations.py --data fer2013:fer2013.csv --runs runs/ablations [--papers ean lfer]

Each training of each row sees Training as often, with the same recipe; the last epoch's averaged weights are measured
on PublicTest, so that nothing is chosen on it. The papers measured on RAF-DB, with longer trainings and, where they
say so, pretrained weights: their gains stand beside ours. Every run resumes. A row is written when it is measured, and
not measured again with the same settings, so that two calls may share the papers between them.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import ROOT, write_result

import kerafer
from kerafer.data.dataset import FaceDataset
from kerafer.files import read_json
from kerafer.plots import ablation_bars
from kerafer.training import TrainingRecipe, TrainingRun, generate_distributions, recipe, train

SOFT = {"label_smoothing": 0.0}
CLASSES = 7
"""The papers' losses on distributions are means over the classes: a rate as many times as high makes equal steps."""


@dataclass(frozen=True)
class Row:
    """One row of a paper's table of parts.

    Args:
        name: of the row and its runs.
        text: what is in, for people.
        model: registry name.
        options: of the builder.
        method: `hard`, `ldl`, `combo`, `iterated` (each student starts anew), `transferred` (each starts from the one
            before) or `longer` (hard labels, as many epochs as all rounds together).
        printed: the paper's accuracy in percent on RAF-DB, or None where its table has no such row.
    """

    name: str
    text: str
    model: str
    printed: float | None
    method: str = "hard"
    options: tuple[tuple[str, Any], ...] = ()


ROUNDS = 2
PAPERS: dict[str, tuple[str, tuple[Row, ...]]] = {
    "ean": (
        "EAN, Table 6",
        (
            Row("ean-plain", "without attention", "ean", 81.54, options=(("eca_kernel", None),)),
            Row("ean-eca", "attention (ECA)", "ean", 82.56),
            Row("ean-iterated", f"+ {ROUNDS} rounds of teacher to student", "ean", 84.13, "iterated"),
            Row("ean-transferred", "+ weight transfer between rounds", "ean", 85.30, "transferred"),
            Row("ean-longer", "attention, hard labels, as many epochs as all rounds", "ean", None, "longer"),
        ),
    ),
    "efficientface": (
        "EfficientFace, Tables 1 and 2",
        (
            Row("efficientface-baseline", "baseline (ShuffleNetV2)", "shufflenet_v2", 82.23),
            Row("efficientface-local", "local-feature extractor", "efficientface_local", 83.57),
            Row("efficientface-modulator", "channel-spatial modulator", "efficientface_modulator", 83.12),
            Row("efficientface-both", "both", "efficientface", 83.83),
            Row("efficientface-ldl", "both + label distributions", "efficientface", None, "ldl"),
        ),
    ),
    "lfer": (
        "LFER-LDL, Table 4",
        (
            Row("lfer-baseline", "baseline", "lfer_baseline", 82.02),
            Row("lfer-output", "+ output module", "lfer_output", 82.49),
            Row("lfer-pdwres", "+ parallel depthwise residual", "lfer", 83.85),
            Row("lfer-ldl", "+ label distributions and Combo loss", "lfer", 87.15, "combo"),
        ),
    ),
}


class Trainings:
    """Trains rows at one budget, into folders of their own.

    Args:
        data: the training split.
        public: the split that is measured.
        base: the recipe of every training.
        folder: where the runs lie.
        size: of the input of the networks that papers gave 224 pixels.
        generator: registry name of the network that makes label distributions.
    """

    def __init__(
        self,
        data: FaceDataset,
        public: FaceDataset,
        base: TrainingRecipe,
        folder: Path,
        *,
        size: int,
        generator: str,
    ) -> None:
        self.data, self.public, self.base, self.folder = data, public, base, folder
        self.size, self.generator = size, generator

    def train(self, name: str, row: Row, seed: int, settings: TrainingRecipe, **options: Any) -> TrainingRun:
        """Train, or go on with it; what a run shows after each epoch is measured on few images and chooses nothing."""
        size = None if row.model == "ean" else (self.size, self.size)
        watched = self.public.take(range(256))
        return train(
            row.model,
            self.data,
            watched,
            settings,
            self.folder / f"{name}-{seed}",
            seed=seed,
            size=size,
            verbose=2,
            **options,
            **dict(row.options),
        )

    def last(self, row: Row, seed: int) -> TrainingRun:
        """Train all that a row needs, and return the run that is measured."""
        if row.method in ("hard", "longer"):
            epochs = self.base.epochs * (1 if row.method == "hard" else ROUNDS + 1)
            return self.train(row.name, row, seed, replace(self.base, epochs=epochs))
        if row.method in ("iterated", "transferred"):
            return self._rounds(row, seed)
        maker = Row(f"generator-{self.generator}", "", self.generator, None)
        generator = kerafer.load_model(self.train(maker.name, maker, seed, self.base).folder)
        made = generate_distributions(generator, self.data, self.folder / "distributions", progress=True)
        soft = replace(
            self.base,
            **SOFT,
            learning_rate=self.base.learning_rate * CLASSES,
            weight_decay=self.base.weight_decay / CLASSES,
            loss="label_distribution",
        )
        if row.method == "combo":
            # both losses have the same weight in the paper; one is a mean over the classes, the other a sum
            soft = replace(soft, loss="kl", combo_weight=1 / CLASSES, combo_beta=0.2)
        return self.train(row.name, row, seed, soft, distributions=made)

    def _rounds(self, row: Row, seed: int) -> TrainingRun:
        """Train the teacher on hard labels, then round after round; the first round is the same for both methods."""
        taught = replace(self.base, **SOFT, loss="distillation", alpha=0.5, temperature=5.0)
        before = self.train("ean-eca", row, seed, self.base)
        for number in range(1, ROUNDS + 1):
            teacher = kerafer.load_model(before.folder)
            starts = {"initial": teacher} if row.method == "transferred" and number > 1 else {}
            name = "ean-round-1" if number == 1 else f"{row.name}-{number}"
            before = self.train(name, row, seed, taught, teacher=teacher, **starts)
        return before


def main() -> None:
    """Train all rows with all seeds, and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="KIND:PATH")
    parser.add_argument("--runs", required=True, type=Path)
    parser.add_argument(
        "--papers",
        nargs="+",
        choices=PAPERS,
        default=list(PAPERS),
        help="rows of the others stay as they were, if measured with the same settings",
    )
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=48, help="of networks that the papers gave 224 pixels")
    parser.add_argument("--generator", default="resnet18", help="makes label distributions (the papers: ldg_resnet50)")
    arguments = parser.parse_args()
    data, public = (kerafer.load_data(arguments.data, split) for split in ("train", "public"))
    base = recipe("cosine", epochs=arguments.epochs)
    trainings = Trainings(data, public, base, arguments.runs, size=arguments.size, generator=arguments.generator)
    settings = {
        "data": "fer2013",
        "split": "public",
        "images": len(public),
        "seeds": list(range(arguments.seeds)),
        "seed": 0,
        "epochs": arguments.epochs,
        "size": arguments.size,
        "generator": arguments.generator,
        "recipe": base.to_dict(),
    }
    for row in (row for paper in arguments.papers for row in PAPERS[paper][1]):
        kept = _kept(settings)
        _write({**kept, row.name: kept.get(row.name) or _measured(trainings, row, arguments.seeds)}, settings)


def _kept(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows that were measured with the same settings before, by name."""
    path = ROOT / "results" / "ablations.json"
    before = read_json(path) if path.exists() else {}
    same = all(before.get(key) == value for key, value in settings.items())
    return {row["name"]: row for table in before["tables"] for row in table["rows"]} if same else {}


def _write(rows: dict[str, dict[str, Any]], settings: dict[str, Any]) -> None:
    """Write table and picture of all rows that were measured, in the papers' order."""
    tables = []
    for paper, (title, wanted) in PAPERS.items():
        found = [rows[row.name] for row in wanted if row.name in rows]
        if found:
            tables.append({"paper": paper, "title": title, "rows": found})
    write_result("ablations", {**settings, "tables": tables})
    title = f"FER2013 PublicTest, {settings['epochs']} epochs a training"
    ablation_bars(tables, ROOT / "docs" / "ablations.png", title)


def _measured(trainings: Trainings, row: Row, seeds: int) -> dict[str, Any]:
    measured = []
    for seed in range(seeds):
        loaded = kerafer.load_model(trainings.last(row, seed).folder)
        measured.append(kerafer.evaluate(loaded, trainings.public))
    accuracies = [round(m.accuracy, 4) for m in measured]
    print(f"{row.name}: {accuracies}", flush=True)
    return {
        "name": row.name,
        "what": row.text,
        "model": row.model,
        "parameters": loaded.card.parameters,
        "accuracy": accuracies,
        "accuracy_mean": round(statistics.mean(accuracies), 4),
        "leak_free_accuracy": [round(m.leak_free_accuracy, 4) for m in measured],
        "printed_rafdb": row.printed,
    }


if __name__ == "__main__":
    main()
