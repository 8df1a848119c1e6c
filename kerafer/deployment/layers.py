"""Which layers of a model suffer from rounding, for a file of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerafer.data.dataset import FaceDataset
from kerafer.data.samples import portrait_faces
from kerafer.exporting.bundle import CALIBRATION_COUNT, Bundle
from kerafer.exporting.tflite import convert, convert_rounded
from kerafer.files import write_json
from kerafer.layers import with_camera_input
from kerafer.loading import LoadedModel
from kerafer.plots import layer_error_bars
from kerafer.preprocess import Preprocessing
from kerafer.quantization.layer_error import LayerErrorReport, layer_error_report
from kerafer.quantization.recipes import EXPORT_RECIPES
from kerafer.training.quantization_aware import read_fine_tuned

FACES = 64
TABLE_FILE, PICTURE_FILE = "layers.json", "layers.png"


def explain_rounding(
    bundle: Bundle,
    loaded: LoadedModel,
    data: FaceDataset | None = None,
    *,
    calibration: FaceDataset | None = None,
    progress: bool = False,
) -> LayerErrorReport:
    """Tell what rounding to integers does to each layer, and leave table and picture in the bundle's folder.

    The bundle's fine-tuned file is looked at where there is one, else its calibrated one. It is converted once more,
    since the one in the bundle no longer knows its layers' names.

    Args:
        bundle: as `kerafer.quantize` wrote it.
        loaded: the float model that it was made of.
        data: faces to compare on; without it, crops of matplotlib's portrait.
        calibration: the split that a calibrated file was calibrated on; None where that was matplotlib's portrait.
        progress: whether to show a progress bar.

    Returns:
        The report; also in `layers.json`, and drawn in `layers.png`.

    Raises:
        ValueError: if the bundle holds no integer file, or `calibration` is not what its card says.

    Example:
        >>> import tempfile, kerafer
        >>> from kerafer.deployment import explain_rounding
        >>> ean = kerafer.load_model("ean", weights="fer2013")
        >>> bundle = kerafer.quantize(ean, recipe="static_int8", out=tempfile.mkdtemp() + "/ean")
        >>> len(explain_rounding(bundle, ean).worst(3))
        3
    """
    entries = {entry["recipe"]: entry for entry in bundle.card.files.values() if "recipe" in entry}
    integer = [name for name in entries if name in EXPORT_RECIPES and EXPORT_RECIPES[name].input_type == "uint8"]
    if not integer:
        raise ValueError(
            f"`bundle` must hold a static_int8 or qat_int8 file to be explained. Received: {', '.join(entries)}"
        )
    recipe = max(integer, key=lambda name: EXPORT_RECIPES[name].trained)
    contract = loaded.card.preprocessing
    model = with_camera_input(loaded.model, contract.mean, contract.std)
    if data is None:
        x = contract.camera().scale(portrait_faces(contract, FACES, seed=2))
    else:
        x = data.inputs(contract.camera(), np.random.default_rng(0).permutation(len(data))[:FACES])
    if EXPORT_RECIPES[recipe].trained:
        rounded = convert_rounded(read_fine_tuned(bundle.folder, loaded, batch_size=1))
    else:
        pictures = _calibration_pictures(entries[recipe]["calibration"], contract.camera(), calibration)
        rounded = convert(model, recipe, pictures, entries[recipe].get("kept_float", ()))
    report = layer_error_report(convert(model, "float32"), rounded, x, progress=progress)
    write_json(bundle.folder / TABLE_FILE, report.to_dict())
    layer_error_bars(
        report.rows(), bundle.folder / PICTURE_FILE, title=f"{loaded.card.title}, {recipe}: error by layer"
    )
    return report


def _calibration_pictures(
    note: Mapping[str, Any], contract: Preprocessing, calibration: FaceDataset | None
) -> np.ndarray:
    """Return the pictures that a file was calibrated on, (n, height, width, 3) float32 in [0, 1]."""
    told = "crops of matplotlib's sample portrait"
    if calibration is not None:
        told = f"{calibration.name} {calibration.split}"
    if told != note["from"]:
        raise ValueError(
            f"`calibration` must be what the file was calibrated on: {note['from']}. Received: {told}. Name the data, "
            "or quantize again."
        )
    if calibration is None:
        return contract.scale(portrait_faces(contract, CALIBRATION_COUNT, note["seed"]))
    chosen = np.random.default_rng(note["seed"]).permutation(len(calibration))[:CALIBRATION_COUNT]
    return calibration.inputs(contract, chosen)
