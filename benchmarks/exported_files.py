"""Accuracy, agreement and size of every exported file, on PublicTest.

python benchmarks/exported_files.py --data fer2013:fer2013.csv
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import write_result

import kerafer
from kerafer.data.dataset import FaceDataset
from kerafer.exporting import Bundle
from kerafer.training import recipe
from kerafer.verification import FileReport

SEED = 0


def measured(bundle: Bundle, file: FileReport, data: FaceDataset, pictures: str) -> dict[str, Any]:
    """Return what is told of one file; `pictures` decided its ranges, if anything did."""
    found = kerafer.evaluate(kerafer.load_model(bundle.folder / file.name), data)
    entry = bundle.card.files[file.name]
    return {
        "recipe": file.recipe,
        "calibrated_on": pictures if "calibration" in entry else None,
        "against_fine_tuned": entry.get("against_fine_tuned"),
        "bytes": file.bytes,
        "accuracy": found.accuracy,
        "leak_free_accuracy": found.leak_free_accuracy,
        "max_difference": file.parity.max_difference,
        "mean_difference": file.parity.mean_difference,
        "agreement": file.parity.agreement,
        "gpu_operators_refused": len(file.refused),
        "gpu": [asdict(run) for run in file.rungs],
        "verified": not file.failures,
    }


def main() -> None:
    """Export as `kerafer export` does by default, and quantize with the training split; verify all files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ean")
    parser.add_argument("--weights", default="fer2013")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="public")
    parser.add_argument("--epochs", type=int, default=recipe("qat").epochs, help="of quantization-aware fine-tuning")
    arguments = parser.parse_args()
    model = kerafer.load_model(arguments.model, weights=arguments.weights)
    spec = kerafer.model_spec(arguments.model)
    data, train = (kerafer.load_data(arguments.data, split) for split in (arguments.split, "train"))
    keras = kerafer.evaluate(model, data, progress=True)
    training = recipe("qat", epochs=arguments.epochs)
    files = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = kerafer.export(model, folder / "plain")
        trained = kerafer.quantize(
            model,
            recipe=("static_int8", "qat_int8"),
            data=train,
            validation=data,
            out=folder / "trained",
            training=training,
            seed=SEED,
        )
        for bundle, pictures in ((plain, "sample portrait"), (trained, "FER2013 Training")):
            report = kerafer.verify(bundle.folder, data=data, progress=True)
            files += [measured(bundle, file, data, pictures) for file in report.files]
    write_result(
        f"{arguments.model}_{arguments.weights}",
        {
            "model": arguments.model,
            "weights": arguments.weights,
            "parameters": spec.parameters,
            "flops": spec.flops,
            "flops_ruler": spec.ruler,
            "data": data.name,
            "split": data.split,
            "data_sha256": data.checksum(),
            "training_seed": model.card.training["seed"],
            "training_epoch": model.card.training["epoch"],
            "training_epochs": model.card.training["recipe"]["epochs"],
            "training_choice": model.card.training["chosen"],
            "calibration_seed": SEED,
            "fine_tuning_seed": SEED,
            "fine_tuning": training.to_dict(),
            "keras": keras.to_dict(),
            "files": files,
        },
    )


if __name__ == "__main__":
    main()
