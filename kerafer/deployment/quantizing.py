"""One call for every recipe: converted as it is, calibrated on pictures, or fine-tuned with rounded numbers first."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.data.dataset import FaceDataset
from kerafer.exporting.bundle import Bundle, BundleWriter, check_place, loaded_source
from kerafer.exporting.tflite import convert_rounded
from kerafer.files import read_json
from kerafer.loading import LoadedModel
from kerafer.preprocess import Preprocessing
from kerafer.quantization.recipes import export_recipe
from kerafer.runtime import LiteRTRunner
from kerafer.training.papers import recipe as training_recipe
from kerafer.training.quantization_aware import fine_tune, predict_rounded, read_fine_tuned
from kerafer.training.recipes import TrainingRecipe
from kerafer.training.record import RECORD_FILE

if TYPE_CHECKING:
    import keras

_MIXED = ("weight_int8", "static_int8")  # recipes by which some layers can stay in float

COMPARED_FACES = 1000
"""Faces of the validation split on which a file is held against the model that was fine-tuned."""


def quantize(
    source: str | Path | LoadedModel | keras.Model,
    *,
    recipe: str | Sequence[str] = "qat_int8",
    data: FaceDataset | None = None,
    validation: FaceDataset | None = None,
    out: str | Path | None = None,
    weights: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    training: TrainingRecipe | None = None,
    keep_float: Sequence[str] = (),
    seed: int = 0,
    verbose: int = 1,
) -> Bundle:
    """Quantize a model by one recipe or several, and write the bundle.

    Recipes that need no training convert the model as it is, `static_int8` with ranges calibrated on up to 300 pictures
    of `data`. `qat_int8` first fine-tunes a twin of the model whose weights and activations are rounded, with the float
    model as its teacher. A fine-tuning that was interrupted goes on exactly where it stopped, when the same call is
    repeated; one that is finished is not repeated, and files by further recipes are added to its bundle.

    Args:
        source: a registry name, a `.keras` file, a run's folder, what `kerafer.load_model` returned, or a functional
            Keras model of one's own.
        recipe: one or more of `kerafer.quantization.EXPORT_RECIPES`.
        data: the training split, to calibrate on and to train with; `qat_int8` needs it.
        validation: a split that is measured after each epoch, and on which the file is held against the fine-tuned
            model; `qat_int8` needs it. Nothing is chosen by it.
        out: the bundle's folder; by default named after model and recipe, in the working folder.
        weights: shipped weights, for a registry name.
        labels: class names in output order, for a model or `.keras` file of one's own.
        preprocessing: contract from a picture to the input, likewise.
        training: settings of the fine-tuning; by default the recipe `"qat"` of `kerafer.training`.
        keep_float: regular expressions of layers that stay in float in the files of `weight_int8` and `static_int8`.
        seed: decides order, augmentation and the calibration pictures.
        verbose: 1 for progress bars, 0 for silence.

    Returns:
        The bundle. The card says of a fine-tuned file how far it is from the model that was fine-tuned, in steps of
        its outputs (`mean_steps`) and in agreement of the best class.

    Raises:
        FileExistsError: if `out` holds something else.
        PermissionError: if nothing can be written where `out` is to lie.
        TypeError: if a layer cannot be translated, or has no integer form; the message names it.
        ValueError: if a recipe is unknown, data is missing, `keep_float` fits no recipe or no layer, `out` cannot be
            replaced, or holds a run of other settings.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.data.samples import synthetic
        >>> faces = synthetic(28)
        >>> bundle = kerafer.quantize(
        ...     "ean", recipe="static_int8", weights="fer2013", data=faces, out=tempfile.mkdtemp() + "/ean"
        ... )
        >>> bundle.tflite_files
        ('ean_static_int8.tflite',)

    Reference:
        Jacob et al., CVPR 2018.
    """
    recipes = (recipe,) if isinstance(recipe, str) else tuple(dict.fromkeys(recipe))
    if not recipes:
        raise ValueError("`recipe` must name at least one recipe. Received: none")
    trained = [name for name in recipes if export_recipe(name).trained]
    if trained and (data is None or validation is None):
        raise ValueError(
            f"`data` and `validation` must be given for {trained[0]}, which trains. Received: "
            f"data={'None' if data is None else data.name}, "
            f"validation={'None' if validation is None else validation.name}"
        )
    if keep_float and not set(recipes) & set(_MIXED):
        raise ValueError(f"`keep_float` goes with {' and '.join(_MIXED)}. Received: recipe={', '.join(recipes)}")
    loaded = loaded_source(source, weights=weights, labels=labels, preprocessing=preprocessing)
    out = Path(out or f"{loaded.card.model}-{'-'.join(recipes)}")
    check_place(out)
    wanted = {name: list(keep_float) if name in _MIXED else [] for name in recipes}
    writer = BundleWriter(loaded, data, seed)
    if not trained:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise FileExistsError(f"{out} exists already. Choose another folder, or remove it.")
        return _added(writer, wanted).write(out)
    settings = training or training_recipe("qat")
    finished = _finished(out)
    if finished is not None:
        fine_tune(loaded, data, validation, settings, out, seed=seed, verbose=verbose)  # only checks the settings
        found = {e["recipe"]: e.get("kept_float", []) for e in finished.card.files.values() if "recipe" in e}
        if found | wanted == found:
            return finished
        wanted = found | wanted
    # first what takes seconds, since its errors should not come after hours of training
    _added(writer, {name: kept for name, kept in wanted.items() if not export_recipe(name).trained})
    run = fine_tune(loaded, data, validation, settings, out, seed=seed, verbose=verbose)
    for name in wanted:
        if export_recipe(name).trained:
            _add_fine_tuned(writer, name, run.folder, validation)
    return writer.write(out, beside=run.folder)


def _added(writer: BundleWriter, wanted: dict[str, list[str]]) -> BundleWriter:
    """Add files of recipes that need no training, each with the patterns of layers that stay in float."""
    for name, kept in wanted.items():
        writer.add(name, keep_float=kept)
    return writer


def _finished(out: Path) -> Bundle | None:
    """Return the bundle of an earlier call in this folder, or None where there is none yet."""
    record = read_json(out / RECORD_FILE) if (out / RECORD_FILE).is_file() else None
    if not isinstance(record, dict) or record.get("state") != "finished":  # a broken one is refused when it is resumed
        return None
    try:
        return Bundle.open(out)
    except FileNotFoundError:  # fine-tuned, but not converted yet
        return None


def _add_fine_tuned(writer: BundleWriter, recipe: str, folder: Path, validation: FaceDataset) -> None:
    """Convert the model that was fine-tuned in a folder, and hold the file against it."""
    source = writer.loaded
    rounded = read_fine_tuned(folder, source)
    data = convert_rounded(read_fine_tuned(folder, source, batch_size=1))
    count = min(COMPARED_FACES, len(validation))
    x = validation.inputs(source.card.preprocessing.camera(), np.arange(count))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "rounded.tflite"
        path.write_bytes(data)
        ours, theirs = LiteRTRunner(path, threads=os.cpu_count() or 1).predict(x), predict_rounded(rounded, x)
    steps = np.abs(ours - theirs) * 256  # one step of the output is 1/256
    note: dict[str, Any] = {
        "faces": f"{count} of {validation.name} {validation.split}",
        "count": count,
        "mean_steps": round(float(steps.mean()), 4),
        "max_steps": round(float(steps.max()), 1),
        "agreement": round(float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()), 4),
    }
    writer.add_file(recipe, data, {"against_fine_tuned": note})
