"""kerafer: facial-expression models for Android, from a data set to a verified `.tflite`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where each public name lives. They are imported when first asked for: `import kerafer` loads no framework.
# Functions are verbs and modules are nouns (`train` lives in `training`), since importing a module named `train`
# would put it in the place of the function.
_PUBLIC = {
    "Preprocessing": "kerafer.preprocess",
    "ModelSpec": "kerafer.specs",
    "build_model": "kerafer.zoo",
    "list_models": "kerafer.zoo",
    "model_spec": "kerafer.zoo",
    "register_model": "kerafer.zoo",
    "load_weights": "kerafer.weights",
    "save_weights": "kerafer.weights",
    "import_weights": "kerafer.checkpoints",
    "load_torch_state": "kerafer.checkpoints",
    "profile": "kerafer.profiling",
    "draw_structure": "kerafer.structure",
    "load_data": "kerafer.data",
    "train": "kerafer.training",
    "train_with_distributions": "kerafer.training",
    "distill": "kerafer.training",
    "evaluate": "kerafer.evaluation",
    "compare": "kerafer.evaluation",
    "robustness": "kerafer.evaluation",
    "quantize": "kerafer.deployment",
    "compare_recipes": "kerafer.deployment",
    "export": "kerafer.exporting",
    "verify": "kerafer.verification",
    "load_model": "kerafer.loading",
    "Recognizer": "kerafer.vision",
}

_MODULES = ("layers", "losses", "metrics")
"""Public modules: what one composes networks of, and trains and measures them with."""

if TYPE_CHECKING:
    from kerafer.data import load_data as load_data
    from kerafer.evaluation import evaluate as evaluate
    from kerafer.preprocess import Preprocessing as Preprocessing
    from kerafer.specs import ModelSpec as ModelSpec
    from kerafer.zoo import build_model as build_model
    from kerafer.zoo import list_models as list_models
    from kerafer.zoo import model_spec as model_spec
    from kerafer.zoo import register_model as register_model

__all__ = ["__version__", *_MODULES, *_PUBLIC]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"kerafer.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kerafer' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
