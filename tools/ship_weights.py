"""Put a finished run's model into the package: `kerafer/pretrained/MODEL-NAME.npz`, its card, its integer file.

    python tools/ship_weights.py runs/best-0/ean --name fer2013 --plan ean_best --int8 runs/best-0/ean-int8 \
        --data fer2013:fer2013.csv

A best model was chosen on the validation split, so its accuracy there flatters: the card says which was shipped.
What is measured is what is shipped: the weights are read back from the file first. Run record, history and curves go
to results/runs/MODEL-NAME, pictures of confusion and calibration to docs/weights.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import kerafer
from kerafer import plots
from kerafer.data.dataset import FaceDataset
from kerafer.evaluation.predictions import check_views
from kerafer.exporting import Bundle
from kerafer.files import read_json, sha256, write_json
from kerafer.loading import LoadedModel, load_model, own_model
from kerafer.training import PLANS, Plan
from kerafer.training.callbacks import HISTORY_FILE
from kerafer.training.loop import copy_weights
from kerafer.training.record import RECORD_FILE
from kerafer.weights import FOLDER, save_weights

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "weights"
INTEGER = "qat_int8"
# short, since every exported file carries them; docs/weights.md says more
LABELLED = {
    "fer2013": ("About 12 % of FER2013's labels are held to be wrong.",),
    "ferplus": ("A label is what most of ten people saw; pictures without such a majority were left out.",),
}
LIMITS = (
    "How well any group of people is recognised is unknown: FER2013 tells no age, sex, skin colour or origin.",
    "Covered, turned, dark or blurred faces are recognised less often.",
    "An expression is not a feeling: do not judge people by it. The EU forbids it at work and in schools.",
)


def main() -> None:
    """Write weights, card, integer file and pictures, with everything measured anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the finished run")
    parser.add_argument("--name", required=True, help="name of the weights, such as fer2013")
    parser.add_argument("--which", choices=("best", "last"), help="default: what the plan says, or best")
    parser.add_argument("--plan", help="the plan of `kerafer recipes` that the run is the last stage of")
    parser.add_argument("--half", action="store_true", help="store float16, a file of half the size")
    parser.add_argument("--int8", type=Path, help="bundle of the run's model with its qat_int8 file")
    parser.add_argument("--data", required=True, help="KIND:PATH to measure on")
    parser.add_argument("--split", default="public")
    parser.add_argument("--note", action="append", default=[], help="a sentence for the card")
    arguments = parser.parse_args()

    plan = PLANS[arguments.plan] if arguments.plan else None
    which = arguments.which or (plan.result if plan else "best")
    if plan and which != plan.result:
        parser.error(f"--which must be what {plan.name} says, {plan.result}. Received: {which}")
    loaded = load_model(arguments.run / f"{which}.keras")
    data = kerafer.load_data(arguments.data, arguments.split)
    record = read_json(arguments.run / RECORD_FILE)
    name = f"{loaded.card.model}-{arguments.name}"
    training = {**loaded.card.training, "plan": arguments.plan}
    if plan:
        training["recipe"] = _planned(plan, record["settings"])
    path, loaded = _shipped_weights(loaded, FOLDER / f"{name}.npz", half=arguments.half)
    measured = _measures(loaded, data)
    files = {}
    if arguments.int8:
        entry = _shipped_file(arguments.int8, f"{name}_{INTEGER}.tflite", data, plan)
        files[entry.pop("name")] = entry
    card = replace(
        loaded.card,
        weights=arguments.name,
        training={
            **training,
            "epoch": record["result"][which]["epoch"],
            "chosen": "best on the validation split" if which == "best" else "last",
            "started": record["started"],
            "finished": record["finished"],
        },
        results=tuple(measured),
        licences=_licences(data.name),
        files=files,
        notes=(*loaded.card.notes, *arguments.note, *LABELLED.get(data.name, ()), *LIMITS),
    )
    write_json(path.with_suffix(".json"), {**card.to_dict(), "sha256": sha256(path)})
    kept_run = ROOT / "results" / "runs" / name
    kept_run.mkdir(parents=True, exist_ok=True)
    for file in (RECORD_FILE, HISTORY_FILE, "curves.png"):
        shutil.copyfile(arguments.run / file, kept_run / file)
    _draw(measured[0], card.labels, name)
    print(f"{path.name}: {path.stat().st_size:,} bytes")
    for one in [*measured, *(result for entry in files.values() for result in entry["results"])]:
        print(f"  {one['model']}, {one['views']}: {one['accuracy']:.4f}, leak-free {one['leak_free_accuracy']:.4f}")


def _licences(data: str) -> dict[str, str]:
    """Return what the card says of licences; FER+ is FER2013's images with votes of its own."""
    licences = {
        "code": "MIT",
        "weights": "MIT, for what kerafer's authors can grant; trained on FER2013, whose terms allow research only",
        "data": "FER2013: research only; none of its pictures is in this package",
    }
    return licences | ({"votes": "FER+: MIT, Microsoft Corporation"} if data == "ferplus" else {})


def _planned(plan: Plan, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe of a plan's last stage, after checking that the run was made by it."""
    stage = plan.stages[-1]
    made = {**settings["recipe"], "model": settings["model"], "seed": settings["seed"], "options": settings["options"]}
    wanted = {**stage.recipe.to_dict(), "model": stage.model, "seed": stage.seed, "options": dict(stage.options)}
    contract = kerafer.model_spec(stage.model).preprocessing
    for key in ("size", "resize"):
        side = getattr(stage, key)
        made[key], wanted[key] = settings[key], [side, side] if side else list(getattr(contract, key))
    differ = {key: (made.get(key), wanted[key]) for key in wanted if made.get(key) != wanted[key]}
    differ = {key: values for key, values in differ.items() if key not in ("name", "source")}
    if differ:
        raise ValueError(f"`--plan` {plan.name} must be what the run was made by. They differ in (run, plan): {differ}")
    return stage.recipe.to_dict()


def _shipped_weights(loaded: LoadedModel, path: Path, *, half: bool) -> tuple[Path, LoadedModel]:
    """Write the weights of the network as it is built, and return it as it is read back."""
    spec, contract = kerafer.model_spec(loaded.card.model), loaded.card.preprocessing
    shape = (*contract.size, spec.input_shape[2])
    options = loaded.card.training["options"]
    model = kerafer.build_model(spec.name, input_shape=shape, classes=len(loaded.card.labels), **options)
    copy_weights(loaded, model)
    save_weights(model, path, dtype="float16" if half else "float32")
    kerafer.load_weights(model, path)
    again = own_model(model, loaded.card.labels, preprocessing=contract)
    return path, replace(again, name=path.stem, card=loaded.card)


def _shipped_file(folder: Path, name: str, data: FaceDataset, plan: Plan | None) -> dict[str, Any]:
    """Copy a bundle's integer file, and return what the card says of it."""
    bundle = Bundle.open(folder)
    [(file, entry)] = [(n, e) for n, e in bundle.card.files.items() if e.get("recipe") == INTEGER]
    settings = read_json(folder / RECORD_FILE)["settings"]
    if plan and plan.tuning.to_dict() != settings["recipe"]:
        raise ValueError(f"`--int8` must be tuned as the plan says, {plan.tuning}. Received: {settings['recipe']}")
    shutil.copyfile(folder / file, FOLDER / name)
    loaded = replace(load_model(folder / file), name=name.removesuffix(".tflite"))
    tuned = {key: settings[key] for key in ("recipe", "seed")}
    return {"name": name, **entry, "fine_tuning": tuned, "results": [_short(m) for m in _measures(loaded, data)]}


def _measures(loaded: LoadedModel, data: FaceDataset) -> list[dict[str, Any]]:
    """Return the measures of one centre crop, and of ten crops where there are ten."""
    found = [kerafer.evaluate(loaded, data, progress=True).to_dict()]
    try:
        check_views("ten_crop", loaded.card.preprocessing)
    except ValueError:
        return found
    return [*found, _short(kerafer.evaluate(loaded, data, views="ten_crop", progress=True).to_dict())]


def _short(measured: dict[str, Any]) -> dict[str, Any]:
    kept = ("model", "data", "split", "images", "views", "accuracy", "leak_free_images", "leak_free_accuracy", "loss")
    return {k: v for k, v in measured.items() if k in (*kept, "macro_f1", "calibration_error", "intervals")}


def _draw(measured: dict[str, Any], labels: tuple[str, ...], name: str) -> None:
    title = f"{name} on {measured['data']} {measured['split']}, {measured['images']:,} images"
    path = PICTURES / f"{name}-confusion.png"
    plots.confusion_matrix(measured["confusion"], labels, path, f"{title}\naccuracy {measured['accuracy']:.4f}")
    error = measured["calibration_error"]
    path = PICTURES / f"{name}-calibration.png"
    plots.reliability(measured["calibration"], path, f"{title}\nexpected calibration error {error:.4f}")


if __name__ == "__main__":
    main()
