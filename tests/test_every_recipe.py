"""Every model of the zoo by every recipe: numbers and operators on this CPU, and on the GPU in both precisions.

The four systems go by all recipes. The rows of their ablations, whose blocks are the same, and the networks that only
stand beside the papers' go by one recipe of each kind; `make verify` has them by all.
"""

import os

import numpy as np
import pytest
from kinds import EACH, SYSTEMS

import kerafer
import kerafer.exporting.bundle as bundle_module
from kerafer.data.samples import portrait_faces
from kerafer.exporting.bundle import BundleWriter
from kerafer.exporting.tflite import convert_rounded
from kerafer.quantization import EXPORT_RECIPES, UNTRAINED_RECIPES
from kerafer.runtime import LiteRTRunner
from kerafer.training.quantization_aware import fake_quantized
from kerafer.verification import DEFAULT_RUNGS
from kerafer.verification.oplint import inspect_operators
from kerafer.verification.stand_ins import SLACK, stand_in

RUNGS_ARE_REQUIRED = bool(os.environ.get("KERAFER_REQUIRE_RUNGS"))


def rounded_file(loaded):
    """Return a model's integer file, its ranges from a few faces and untrained; the model's outputs; and the faces."""
    contract = loaded.card.preprocessing.camera()
    faces = contract.scale(portrait_faces(contract, 16, seed=1))
    rounded = fake_quantized(loaded, batch_size=1)
    rounded.model(faces, training=True)
    rounded.round_biases()
    return convert_rounded(rounded), rounded.model(faces, training=False).numpy(), faces


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_first_two_rungs(name, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_module, "CALIBRATION_COUNT", 32)
    spec = kerafer.model_spec(name)
    loaded = stand_in(name, size=min(spec.input_shape[0], 64))
    writer = BundleWriter(loaded)
    recipes = UNTRAINED_RECIPES if name in SYSTEMS else ("float16", "static_int8")
    for recipe in recipes:
        writer.add(recipe)
    if name in SYSTEMS:
        data, expected, faces = rounded_file(loaded)
        integer = writer.add_file("qat_int8", data)
    bundle = writer.write(tmp_path / name)

    report = kerafer.verify(bundle.folder, rungs=DEFAULT_RUNGS, require=RUNGS_ARE_REQUIRED, slack=SLACK)
    assert [file.recipe for file in report.files] == [r for r in EXPORT_RECIPES if name in SYSTEMS or r in recipes]
    assert report.passed, report.table()
    for rung in range(len(DEFAULT_RUNGS)):
        on_gpu = [file.recipe for file in report.files if file.rungs[rung].status != "not meant for it"]
        assert on_gpu == [r for r in ("float32", "float16", "weight_int8") if r in recipes]
    if name not in SYSTEMS:
        return

    assert inspect_operators(bundle.folder / integer).float_tensors == 0
    runner = LiteRTRunner(bundle.folder / integer)
    assert runner.input["dtype"] == runner.output["dtype"] == np.uint8
    assert runner.input["quantization"] == (pytest.approx(1 / 255), 0)
    assert runner.output["quantization"] == (1 / 256, 0)
    assert np.ptp(expected, axis=0).max() > 0.05, "these faces do not tell right from wrong"
    # drawn weights gather the errors of many layers, where trained ones do not: EAN is held to 2 in test_fake_quant.py
    assert np.abs(runner.predict(faces) - expected).mean() * 256 <= 4
