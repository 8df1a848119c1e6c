"""Accuracy, agreement and size of every exported file, on PublicTest.

python benchmarks/exported_files.py --data fer2013:fer2013.csv
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import write_result

import kerafer


def main() -> None:
    """Export as `kerafer export` does by default, and once calibrated on the training split; verify both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ean")
    parser.add_argument("--weights", default="fer2013")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="public")
    arguments = parser.parse_args()
    model = kerafer.load_model(arguments.model, weights=arguments.weights)
    spec = kerafer.model_spec(arguments.model)
    data, train = (kerafer.load_data(arguments.data, split) for split in (arguments.split, "train"))
    keras = kerafer.evaluate(model, data, progress=True)
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for calibration, label in ((None, "sample portrait"), (train, "FER2013 Training")):
            recipes = ("static_int8",) if files else ("float32", "float16", "dynamic_int8", "static_int8")
            out = Path(folder) / label.replace(" ", "-")
            bundle = kerafer.export(model, out, recipes=recipes, calibration=calibration)
            report = kerafer.verify(bundle.folder, data=data, progress=True)
            for file in report.files:
                measured = kerafer.evaluate(kerafer.load_model(bundle.folder / file.name), data)
                run = file.run("gpu_float32")
                files.append(
                    {
                        "recipe": file.recipe,
                        "calibrated_on": label if "calibration" in bundle.card.files[file.name] else None,
                        "bytes": file.bytes,
                        "accuracy": measured.accuracy,
                        "leak_free_accuracy": measured.leak_free_accuracy,
                        "max_difference": file.parity.max_difference,
                        "mean_difference": file.parity.mean_difference,
                        "agreement": file.parity.agreement,
                        "gpu_operators_refused": len(file.refused),
                        "gpu_status": run.status,
                        "gpu_device": run.device,
                        "gpu_max_difference": run.max_difference,
                        "verified": not file.failures,
                    }
                )
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
            "calibration_seed": 0,
            "keras": keras.to_dict(),
            "files": files,
        },
    )


if __name__ == "__main__":
    main()
