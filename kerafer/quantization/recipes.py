"""How an exported file stores and computes its numbers, as named frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExportRecipe:
    """One way to export a model, and how far its outputs may stray from the Keras model's.

    Args:
        name: registry name; ends the exported file's name.
        description: what is stored and computed, and what it is for.
        input_type: type of the file's input: `"float32"` (0 to 1) or `"uint8"` (camera bytes).
        calibrated: True where real pictures decide the ranges of activations.
        trained: True where the model is fine-tuned with rounded weights first, so that it takes `kerafer.quantize`.
        runs_on_gpu: True where the file is meant for the GPU runtime, and must compile and run there.
        max_difference: largest allowed difference of a probability, or None where only the next two count.
        mean_difference: largest allowed mean difference of probabilities.
        min_agreement: smallest allowed share of pictures with the same best class.
        max_accuracy_change: largest allowed loss of accuracy on a split.
    """

    name: str
    description: str
    input_type: str
    calibrated: bool
    trained: bool
    runs_on_gpu: bool
    max_difference: float | None
    mean_difference: float
    min_agreement: float
    max_accuracy_change: float


EXPORT_RECIPES: dict[str, ExportRecipe] = {
    r.name: r
    for r in (
        ExportRecipe(
            name="float32",
            description="float32 weights and arithmetic: the reference, for the CPU or the GPU",
            input_type="float32",
            calibrated=False,
            trained=False,
            runs_on_gpu=True,
            max_difference=1e-5,
            mean_difference=1e-6,
            min_agreement=1.0,
            max_accuracy_change=0.0005,
        ),
        ExportRecipe(
            name="float16",
            description="float16 weights, float arithmetic: half the size, the usual choice for the GPU",
            input_type="float32",
            calibrated=False,
            trained=False,
            runs_on_gpu=True,
            max_difference=2e-2,
            mean_difference=1e-3,
            min_agreement=0.99,
            max_accuracy_change=0.002,
        ),
        ExportRecipe(
            name="weight_int8",
            description="int8 weights but for dense layers, float arithmetic: the smallest that the GPU takes",
            input_type="float32",
            calibrated=False,
            trained=False,
            runs_on_gpu=True,
            max_difference=None,
            mean_difference=0.01,
            min_agreement=0.95,
            max_accuracy_change=0.005,
        ),
        ExportRecipe(
            name="dynamic_int8",
            description="int8 weights, activations quantized on the fly: for the CPU, needs no pictures",
            input_type="float32",
            calibrated=False,
            trained=False,
            runs_on_gpu=False,
            max_difference=None,
            mean_difference=0.02,
            min_agreement=0.90,
            max_accuracy_change=0.01,
        ),
        ExportRecipe(
            name="static_int8",
            description="int8 weights and activations, calibrated on pictures: for CPUs and integer accelerators",
            input_type="uint8",
            calibrated=True,
            trained=False,
            runs_on_gpu=False,
            max_difference=None,
            mean_difference=0.03,
            min_agreement=0.90,
            max_accuracy_change=0.01,
        ),
        ExportRecipe(
            name="qat_int8",
            description="as static_int8, after training with rounded weights and activations",
            input_type="uint8",
            calibrated=False,
            trained=True,
            runs_on_gpu=False,
            max_difference=None,
            mean_difference=0.03,
            min_agreement=0.90,
            max_accuracy_change=0.005,
        ),
    )
}

UNTRAINED_RECIPES = tuple(name for name, found in EXPORT_RECIPES.items() if not found.trained)
"""Recipes that need no training: what `kerafer export` writes by itself."""


def export_recipe(name: str) -> ExportRecipe:
    """Return an export recipe by name.

    Raises:
        ValueError: if there is none of this name.

    Example:
        >>> export_recipe("static_int8").input_type
        'uint8'
    """
    if name not in EXPORT_RECIPES:
        raise ValueError(f"`recipe` must be one of {', '.join(EXPORT_RECIPES)}. Received: recipe={name!r}")
    return EXPORT_RECIPES[name]
