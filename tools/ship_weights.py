"""Put a finished run's model into the package: `kerafer/pretrained/MODEL-NAME.npz` and its card.

    python tools/ship_weights.py RUN --name fer2013 --which best --data fer2013:fer2013.csv

The best model was chosen on the validation split, so its accuracy there flatters: the card says which was shipped.
Run record, history and curves go to results/runs/MODEL-NAME.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import kerafer
from kerafer.files import read_json, sha256, write_json
from kerafer.training.callbacks import HISTORY_FILE
from kerafer.training.record import RECORD_FILE
from kerafer.weights import FOLDER, save_weights

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write weights and card, with the accuracy measured anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of the finished run")
    parser.add_argument("--name", required=True, help="name of the weights, such as fer2013")
    parser.add_argument("--which", choices=("best", "last"), default="best")
    parser.add_argument("--data", required=True, help="KIND:PATH to measure on")
    parser.add_argument("--split", default="public")
    parser.add_argument("--note", action="append", default=[], help="a sentence for the card")
    arguments = parser.parse_args()

    run = Path(arguments.run)
    loaded = kerafer.load_model(run / f"{arguments.which}.keras")
    spec = kerafer.model_spec(loaded.card.model)
    record = read_json(run / RECORD_FILE)
    measured = kerafer.evaluate(loaded, kerafer.load_data(arguments.data, arguments.split), progress=True)
    path = save_weights(loaded.model, FOLDER / f"{spec.name}-{arguments.name}.npz")
    kept = ("data", "split", "images", "accuracy", "leak_free_images", "leak_free_accuracy", "loss", "data_sha256")
    card = replace(
        loaded.card,
        weights=arguments.name,
        preprocessing=spec.preprocessing,
        training={
            **loaded.card.training,
            "epoch": record["result"][arguments.which]["epoch"],
            "chosen": "best on the validation split" if arguments.which == "best" else "last",
            "started": record["started"],
            "finished": record["finished"],
        },
        results=({k: v for k, v in measured.to_dict().items() if k in kept},),
        licences={
            "code": "MIT",
            "weights": "MIT, for what kerafer's authors can grant; trained on FER2013, whose terms allow research only",
            "data": "FER2013: research only; none of its pictures is in this package",
        },
        notes=(*loaded.card.notes, *arguments.note),
    )
    write_json(path.with_suffix(".json"), {**card.to_dict(), "sha256": sha256(path)})
    kept_run = ROOT / "results" / "runs" / path.stem
    kept_run.mkdir(parents=True, exist_ok=True)
    for name in (RECORD_FILE, HISTORY_FILE, "curves.png"):
        shutil.copyfile(run / name, kept_run / name)
    print(f"{path.name}: {path.stat().st_size} bytes, {measured.split} accuracy {measured.accuracy:.4f}")


if __name__ == "__main__":
    main()
