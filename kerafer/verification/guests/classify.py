"""Classify pictures with MediaPipe's ImageClassifier; runs in MediaPipe's own Python, and imports nothing of kerafer.

    python -I classify.py JOBS.json

JOBS.json holds `delegate` ("CPU" or "GPU") and `jobs`: a list of files `model`, `pixels` (.npy), and `result`. For
each job, as soon as it is done, RESULT.json says `names` or `error`, RESULT.npy holds the scores in the order of
the names, and RESULT.log what was said on standard error meanwhile. A job without RESULT.json ended the process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from pathlib import Path

import numpy as np

# Their own __init__ files import every task, and with those JAX, OpenCV, Matplotlib and a sound card's library.
BARE = ("mediapipe", "mediapipe.tasks", "mediapipe.tasks.python", "mediapipe.tasks.python.vision")


def import_bare(name: str) -> None:
    """Import a package without running its `__init__.py`."""
    parent, _, last = name.rpartition(".")
    module = types.ModuleType(name)
    if parent:
        module.__path__ = [f"{folder}/{last}" for folder in sys.modules[parent].__path__]
        setattr(sys.modules[parent], last, module)
    else:
        module.__path__ = list(importlib.util.find_spec(name).submodule_search_locations)
    sys.modules[name] = module


def classify(model: str, pixels: np.ndarray, delegate: str) -> tuple[list[str], np.ndarray]:
    """Return the classes' names in output order, and the scores (n, classes) float32 for (n, height, width, 3) uint8.

    A class that the classifier leaves out has NaN.
    """
    from mediapipe.python._framework_bindings.image import Image
    from mediapipe.python._framework_bindings.image_frame import ImageFormat
    from mediapipe.tasks.python.core.base_options import BaseOptions
    from mediapipe.tasks.python.vision.image_classifier import ImageClassifier, ImageClassifierOptions

    base = BaseOptions(model_asset_path=model, delegate=BaseOptions.Delegate[delegate])
    results = []
    with ImageClassifier.create_from_options(ImageClassifierOptions(base_options=base)) as classifier:
        for picture in pixels:
            image = Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(picture))
            heads = classifier.classify(image).classifications
            if len(heads) != 1:
                raise ValueError(f"the classifier gives {len(heads)} lists of classes, not one")
            results.append({c.index: (c.category_name or "", c.score) for c in heads[0].categories})
    names = {index: name for result in results for index, (name, _) in result.items()}
    scores = np.full((len(results), max(names, default=-1) + 1), np.nan, np.float32)
    for row, result in zip(scores, results, strict=True):
        for index, (_, score) in result.items():
            row[index] = score
    return [names.get(index, "") for index in range(scores.shape[1])], scores


def main(jobs_file: str) -> int:
    """Run every job of a file, in order."""
    for name in BARE:
        import_bare(name)
    asked = json.loads(Path(jobs_file).read_text(encoding="utf-8"))
    for job in asked["jobs"]:
        # MediaPipe writes from C++, so the file descriptor itself is turned to the log.
        log = os.open(f"{job['result']}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(log, sys.stderr.fileno())
        os.close(log)
        try:
            names, scores = classify(job["model"], np.load(job["pixels"], allow_pickle=False), asked["delegate"])
            np.save(f"{job['result']}.npy", scores)
            told = {"names": names}
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        unfinished = Path(f"{job['result']}.unfinished")
        unfinished.write_text(json.dumps(told), encoding="utf-8")
        unfinished.rename(f"{job['result']}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
