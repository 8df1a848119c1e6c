"""A data set of AffectNet's size, streamed from disk in bounded memory, faster than a training takes it.

python benchmarks/stream.py --images 300000 --folder DIR

It draws so many small JPEG files (once; a complete folder is used again), scans and decodes them, and streams an epoch
of EAN's training batches with nothing consuming them, looking at the process's memory on the way. Then it measures
EAN's training with batches that are in memory already. The command fails if memory grew, or if the pipeline is not
several times as fast as the training. A tenth of the files is streamed first, in a process of its own, to compare.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import PIL
from common import write_result
from tqdm import tqdm

import kerafer
from kerafer.data.dataset import FaceDataset
from kerafer.data.samples import synthetic_faces
from kerafer.data.stored import DecodedImages, ImageFiles, decode
from kerafer.files import read_json, write_json
from kerafer.labels import LABELS_7

if TYPE_CHECKING:
    from kerafer.data.pipeline import TrainingBatches

SIDE, QUALITY, CHUNK = 64, 90, 500  # pixels, JPEG quality, pictures drawn at a time
BATCH, AUGMENTATION = 128, ("random_crop", "flip")
MARK = "stream.json"
GROWTH_LIMIT, RATIO_LIMIT = 64.0, 3.0  # MiB after the first tenth of the epoch; pipeline to training
TENTHS = 10
STEP_TURNS, STEPS_A_TURN, FILE_STEPS = 7, 30, 60


def generate(folder: Path, images: int, seed: int, processes: int = 1) -> None:
    """Draw pictures of faces into `FOLDER/data/train/<class>/000123.jpg`, unless they are there.

    Args:
        folder: where; a new or empty one, or one that this function has begun with the same settings.
        images: how many.
        seed: decides what they look like.
        processes: that draw at the same time.

    Raises:
        ValueError: if the folder holds something else.
    """
    settings = {"images": images, "seed": seed, "side": SIDE, "quality": QUALITY}
    mark = folder / MARK
    found = read_json(mark) if mark.exists() else None
    if found == {**settings, "complete": True}:
        return
    if (found is None and folder.exists() and any(folder.iterdir())) or (
        found is not None and found != {**settings, "complete": False}
    ):
        raise ValueError(
            f"{folder} must be new, empty, or hold pictures of these settings: {settings}. "
            f"Received: {found or 'a folder with other files'}. Remove it, or name another."
        )
    write_json(mark, {**settings, "complete": False})
    for name in LABELS_7:
        (folder / "data" / "train" / name).mkdir(parents=True, exist_ok=True)
    draw = partial(_draw, folder / "data" / "train", images, seed)
    firsts = range(0, images, CHUNK)
    with tqdm(total=images, desc="drawing", unit="picture", delay=1, disable=None) as bar:
        if processes == 1:
            for first in firsts:
                bar.update(draw(first))
        else:
            with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
                for count in pool.map(draw, firsts):
                    bar.update(count)
    write_json(mark, {**settings, "complete": True})


def _draw(folder: Path, images: int, seed: int, first: int) -> int:
    """Draw a chunk of pictures, each of another skin, light and background, and return how many."""
    count = min(CHUNK, images - first)
    rng = np.random.default_rng([seed, first])
    faces, labels = synthetic_faces(count, int(rng.integers(2**31)))  # (count, 48, 48)
    tints = rng.uniform(0.5, 1.0, (count, 1, 1, 3)).astype(np.float32)
    slope = np.linspace(-1, 1, SIDE, dtype=np.float32)
    for number, (face, label) in enumerate(zip(faces, labels, strict=True)):
        large = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)[..., None] * tints[number]
        across, down = rng.uniform(-40, 40, 2)
        large += (across * slope[None, :] + down * slope[:, None])[..., None]
        path = folder / LABELS_7[label] / f"{first + number:06d}.jpg"
        encoded = cv2.imencode(".jpg", np.clip(large, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        path.write_bytes(encoded[1])
    return count


def memory() -> dict[str, float]:
    """Return this process's resident memory in MiB: its own (`anon`), and of files that it has mapped (`file`)."""
    with open("/proc/self/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return {k: round(int(lines[f"Rss{k.title()}"].split()[0]) / 1024, 1) for k in ("anon", "file")}


def growth(samples: list[dict[str, float]]) -> float:
    """Return by how many MiB memory stood above its state after the first tenth at any later time, 0 if it never did.

    Args:
        samples: what `memory` gave at the start, after the first tenth, and after each further one.
    """
    totals = [sample["anon"] + sample["file"] for sample in samples]
    return round(max(totals[1:]) - totals[1], 1)


def forget(paths: Iterable[str | Path]) -> None:
    """Ask the kernel to drop its copies of files, so that they are read from the disk again."""
    os.sync()  # what is not written yet cannot be dropped
    for path in paths:
        number = os.open(path, os.O_RDONLY)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(number)


def batches_of(data: FaceDataset, seed: int) -> TrainingBatches:
    """Return EAN's training batches."""
    from kerafer.data.pipeline import TrainingBatches  # loads TensorFlow, which those who draw can do without

    return TrainingBatches(data, kerafer.model_spec("ean").preprocessing, BATCH, AUGMENTATION, seed)


def stream(batches: TrainingBatches, steps: int) -> dict[str, Any]:
    """Go through batches with nothing consuming them.

    Returns:
        Steps, images, seconds, images per second, resident memory in MiB at the start and after each tenth of the
        steps, and its growth after the first tenth.
    """
    marks = {round(steps * tenth / TENTHS) for tenth in range(1, TENTHS + 1)}
    samples, images, start = [{"steps": 0, **memory()}], 0, time.perf_counter()
    for step, (x, _) in enumerate(batches.to_tf(0, steps), start=1):
        images += int(x.shape[0])
        if step in marks:
            samples.append({"steps": step, **memory()})
    seconds = time.perf_counter() - start
    return {
        "steps": steps,
        "images": images,
        "seconds": round(seconds, 4),
        "images_per_second": round(images / seconds),
        "memory_mib": samples,
        "growth_mib": growth(samples),
    }


def prepare(folder: Path, cache: Path) -> tuple[dict[str, Any], FaceDataset, FaceDataset]:
    """Scan and decode the pictures with an empty cache, and then again with what it keeps.

    Returns:
        What was measured, the data set of files, and the decoded one.
    """
    contract = kerafer.model_spec("ean").preprocessing
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        files = kerafer.load_data(f"folder:{folder / 'data'}", "train", cache=cache)
        scanned = time.perf_counter()
        decoded = decode(files, cache, contract.resize)
        seconds.append((scanned - start, time.perf_counter() - scanned))
    if not isinstance(files.images, ImageFiles) or not isinstance(decoded.images, DecodedImages):
        raise TypeError(f"Expected pictures on disk. Received: {type(files.images)}, {type(decoded.images)}")
    measured = {
        "images": len(files),
        "bytes_decoded": decoded.images.path.stat().st_size,
        "scan_seconds": round(seconds[0][0], 1),
        "decode_seconds": round(seconds[0][1], 1),
        "scan_seconds_again": round(seconds[1][0], 1),
        "decode_seconds_again": round(seconds[1][1], 1),
    }
    return measured, files, decoded


def train(batches: TrainingBatches, turns: int = STEP_TURNS, steps: int = STEPS_A_TURN) -> dict[str, Any]:
    """Measure EAN's training: on one batch that is in memory already, and on the stream; the two take turns."""
    import tensorflow as tf
    from throughput import WARM_UP, learner, timed_fit

    model, fixed = learner(), tf.data.Dataset.from_tensors(batches.batch(0)).repeat()
    timed_fit(model, fixed, WARM_UP)
    rates: dict[str, list[float]] = {"fixed_batch": [], "from_disk": []}
    for turn in range(turns):
        rates["fixed_batch"].append(timed_fit(model, fixed, steps)["images_per_second"])
        streamed = batches.to_tf(turn * steps, (turn + 1) * steps)
        rates["from_disk"].append(timed_fit(model, streamed, steps)["images_per_second"])
    return {
        name: {
            "images_per_second": round(statistics.median(of)),
            "lowest": round(min(of)),
            "highest": round(max(of)),
        }
        for name, of in rates.items()
    }


def measure(folder: Path, seed: int, steps: int | None = None, *, training: bool = True) -> dict[str, Any]:
    """Measure one folder in this process.

    Args:
        folder: as `generate` made it.
        seed: of order and augmentation.
        steps: of the epoch; all of them by default.
        training: whether to measure the files without decoding, and the training, too.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="cache-") as cache:
        result, files, decoded = prepare(folder, Path(cache))
        batches = batches_of(decoded, seed)
        steps = steps or len(batches)
        batches.batch(0)
        for _ in batches.to_tf(0, 1):  # TensorFlow is loaded before memory is looked at
            pass
        forget([decoded.images.path])
        result["from_disk"] = stream(batches, steps)
        again = stream(batches, steps)
        result["from_kernel_cache"] = {k: v for k, v in again.items() if k != "memory_mib"}
        if training:
            from_files = batches_of(files, seed)
            forget([files.images.path(number) for number in range(len(files))])
            part = stream(from_files, min(FILE_STEPS, len(from_files)))
            result["from_jpeg_files"] = {k: part[k] for k in ("steps", "images_per_second")}
            result["training"] = train(batches)
    return result


def shortfalls(result: dict[str, Any]) -> list[str]:
    """Return what the measurement fell short of, in words; empty if it is as it should be."""
    found = []
    for name in ("from_disk", "from_kernel_cache"):
        grown = result[name]["growth_mib"]
        if grown > GROWTH_LIMIT:
            found.append(f"{name}: memory grew by {grown} MiB, more than {GROWTH_LIMIT:.0f}")
    if result["pipeline_to_training"] < RATIO_LIMIT:
        found.append(
            f"the pipeline is {result['pipeline_to_training']} times as fast as the training, less than "
            f"{RATIO_LIMIT:.0f}"
        )
    return found


def main() -> int:
    """Draw, measure both sizes in processes of their own, write the result, and judge it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300_000)
    parser.add_argument("--folder", type=Path, required=True, help="for the pictures; they stay there")
    parser.add_argument("--steps", type=int, help="of the epoch; all of them by default")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts = {"tenth": arguments.images // 10, "whole": arguments.images}
    results = {}
    for name, count in counts.items():
        folder = arguments.folder / name
        generate(folder, count, arguments.seed, os.cpu_count() or 1)
        paths = list((folder / "data").rglob("*.jpg"))
        size = sum(path.stat().st_size for path in paths)
        forget(paths)
        steps = None if name == "tenth" else arguments.steps
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:  # its memory is its own
            work = process.submit(measure, folder, arguments.seed, steps, training=name == "whole")
            results[name] = {"bytes_of_files": size, **work.result()}
        print(name, json.dumps(results[name]), flush=True)
    contract = kerafer.model_spec("ean").preprocessing
    whole, tenth = results["whole"], results["tenth"]
    slowest = min(whole[name]["images_per_second"] for name in ("from_disk", "from_kernel_cache"))
    training = whole["training"]["fixed_batch"]["images_per_second"]
    result = {
        "split": "generated",
        "seed": arguments.seed,
        "cores": os.cpu_count(),
        "picture": [SIDE, SIDE, 3],
        "resize": list(contract.resize),
        "size": list(contract.size),
        "batch_size": BATCH,
        "augmentation": list(AUGMENTATION),
        **whole,
        "pipeline_to_training": round(slowest / training, 1),
        "limits": {"growth_mib": GROWTH_LIMIT, "pipeline_to_training": RATIO_LIMIT},
        "a_tenth": {
            "images": tenth["images"],
            "images_per_second": tenth["from_disk"]["images_per_second"],
            "memory_mib_at_the_end": tenth["from_disk"]["memory_mib"][-1],
        },
        "decoders": {"pillow": PIL.__version__, "opencv": cv2.__version__},
    }
    write_result("stream", result)
    for problem in (problems := shortfalls(result)):
        print(f"failed: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
