"""Verify a bundle: checksums, numbers, operators, and a run on the GPU accelerator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from kerafer.data.dataset import FaceDataset
from kerafer.data.samples import portrait_faces
from kerafer.exporting.bundle import LABELS_FILE, MODEL_FILE, Bundle, read_golden
from kerafer.files import inside, sha256
from kerafer.loading import load_model
from kerafer.quantization.recipes import ExportRecipe, export_recipe
from kerafer.runtime import LiteRTRunner
from kerafer.verification.gpu import run_on_gpu
from kerafer.verification.oplint import OperatorReport, inspect_operators
from kerafer.verification.report import FileReport, GpuRun, Parity, VerifyReport

FACES = 64
GPU_FACES = 4
GOLDEN_TOLERANCE = {"float32": 1e-4, "uint8": 1 / 128}
"""How far outputs may stray from the recorded ones on another machine: rounding for floats, two steps for uint8."""


def verify(
    folder: str | Path, *, data: FaceDataset | None = None, require_gpu: bool = False, progress: bool = False
) -> VerifyReport:
    """Verify every exported file of a bundle against its Keras model.

    Args:
        folder: the bundle.
        data: a split to compare and measure accuracy on; without it, varied crops of matplotlib's portrait are used.
        require_gpu: whether it is a failure that no Vulkan device is there.
        progress: whether to show a progress bar.

    Returns:
        A frozen report; `report.passed` is the verdict.

    Raises:
        FileNotFoundError: if the folder holds no bundle.
        ValueError: if the card or the Keras model cannot be read.

    Example:
        >>> import tempfile, kerafer
        >>> folder = tempfile.mkdtemp() + "/ean"
        >>> bundle = kerafer.export("ean", folder, weights="fer2013", recipes=("float32",))
        >>> kerafer.verify(folder).passed
        True
    """
    bundle = Bundle.open(folder)
    failures = _bundle_failures(bundle)
    keras_model = load_model(bundle.folder / MODEL_FILE)
    contract = bundle.card.preprocessing
    if data is None:
        inputs, labels = contract.scale(portrait_faces(contract, FACES, seed=2)), None
        faces = f"{FACES} crops of matplotlib's sample portrait"
    else:
        inputs, labels = data.inputs(contract), data.labels
        faces = f"{len(data)} faces of {data.name} {data.split}"
    expected = keras_model.runner.predict(inputs)
    golden_inputs, golden = read_golden(bundle)
    golden_x = contract.scale(golden_inputs)
    if MODEL_FILE not in golden or _far(keras_model.runner.predict(golden_x), golden[MODEL_FILE], "float32"):
        failures.append(f"{MODEL_FILE} does not give the probabilities recorded in the bundle")
    reports = [
        _verify_file(bundle, name, inputs, expected, labels, golden_x, golden.get(name), require_gpu)
        for name in tqdm(bundle.tflite_files, desc="verify", unit="file", disable=not progress)
    ]
    accuracy = None if labels is None else _accuracy(expected, labels)
    return VerifyReport(bundle.card.model, faces, accuracy, tuple(failures), tuple(reports))


def _bundle_failures(bundle: Bundle) -> list[str]:
    failures = []
    labels = bundle.folder / LABELS_FILE
    if not labels.is_file() or tuple(labels.read_text(encoding="utf-8").split("\n")[:-1]) != bundle.card.labels:
        failures.append(f"{LABELS_FILE} does not list the card's labels")
    for name, entry in bundle.card.files.items():
        path = inside(bundle.folder, name)
        if not path.is_file():
            raise FileNotFoundError(f"{bundle.folder} lacks {name}, which its card lists. Export the bundle again.")
        if sha256(path) != entry["sha256"]:
            failures.append(f"{name} was changed after the export: its checksum is not the card's")
    return failures


def _verify_file(
    bundle: Bundle,
    name: str,
    inputs: np.ndarray,
    expected: np.ndarray,
    labels: np.ndarray | None,
    golden_x: np.ndarray,
    golden: np.ndarray | None,
    require_gpu: bool,
) -> FileReport:
    path, recipe = inside(bundle.folder, name), export_recipe(bundle.card.files[name]["recipe"])
    try:
        runner, operators = LiteRTRunner(path), inspect_operators(path)
    except ValueError as error:
        return FileReport(name, recipe.name, path.stat().st_size, failures=(str(error),))
    outputs = runner.predict(inputs)
    difference = np.abs(outputs - expected)
    parity = Parity(
        faces=len(inputs),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        agreement=float((outputs.argmax(axis=1) == expected.argmax(axis=1)).mean()),
    )
    accuracy = None if labels is None else _accuracy(outputs, labels)
    change = None if labels is None else accuracy - _accuracy(expected, labels)
    gpu = run_on_gpu(path, inputs[:GPU_FACES]) if recipe.runs_on_gpu else GpuRun("not meant for it")
    failures = _failures(recipe, parity, change, operators, gpu, require_gpu)
    if golden is None or _far(runner.predict(golden_x), golden, recipe.input_type):
        failures.append("it does not give the probabilities recorded in the bundle")
    return FileReport(
        name=name,
        recipe=recipe.name,
        bytes=path.stat().st_size,
        operators=operators.operators,
        refused=operators.refused,
        parity=parity,
        accuracy=accuracy,
        accuracy_change=change,
        gpu=gpu,
        failures=tuple(failures),
    )


def _failures(
    recipe: ExportRecipe,
    parity: Parity,
    change: float | None,
    operators: OperatorReport,
    gpu: GpuRun,
    require_gpu: bool,
) -> list[str]:
    failures = []
    if recipe.max_difference is not None and not parity.max_difference <= recipe.max_difference:
        failures.append(f"a probability differs by {parity.max_difference:.1e}, more than {recipe.max_difference:.0e}")
    if not parity.mean_difference <= recipe.mean_difference:
        failures.append(
            f"probabilities differ by {parity.mean_difference:.1e} in mean, more than {recipe.mean_difference:.0e}"
        )
    if not parity.agreement >= recipe.min_agreement:
        failures.append(f"the best class agrees on {parity.agreement:.1%}, less than {recipe.min_agreement:.1%}")
    if change is not None and change < -recipe.max_accuracy_change:
        failures.append(f"accuracy changes by {change:+.4f}, more than {recipe.max_accuracy_change:.4f} is lost")
    if recipe.runs_on_gpu:
        failures += [f"the GPU runtime does not take {refusal}" for refusal in operators.refused]
        if gpu.status not in ("ok", "no device"):
            failures.append(f"on the GPU: {gpu.status}. {gpu.message}".strip())
        if gpu.status == "no device" and require_gpu:
            failures.append("no Vulkan device to run it on. Run `make swiftshader` for a software one.")
    return failures


def _accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def _far(outputs: np.ndarray, recorded: np.ndarray, kind: str) -> bool:
    return outputs.shape != recorded.shape or not float(np.abs(outputs - recorded).max()) <= GOLDEN_TOLERANCE[kind]
