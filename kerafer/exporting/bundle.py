"""A bundle: one folder with everything an app needs of a model, and everything to check that it computes the same.

NAME_float32.tflite ...   the exported files, one per recipe
model.keras               the Keras model they came from
labels.txt                one class a line, in output order
card.json                 preprocessing, labels, sizes, checksums, training, recipes
golden.json, golden.bin   inputs and the probabilities that Keras and each file gave for them
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.card import FILE_NAME, ModelCard
from kerafer.data.dataset import FaceDataset
from kerafer.data.samples import portrait_faces
from kerafer.exporting.tflite import convert
from kerafer.files import sha256, write_json
from kerafer.loading import LoadedModel, load_model
from kerafer.quantization.recipes import EXPORT_RECIPES, export_recipe
from kerafer.runtime import KerasRunner, LiteRTRunner

MODEL_FILE = "model.keras"
LABELS_FILE = "labels.txt"
GOLDEN_FILE = "golden.json"
GOLDEN_INPUTS = "golden.bin"
GOLDEN_COUNT = 16
CALIBRATION_COUNT = 300


@dataclass(frozen=True)
class Bundle:
    """An exported folder.

    Args:
        folder: where it lies.
        card: its card.
    """

    folder: Path
    card: ModelCard

    @classmethod
    def open(cls, folder: str | Path) -> Bundle:
        """Return the bundle in a folder.

        Raises:
            FileNotFoundError: if the folder holds no bundle.
        """
        card = ModelCard.read(folder)
        if not card.files:
            raise FileNotFoundError(f"{folder} holds a card but no exported file. Export one with `kerafer export`.")
        return cls(Path(folder), card)

    @property
    def tflite_files(self) -> tuple[str, ...]:
        """Names of the exported files."""
        return tuple(name for name in self.card.files if name.endswith(".tflite"))


def export(
    source: str | Path | LoadedModel,
    out: str | Path,
    *,
    weights: str | None = None,
    recipes: tuple[str, ...] = tuple(EXPORT_RECIPES),
    calibration: FaceDataset | None = None,
    overwrite: bool = False,
    seed: int = 0,
) -> Bundle:
    """Export a model as a bundle.

    Args:
        source: a registry name, a `.keras` file, a run's folder, or what `kerafer.load_model` returned.
        out: the bundle's folder.
        weights: shipped weights, for a registry name.
        recipes: keys of `kerafer.quantization.EXPORT_RECIPES`.
        calibration: pictures whose activations decide the ranges of `static_int8`; up to 300 are drawn. Without it,
            varied crops of the one portrait that matplotlib ships are used, which is real but narrow.
        overwrite: replace an existing bundle; any other folder is always refused.
        seed: decides which calibration pictures are drawn.

    Returns:
        The bundle, written whole or not at all.

    Raises:
        FileExistsError: if `out` exists and must not be replaced.
        ValueError: if a recipe is unknown or the model is no Keras model.

    Example:
        >>> import tempfile, kerafer
        >>> bundle = kerafer.export("ean", tempfile.mkdtemp() + "/ean", weights="fer2013", recipes=("float16",))
        >>> bundle.tflite_files
        ('ean_float16.tflite',)
    """
    out = Path(out)
    for name in recipes:
        export_recipe(name)
    _check_target(out, overwrite)
    loaded = source if isinstance(source, LoadedModel) else load_model(source, weights=weights)
    if loaded.model is None:
        raise ValueError(f"`source` must be a Keras model to be exported. Received: {source}")
    contract = loaded.card.preprocessing
    rng = np.random.default_rng(seed)
    if calibration is None:
        origin = "crops of matplotlib's sample portrait"
        pictures = contract.scale(portrait_faces(contract, CALIBRATION_COUNT, seed))
    else:
        origin = f"{calibration.name} {calibration.split}"
        chosen = rng.permutation(len(calibration))[:CALIBRATION_COUNT]
        pictures = calibration.inputs(contract, chosen)

    out.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        files: dict[str, dict[str, Any]] = {}
        for recipe in recipes:
            path = building / f"{loaded.card.model}_{recipe}.tflite"
            path.write_bytes(convert(loaded.model, recipe, pictures))
            files[path.name] = _describe(path, recipe)
            if export_recipe(recipe).calibrated:
                files[path.name]["calibration"] = {"pictures": len(pictures), "from": origin, "seed": seed}
        loaded.model.save(building / MODEL_FILE)
        files[MODEL_FILE] = {"bytes": (building / MODEL_FILE).stat().st_size, "sha256": sha256(building / MODEL_FILE)}
        (building / LABELS_FILE).write_text("\n".join(loaded.card.labels) + "\n", encoding="utf-8")
        _write_golden(building, loaded, [name for name in files if name.endswith(".tflite")], seed)
        card = replace(loaded.card, files=files)
        card.write(building)
        building.chmod(0o755)
        _move_into_place(building, out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Bundle(out, card)


def read_golden(bundle: Bundle) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return a bundle's golden inputs (n, height, width, 3) uint8 and outputs (n, classes) by file name.

    Raises:
        ValueError: if the files do not belong together.
    """
    from kerafer.files import inside, read_json

    golden = read_json(bundle.folder / GOLDEN_FILE)
    raw = np.fromfile(inside(bundle.folder, golden["inputs"]), np.uint8)
    if raw.size != np.prod(golden["shape"]):
        raise ValueError(
            f"{golden['inputs']} must hold {golden['shape']} bytes. Received: {raw.size}. Export the bundle again."
        )
    outputs = {name: np.array(rows, np.float32) for name, rows in golden["outputs"].items()}
    return raw.reshape(golden["shape"]), outputs


def _check_target(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f"{out} exists already. Choose another folder, or pass overwrite=True (--overwrite).")
    if not (out / FILE_NAME).is_file() or not (out / GOLDEN_FILE).is_file():
        raise FileExistsError(f"{out} is no bundle, so it is not replaced. Choose another folder.")


def _describe(path: Path, recipe: str) -> dict[str, Any]:
    runner = LiteRTRunner(path)

    def tensor(detail: dict[str, Any]) -> dict[str, Any]:
        scale, zero = detail["quantization"]
        described = {"name": detail["name"], "shape": detail["shape"].tolist(), "type": detail["dtype"].__name__}
        return described | ({"scale": float(scale), "zero_point": int(zero)} if scale else {})

    return {
        "recipe": recipe,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "input": tensor(runner.input),
        "output": tensor(runner.output),
    }


def _write_golden(folder: Path, loaded: LoadedModel, names: list[str], seed: int) -> None:
    contract = loaded.card.preprocessing
    pixels = portrait_faces(contract, GOLDEN_COUNT, seed + 1)
    x = contract.scale(pixels)
    runners = {MODEL_FILE: KerasRunner(loaded.model), **{name: LiteRTRunner(folder / name) for name in names}}
    pixels.tofile(folder / GOLDEN_INPUTS)
    golden = {
        "inputs": GOLDEN_INPUTS,
        "shape": list(pixels.shape),
        "meaning": "uint8 RGB pixels at the model's size, before scaling; outputs are probabilities in label order",
        "outputs": {name: np.round(runner.predict(x), 7).astype(float).tolist() for name, runner in runners.items()},
    }
    write_json(folder / GOLDEN_FILE, golden)


def _move_into_place(building: Path, out: Path) -> None:
    old = building.with_name(f"{building.name}.old")
    if out.exists():
        out.rename(old)
    building.rename(out)
    shutil.rmtree(old, ignore_errors=True)
