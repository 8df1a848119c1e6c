"""Every model of the zoo by every recipe on every rung of the ladder: results/verify.csv, one row a file and rung.

    make verify
    python benchmarks/verify_zoo.py ean lcnn --rungs cpu,gpu_float32

Models with shipped weights are verified with these. The others get stand-in weights, under which numbers can be
compared but accuracy means nothing, and rounding may cost ten times as much. Rows are written as they come; a model
that is in the file already is not measured again without --again.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import RESULTS, versions
from tqdm import tqdm

import kerafer
from kerafer.data.dataset import FaceDataset, LoadReport
from kerafer.data.samples import portrait_faces
from kerafer.exporting import Bundle
from kerafer.files import replacing
from kerafer.loading import LoadedModel
from kerafer.quantization import EXPORT_RECIPES
from kerafer.training import recipe
from kerafer.verification import RUNGS
from kerafer.verification.stand_ins import SLACK, stand_in

FIELDS = "model weights input recipe bytes rung status device max_difference mean_difference agreement message".split()  # noqa: SIM905
SEED = 0
STAND_IN = "stand-in"
HUGE = ("vgg16",)
"""Models whose float file exceeds 300 MB come last."""
KNOWN = frozenset({("vgg16", "gpu_float16", "wrong numbers"), ("vgg16", "web_webgpu", "crashed")})
"""Failures that docs/verification.md explains: too large for the device. Any other one ends with status 1."""


def portrait_crops(loaded: LoadedModel, count: int, seed: int) -> FaceDataset:
    """Return varied crops of the sample portrait as a data set, with labels that mean nothing."""
    contract = loaded.card.preprocessing
    images = portrait_faces(replace(contract, size=contract.resize), count, seed)
    return FaceDataset(
        images=images,
        labels=np.arange(count) % len(loaded.card.labels),
        class_names=loaded.card.labels,
        rows=np.arange(count),
        name="portrait",
        split=f"crops {seed}",
        leaked=np.zeros(count, bool),
        report=LoadReport(rows=count),
    )


def bundle_of(name: str, recipes: list[str], folder: Path) -> tuple[Bundle, str]:
    """Export a model by every recipe, fine-tuned for a few steps where the recipe trains; return it and its weights."""
    shipped = kerafer.model_spec(name).weights
    loaded = kerafer.load_model(name, weights=shipped[0]) if shipped else stand_in(name)
    faces = portrait_crops(loaded, 64, seed=1)
    # a few small steps: enough to go the whole way, too few to learn or forget anything
    training = recipe("qat", epochs=1, batch_size=8, learning_rate=1e-5, augmentation=())
    bundle = kerafer.quantize(
        loaded,
        recipe=recipes,
        data=faces,
        validation=portrait_crops(loaded, 64, seed=3),
        out=folder / name,
        training=training,
        seed=SEED,
        verbose=0,
    )
    return bundle, shipped[0] if shipped else STAND_IN


def rows_of(bundle: Bundle, weights: str, rungs: list[str]) -> list[dict[str, str]]:
    """Verify a bundle, and return a row for each file and rung."""
    report = kerafer.verify(bundle.folder, rungs=rungs, slack=SLACK if weights == STAND_IN else 1.0)
    height, width = bundle.card.preprocessing.size
    rows = []
    for file in report.files:
        common = {
            "model": bundle.card.model,
            "weights": weights,
            "input": f"{height}x{width}",
            "recipe": file.recipe,
            "bytes": file.bytes,
        }
        own = [failure for failure in file.failures if failure.split(":")[0].split(" ")[0] not in RUNGS]
        parity = file.parity
        rows.append(
            {
                **common,
                "rung": "cpu",
                "status": "wrong numbers" if own else "ok",
                "device": "LiteRT on this CPU, against Keras",
                "max_difference": f"{parity.max_difference:.1e}" if parity else "",
                "mean_difference": f"{parity.mean_difference:.1e}" if parity else "",
                "agreement": f"{parity.agreement:.3f}" if parity else "",
                "message": "; ".join(own),
            }
        )
        for run in file.rungs:
            difference = "" if run.max_difference is None else f"{run.max_difference:.1e}"
            rows.append(
                {
                    **common,
                    "rung": run.rung,
                    "status": run.status,
                    "device": run.device,
                    "max_difference": difference,
                    "mean_difference": "",
                    "agreement": "",
                    "message": " ".join(run.message.split()),
                }
            )
    return rows


def write(path: Path, rows: list[dict[str, str]], command: str) -> None:
    """Write the table, with the origin of its numbers above it."""
    text = io.StringIO()
    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    text.write(f"# command: {command}\n# versions: {found}\n# seed: {SEED}\n")
    text.write("# faces: crops of matplotlib's sample portrait; max_difference of a rung: from this CPU\n")
    text.write(f"# with stand-in weights rounding may cost {SLACK:g} times what the recipes allow\n")
    writer = csv.DictWriter(text, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as temporary:
        Path(temporary).write_text(text.getvalue(), encoding="utf-8")


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that `write` wrote, or none."""
    if not path.is_file():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def main() -> int:
    """Verify what is not in the table yet, and tell what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="models of the zoo (default: all)")
    parser.add_argument("--recipes", default=",".join(EXPORT_RECIPES), help="default: all")
    parser.add_argument("--rungs", default="all", help="default: all")
    parser.add_argument("--out", default=RESULTS / "verify.csv", type=Path)
    parser.add_argument("--again", action="store_true", help="measure what is in the table too")
    arguments = parser.parse_args()
    recipes, rungs = arguments.recipes.split(","), arguments.rungs.split(",")
    names = sorted(arguments.models or kerafer.list_models(), key=lambda name: (name in HUGE, name))
    rows = read(arguments.out)
    done = set() if arguments.again else {row["model"] for row in rows}
    for name in tqdm([name for name in names if name not in done], unit="model"):
        before = time.perf_counter()
        try:
            with tempfile.TemporaryDirectory() as folder:
                found = rows_of(*bundle_of(name, recipes, Path(folder)), rungs)
        except (ValueError, TypeError, RuntimeError, OSError) as error:  # one model's failure costs the others nothing
            told = f"{type(error).__name__}: {' '.join(str(error).split())}"
            found = [{"model": name, "rung": "cpu", "status": "crashed", "message": told[:300]}]
        rows = [row for row in rows if row["model"] != name] + found
        rows.sort(key=lambda row: row["model"])
        write(arguments.out, rows, " ".join(["python", "benchmarks/verify_zoo.py", *sys.argv[1:]]))
        bad = [row for row in found if row["status"] not in ("ok", "not meant for it")]
        tqdm.write(f"{name}: {len(found)} rows in {time.perf_counter() - before:.0f} s, {len(bad)} not ok")
        for row in bad:
            tqdm.write(
                f"  {row['recipe']} {row['rung']}: {row['status']} {row['max_difference']} {row['message'][:200]}"
            )
    wrong = [row for row in rows if row["status"] in ("wrong numbers", "crashed")]
    news = [row for row in wrong if (row["model"], row["rung"], row["status"]) not in KNOWN]
    print(
        f"{arguments.out}: {len(rows)} rows, {len(wrong)} with wrong numbers or crashed, "
        f"{len(wrong) - len(news)} of them known (docs/verification.md)"
    )
    return 1 if news else 0


if __name__ == "__main__":
    sys.exit(main())
