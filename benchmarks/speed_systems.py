"""One system that finds faces or expressions, in a process of its own: what `speed.py` starts and asks.

    python benchmarks/speed_systems.py kerafer:blazeface --threads 1

It runs under the Python that has the system, and needs numpy and OpenCV there. It loads everything, answers a line of
JSON, and then reads a line of JSON after the other: `{"path": ..., "runs": ...}` is answered by the seconds of each
run. The end of the input ends it; its last line holds the most memory it ever took.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Job = Callable[[Any], int]


def main() -> None:
    """Load a system and answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", default="ean", help="file or name of kerafer's model")
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)  # native libraries write to descriptor 1 as well
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit(arguments.threads)
    sys.path.remove(str(Path(__file__).resolve().parent))  # `fer.py` beside this file is not the package
    kind, _, option = arguments.system.partition(":")
    before = time.perf_counter()
    read, job = SYSTEMS[kind](option, arguments)
    print(json.dumps({"ready": time.perf_counter() - before, "version": _version(kind)}), file=answers)
    for line in sys.stdin:
        asked = json.loads(line)
        thing = read(asked["path"])
        seconds, found = [], 0
        for _ in range(asked["runs"]):
            start = time.perf_counter()
            found = job(thing)
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds, "found": found}), file=answers)
    print(json.dumps({"peak_mb": peak_megabytes()}), file=answers)


def peak_megabytes() -> float:
    """Return the most memory that this program ever took; Linux only.

    `resource.getrusage` would tell that of the process it was forked from, if that had taken more.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    [kibibytes] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
    return kibibytes * 1024 / 1e6


def _limit(threads: int) -> None:
    """Allow so many CPUs and threads to everything that is loaded from now on."""
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cpus[-threads:])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import cv2

    cv2.setNumThreads(threads)


def _version(kind: str) -> str:
    import importlib.metadata

    if kind in ("fer", "deepface"):
        return f"{kind} {importlib.metadata.version(kind)}"
    import kerafer

    return f"kerafer {kerafer.__version__}"


def _rgb(path: str) -> Any:
    return _bgr(path)[:, :, ::-1].copy()


def _bgr(path: str) -> Any:
    import cv2

    return cv2.imread(path)


def _detector(name: str, threads: int) -> Any:
    from kerafer.vision import DETECTORS

    return DETECTORS[name](**({} if name == "mtcnn" else {"threads": threads}))


def _detect(option: str, arguments: argparse.Namespace) -> tuple[Any, Job]:
    """Return a face detector by itself."""
    detector = _detector(option, arguments.threads)
    return _rgb, lambda image: len(detector.detect([image])[0])


def _kerafer(option: str, arguments: argparse.Namespace) -> tuple[Any, Job]:
    """Return what `kerafer predict` does to a picture; it runs shipped weights as a float32 `.tflite`, too."""
    from kerafer.vision import Recognizer

    recognizer = Recognizer(arguments.model, detector=_detector(option, arguments.threads))
    return _rgb, lambda image: len(recognizer.recognize([image])[0].faces)


def _video(option: str, arguments: argparse.Namespace) -> tuple[Any, Job]:
    """Return what `kerafer video` does, as `DETECTOR,SECONDS` between detections; it counts faces in all pictures."""
    from kerafer.vision import Recognizer, VideoRecognizer

    name, _, every = option.partition(",")
    recognizer = Recognizer(arguments.model, detector=_detector(name, arguments.threads))
    video = VideoRecognizer(recognizer, every=float(every))
    return str, lambda path: sum(track["pictures"] for track in video.recognize(path).to_dict()["tracks"])


def _fer(option: str, arguments: argparse.Namespace) -> tuple[Any, Job]:
    """Return PyPI `fer`, with its MTCNN or its default, OpenCV's cascade."""
    if option == "mtcnn":
        import torch

        torch.set_num_threads(arguments.threads)
    from fer.fer import FER

    system = FER(mtcnn=option == "mtcnn")
    return _bgr, lambda image: len(system.detect_emotions(image))


def _deepface(option: str, arguments: argparse.Namespace) -> tuple[Any, Job]:
    """Return deepface with drawn weights: its own are on no package registry, and any take the same time."""
    os.environ["DEEPFACE_BACKEND_ENGINE"] = "tensorflow"
    from deepface import DeepFace
    from deepface.commons import weight_utils

    weight_utils.download_weights_if_necessary = lambda **_: ""
    weight_utils.load_model_weights = lambda model, weight_file: model

    def job(image: Any) -> int:
        found = DeepFace.analyze(image, actions=["emotion"], detector_backend=option, enforce_detection=False)
        return sum(face["face_confidence"] > 0 for face in found)

    return _bgr, job


def _litert(option: str, arguments: argparse.Namespace) -> tuple[Any, Job]:
    """Return LiteRT with one file, or with none: what the process takes by itself."""
    from ai_edge_litert.interpreter import Interpreter

    if not arguments.model:
        return str, lambda _: 0
    interpreter = Interpreter(arguments.model, num_threads=arguments.threads)
    interpreter.allocate_tensors()
    return str, lambda _: interpreter.invoke() or 0


SYSTEMS: dict[str, Callable[[str, argparse.Namespace], tuple[Any, Job]]] = {
    "detect": _detect,
    "kerafer": _kerafer,
    "video": _video,
    "fer": _fer,
    "deepface": _deepface,
    "litert": _litert,
}

if __name__ == "__main__":
    main()
