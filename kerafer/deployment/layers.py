"""Which layers of a model suffer from rounding, for a file of a bundle."""

from __future__ import annotations

import numpy as np

from kerafer.data.dataset import FaceDataset
from kerafer.data.samples import portrait_faces
from kerafer.exporting.bundle import Bundle
from kerafer.exporting.tflite import convert, convert_rounded
from kerafer.files import write_json
from kerafer.layers import with_camera_input
from kerafer.loading import LoadedModel
from kerafer.plots import layer_error_bars
from kerafer.quantization.layer_error import LayerErrorReport, layer_error_report
from kerafer.quantization.recipes import EXPORT_RECIPES
from kerafer.training.quantization_aware import read_fine_tuned

FACES = 64
TABLE_FILE, PICTURE_FILE = "layers.json", "layers.png"


def explain_rounding(
    bundle: Bundle, loaded: LoadedModel, data: FaceDataset | None = None, *, progress: bool = False
) -> LayerErrorReport:
    """Tell what rounding to integers does to each layer, and leave table and picture in the bundle's folder.

    The bundle's fine-tuned file is looked at where there is one, else its calibrated one.

    Args:
        bundle: as `kerafer.quantize` wrote it.
        loaded: the float model that it was made of.
        data: faces to compare on; without it, crops of matplotlib's portrait.
        progress: whether to show a progress bar.

    Returns:
        The report; also in `layers.json`, and drawn in `layers.png`.

    Raises:
        ValueError: if the bundle holds no integer file.
    """
    recipes = [entry.get("recipe") for entry in bundle.card.files.values()]
    integer = [name for name in recipes if name in EXPORT_RECIPES and EXPORT_RECIPES[name].input_type == "uint8"]
    if not integer:
        raise ValueError(
            "`bundle` must hold a static_int8 or qat_int8 file to be explained. "
            f"Received: {', '.join(filter(None, recipes))}"
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
        rounded = convert(model, recipe, x)
    report = layer_error_report(convert(model, "float32"), rounded, x, progress=progress)
    write_json(bundle.folder / TABLE_FILE, report.to_dict())
    layer_error_bars(
        report.rows(), bundle.folder / PICTURE_FILE, title=f"{loaded.card.title}, {recipe}: error by layer"
    )
    return report
