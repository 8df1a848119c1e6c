"""A bundle: one folder with everything an app needs of a model, and everything to check that it computes the same.

NAME_float32.tflite ...   the exported files, one per recipe
model.keras               the Keras model they came from
labels.txt                one class a line, in output order
card.json                 preprocessing, labels, sizes, checksums, training, recipes
golden.json, golden.bin   inputs and the probabilities that Keras and each file gave for them
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.card import FILE_NAME, ModelCard
from kerafer.data.dataset import FaceDataset
from kerafer.data.samples import portrait_faces
from kerafer.exporting.tflite import Converter
from kerafer.files import sha256, write_json
from kerafer.litert.metadata import add_metadata
from kerafer.litert.slim import slim
from kerafer.loading import LoadedModel, load_model, own_model
from kerafer.preprocess import Preprocessing
from kerafer.quantization.recipes import UNTRAINED_RECIPES, export_recipe
from kerafer.runtime import KerasRunner, LiteRTRunner
from kerafer.weights import resolve_file, shipped_files
from kerafer.zoo import list_models

if TYPE_CHECKING:
    import keras

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
    source: str | Path | LoadedModel | keras.Model,
    out: str | Path,
    *,
    weights: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    recipes: tuple[str, ...] = UNTRAINED_RECIPES,
    calibration: FaceDataset | None = None,
    overwrite: bool = False,
    seed: int = 0,
) -> Bundle:
    """Export a model as a bundle.

    Args:
        source: a registry name, a `.keras` file, a run's folder, what `kerafer.load_model` returned, or a functional
            Keras model of one's own.
        out: the bundle's folder.
        weights: shipped weights, for a registry name.
        labels: class names in output order, for a model or `.keras` file of one's own.
        preprocessing: contract from a picture to the input, likewise; resizing and values of 0 to 1 by default.
        recipes: of `kerafer.quantization.UNTRAINED_RECIPES`; of the others, files that are shipped with the weights.
            `kerafer.quantize` makes them for other models.
        calibration: pictures whose activations decide the ranges of `static_int8`; up to 300 are drawn. Without it,
            varied crops of the one portrait that matplotlib ships are used, which is real but narrow.
        overwrite: replace an existing bundle; any other folder is always refused.
        seed: decides which calibration pictures are drawn.

    Returns:
        The bundle, written whole or not at all.

    Raises:
        FileExistsError: if `out` exists and must not be replaced.
        TypeError: if the model holds a layer that cannot be exported; the message names it.
        ValueError: if a recipe is unknown or the model is no Keras model.

    Example:
        >>> import tempfile, kerafer
        >>> bundle = kerafer.export("ean", tempfile.mkdtemp() + "/ean", weights="fer2013", recipes=("float16",))
        >>> bundle.tflite_files
        ('ean_float16.tflite',)
    """
    out = Path(out)
    ready = _shipped_with(source, weights)
    for name in recipes:
        if export_recipe(name).trained and name not in ready:
            raise ValueError(
                f"`recipes` of an export need no training, but for files that are shipped with the weights. {name!r} "
                "needs it: use kerafer.quantize."
            )
    check_target(out, overwrite)
    loaded = loaded_source(source, weights=weights, labels=labels, preprocessing=preprocessing)
    writing = BundleWriter(loaded, calibration, seed)
    for recipe in recipes:
        if export_recipe(recipe).trained:
            writing.add_finished(recipe, *ready[recipe])
        else:
            writing.add(recipe)
    return writing.write(out, overwrite=overwrite)


def _shipped_with(source: object, weights: str | None) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Return the files that were tuned and are shipped with a model's weights, and their notes, by recipe."""
    if weights is None or not isinstance(source, str) or source not in list_models():
        return {}
    found = {}
    for name, entry in shipped_files(source).items():
        if name == f"{weights}_{entry['recipe']}":
            note = {key: entry[key] for key in ("fine_tuning", "against_fine_tuned") if key in entry}
            found[entry["recipe"]] = (resolve_file(source, name).read_bytes(), note)
    return found


def loaded_source(
    source: str | Path | LoadedModel | keras.Model,
    *,
    weights: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> LoadedModel:
    """Return the Keras model, with its card, that `export` and `quantize` were given in one of several forms.

    Raises:
        ValueError: if it is no Keras model.
    """
    if isinstance(source, LoadedModel):
        loaded = source
    elif isinstance(source, (str, Path)):
        loaded = load_model(source, weights=weights, labels=labels, preprocessing=preprocessing)
    else:
        if labels is None:
            raise ValueError("`labels` must name the classes of a Keras model in output order. Received: labels=None")
        loaded = own_model(source, labels, preprocessing=preprocessing)
    if loaded.model is None:
        raise ValueError(f"`source` must be a Keras model to be exported. Received: {loaded.name}")
    return loaded


class BundleWriter:
    """Gathers the files of a bundle in memory, and writes it whole or not at all.

    Args:
        loaded: the Keras model with its card.
        calibration: pictures for `static_int8`, or None for crops of matplotlib's portrait.
        seed: decides which calibration pictures are drawn, and the golden ones.
    """

    def __init__(self, loaded: LoadedModel, calibration: FaceDataset | None = None, seed: int = 0) -> None:
        self.loaded, self.calibration, self.seed = loaded, calibration, seed
        self.files: dict[str, bytes] = {}
        self.notes: dict[str, dict[str, Any]] = {}
        self._converters: dict[str, Converter] = {}

    def add(self, recipe: str, keep_float: Sequence[str] = ()) -> str:
        """Convert the model by a recipe that needs no training, and return the file's name.

        Args:
            recipe: its name.
            keep_float: regular expressions of layers that stay in float.
        """
        contract, note = contract_of(self.loaded.card, recipe), {}
        pictures = None
        if export_recipe(recipe).calibrated:
            pictures, origin = self._pictures(contract)
            note["calibration"] = {"pictures": len(pictures), "from": origin, "seed": self.seed}
        if keep_float:
            note["kept_float"] = list(keep_float)
        converter = self._converter(export_recipe(recipe).input_type)
        return self.add_file(recipe, converter.convert(recipe, pictures, keep_float), note)

    def add_file(self, recipe: str, data: bytes, note: dict[str, Any] | None = None) -> str:
        """Add a converted file, without the bytes that nobody needs and with metadata, and return its name.

        Args:
            recipe: what it was made by.
            data: as the converter gave it.
            note: what else the card says of the file.
        """
        name = f"{self.loaded.card.model}_{recipe}.tflite"
        card = replace(self.loaded.card, preprocessing=contract_of(self.loaded.card, recipe))
        self.files[name] = add_metadata(slim(data), card, recipe)
        self.notes[name] = {"recipe": recipe, **(note or {})}
        return name

    def add_finished(self, recipe: str, data: bytes, note: dict[str, Any]) -> str:
        """Add a file that has its metadata already, as it is, and return its name."""
        name = f"{self.loaded.card.model}_{recipe}.tflite"
        self.files[name], self.notes[name] = data, {"recipe": recipe, **note}
        return name

    def write(self, out: Path, *, beside: Path | None = None, overwrite: bool = True) -> Bundle:
        """Write the bundle in the place of whatever is there.

        Args:
            out: the folder.
            beside: a folder whose files go into the bundle too, such as those of a run.
            overwrite: whether a bundle is replaced that another process has written there meanwhile.

        Raises:
            FileExistsError: if there is one that must not be replaced.
        """
        out.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        try:
            if beside is not None:
                shutil.copytree(beside, building, dirs_exist_ok=True)
            described: dict[str, dict[str, Any]] = {}
            for name, data in self.files.items():
                (building / name).write_bytes(data)
                described[name] = _describe(building / name, self.notes[name])
            self.loaded.model.save(building / MODEL_FILE)
            path = building / MODEL_FILE
            described[MODEL_FILE] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
            labels = "\n".join(self.loaded.card.labels) + "\n"
            (building / LABELS_FILE).write_text(labels, encoding="utf-8")
            _write_golden(building, self.loaded, {name: self.notes[name]["recipe"] for name in self.files}, self.seed)
            card = replace(self.loaded.card, files=described)
            card.write(building)
            building.chmod(0o755)
            if not overwrite:
                check_target(out, overwrite)
            move_into_place(building, out)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return Bundle(out, card)

    def _converter(self, input_type: str) -> Converter:
        """Return what converts for one type of input, and is kept: tracing a model takes longer than converting it."""
        if input_type not in self._converters:
            model, contract = self.loaded.model, self.loaded.card.preprocessing
            if input_type == "uint8":
                from kerafer.layers import with_camera_input

                model = with_camera_input(model, contract.mean, contract.std)
            same = [other for other in self._converters.values() if other.model is model]
            self._converters[input_type] = same[0] if same else Converter(model)
        return self._converters[input_type]

    def _pictures(self, contract: Preprocessing) -> tuple[np.ndarray, str]:
        if self.calibration is None:
            pictures = contract.scale(portrait_faces(contract, CALIBRATION_COUNT, self.seed))
            return pictures, "crops of matplotlib's sample portrait"
        chosen = np.random.default_rng(self.seed).permutation(len(self.calibration))[:CALIBRATION_COUNT]
        return self.calibration.inputs(contract, chosen), f"{self.calibration.name} {self.calibration.split}"


def contract_of(card: ModelCard, recipe: str) -> Preprocessing:
    """Return the contract of a model's file: integer files take camera bytes, whatever the model is scaled by."""
    return card.preprocessing.camera() if export_recipe(recipe).input_type == "uint8" else card.preprocessing


def read_golden(bundle: Bundle) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return a bundle's golden inputs (n, height, width, 3) uint8 and outputs (n, classes) by file name.

    Raises:
        ValueError: if the files do not belong together.
    """
    from kerafer.files import inside, read_json

    golden = read_json(bundle.folder / GOLDEN_FILE)
    path = bundle.folder / GOLDEN_FILE
    if not isinstance(golden, dict) or not {"inputs", "shape", "outputs"} <= set(golden):
        raise ValueError(f"{path} must name inputs, shape and outputs. Export the bundle again.")
    shape, rows = golden["shape"], golden["outputs"]
    if not (isinstance(shape, list) and len(shape) == 4 and all(type(side) is int and side > 0 for side in shape)):
        raise ValueError(f"{path} must give `shape` as four sizes. Received: {shape!r}. Export the bundle again.")
    raw = np.frombuffer(inside(bundle.folder, golden["inputs"]).read_bytes(), np.uint8)
    if raw.size != prod(shape):
        raise ValueError(f"{golden['inputs']} must hold {shape} bytes. Received: {raw.size}. Export the bundle again.")
    expected = (shape[0], len(bundle.card.labels))
    try:
        outputs = {name: np.array(values, np.float32) for name, values in rows.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} must give numbers as `outputs` of each file: {error}.") from error
    wrong = {name: values.shape for name, values in outputs.items() if values.shape != expected}
    if wrong:
        raise ValueError(f"{path} must give `outputs` of shape {expected}. Received: {wrong}. Export the bundle again.")
    return raw.reshape(shape), outputs


def check_target(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless it is a bundle that may be replaced.

    Raises:
        FileExistsError: if it does.
    """
    check_place(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f"{out} exists already. Choose another folder, or pass overwrite=True (--overwrite).")
    if not (out / FILE_NAME).is_file() or not (out / GOLDEN_FILE).is_file():
        raise FileExistsError(f"{out} is no bundle, so it is not replaced. Choose another folder.")


def check_place(out: Path) -> None:
    """Refuse, before the work, a folder whose place the whole bundle could not take after it.

    Raises:
        ValueError: if it is the working folder or a mounted disk.
        PermissionError: if nothing can be written there.
    """
    place = out.resolve()
    if place == Path.cwd() or place.is_mount():
        raise ValueError(
            "`out` must be a folder that can be replaced: neither the working folder nor where a disk is mounted. "
            f"Received: {out}. Name a new folder inside it."
        )
    parent = next(folder for folder in place.parents if folder.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(
            f"Nothing can be written to {parent}, where {place.name} is to lie. Choose another place."
        )


def _describe(path: Path, note: dict[str, Any]) -> dict[str, Any]:
    runner = LiteRTRunner(path)

    def tensor(detail: dict[str, Any]) -> dict[str, Any]:
        scale, zero = detail["quantization"]
        described = {"name": detail["name"], "shape": detail["shape"].tolist(), "type": detail["dtype"].__name__}
        return described | ({"scale": float(scale), "zero_point": int(zero)} if scale else {})

    return {
        **note,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "input": tensor(runner.input),
        "output": tensor(runner.output),
    }


def _write_golden(folder: Path, loaded: LoadedModel, recipes: dict[str, str], seed: int) -> None:
    pixels = portrait_faces(loaded.card.preprocessing, GOLDEN_COUNT, seed + 1)
    outputs = {MODEL_FILE: KerasRunner(loaded.model).predict(loaded.card.preprocessing.scale(pixels))}
    for name, recipe in recipes.items():
        outputs[name] = LiteRTRunner(folder / name).predict(contract_of(loaded.card, recipe).scale(pixels))
    pixels.tofile(folder / GOLDEN_INPUTS)
    golden = {
        "inputs": GOLDEN_INPUTS,
        "shape": list(pixels.shape),
        "meaning": "uint8 RGB pixels at the model's size, before scaling; outputs are probabilities in label order",
        "labels": list(loaded.card.labels),
        "outputs": {name: np.round(values, 7).astype(float).tolist() for name, values in outputs.items()},
    }
    write_json(folder / GOLDEN_FILE, golden)


def move_into_place(building: Path, out: Path) -> None:
    """Let a finished folder take the place of whatever is there; an interruption leaves one of the two."""
    old = building.with_name(f"{building.name}.old")
    if out.exists():
        out.rename(old)
    try:
        building.rename(out)
    except BaseException:  # an interruption, too, must not leave the place empty
        if old.exists() and not out.exists():
            old.rename(out)
        shutil.rmtree(old, ignore_errors=True)  # another process was quicker
        raise
    shutil.rmtree(old, ignore_errors=True)
