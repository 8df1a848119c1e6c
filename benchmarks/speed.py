"""Speed and memory of finding faces, telling expressions and following a video, beside other packages: `make bench`.

    python benchmarks/speed.py --fer .cache/others/fer/bin/python --deepface .cache/others/deepface/bin/python

Each system runs in a process of its own with as many CPUs and threads as the others, and they take turns: a slow moment
of the machine meets all. Only ratios mean anything elsewhere, and nothing here tells a phone's speed. Pictures and the
video, 640x480, are made of matplotlib's sample portrait; `--photo` adds your own. The files' part measures networks as
`.tflite` files, those of EAN's Table 5 and, of LCNN's Tables 3 and 5, those that the paper describes well enough to
build them: latency, and the memory of a process with each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from common import versions, write_table
from speed_scenes import write_scenes, write_video

HERE = Path(__file__).resolve().parent
FIELDS = (
    "part",
    "what",
    "threads",
    "system",
    "version",
    "found",
    "runs",
    "median_ms",
    "q1_ms",
    "q3_ms",
    "reference",
    "times_as_fast",
    "peak_mb",
    "parameters",
    "macs",
)
THREADS = (1, 2)
VIDEO_SECONDS = 4.0
# Name: model, side and options; what the papers compare on, at 44 (EAN's) and 48 (LCNN's), and our four. Of LCNN's
# tables VGG-Net (10 convolutions, 3 dense layers, 87,566,680 parameters), "CNN" and DenseNet-1 (95,263 parameters) are
# missing: the paper gives no widths. Its Table 4 is of trainings.
NETWORKS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "ean-44": ("ean", 44, {}),
    "vgg16-44": ("vgg16_cifar", 44, {}),
    "resnet18-44": ("resnet18_cifar", 44, {}),
    "mobilenet_v2-44": ("mobilenet_v2", 44, {}),
    "squeezenet-44": ("squeezenet", 44, {}),
    "mini_xception-44": ("lcnn", 44, {"downsampling": False}),  # as EAN's paper counted it, in colour
    "lcnn-48": ("lcnn", 48, {}),
    "resnet50-48": ("ldg_resnet50", 48, {}),
    "efficientface-96": ("efficientface", 96, {}),
    "lfer-96": ("lfer", 96, {}),
}


class System:
    """A process of `speed_systems.py`."""

    def __init__(self, name: str, threads: int, python: str, model: str) -> None:
        self.name = name
        command = [python, str(HERE / "speed_systems.py"), name, "--threads", str(threads), "--model", model]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - a pipe that nobody reads would fill up
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        self.version = self._answer()["version"]
        self.peak: float | None = None

    def run(self, path: Path, runs: int) -> dict[str, Any]:
        """Return the seconds of each run, and how many faces were found."""
        self.process.stdin.write(json.dumps({"path": str(path), "runs": runs}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process, and keep the most memory it took, in megabytes."""
        self.process.stdin.close()
        self.peak = self._answer()["peak_mb"]
        self.process.stdout.close()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"{self.name} ended: {self.errors.read()[-2000:]}")
        return json.loads(line)


@contextmanager
def started(names: Sequence[str], threads: int, pythons: dict[str, str], model: str) -> Iterator[list[System]]:
    """Start systems one after the other and end them; one whose Python was not given is left out."""
    with ExitStack() as stack:
        systems = []
        for name in names:
            python = pythons.get(name.partition(":")[0], sys.executable)
            if python:
                system = System(name, threads, python, model)
                stack.callback(system.process.kill)
                systems.append(system)
        yield systems


def measured(part: str, systems: list[System], things: dict[str, Path], rounds: int, threads: int) -> list[dict]:
    """Let systems take turns with pictures or videos, and return a row for each of both; the first is the reference."""
    times: dict[tuple[str, str], list[float]] = {}
    found: dict[tuple[str, str], int] = {}
    for _ in range(rounds + 1):
        for what, path in things.items():
            for system in systems:
                answer = system.run(path, 1)
                times.setdefault((what, system.name), []).extend(answer["seconds"])
                found[what, system.name] = answer["found"]
    for system in systems:
        system.close()
    rows = []
    for what in things:
        values = {system.name: times[what, system.name][1:] for system in systems}  # first: warm-up
        base = statistics.median(values[systems[0].name])
        for system in systems:
            median, (q1, _, q3) = statistics.median(values[system.name]), statistics.quantiles(values[system.name])
            rows.append(
                {
                    "part": part,
                    "what": what,
                    "threads": threads,
                    "system": system.name,
                    "version": system.version,
                    "found": found[what, system.name],
                    "runs": len(values[system.name]),
                    **_milliseconds(median, q1, q3),
                    "reference": systems[0].name,
                    "times_as_fast": f"{base / median:.2f}",
                    "peak_mb": f"{system.peak:.0f}",
                }
            )
            print("  ".join(str(rows[-1][k]) for k in ("what", "threads", "system", "median_ms", "times_as_fast")))
    return rows


def _milliseconds(median: float, q1: float, q3: float) -> dict[str, str]:
    return {k: f"{1000 * v:.4g}" for k, v in {"median_ms": median, "q1_ms": q1, "q3_ms": q3}.items()}


def network_files(folder: Path) -> dict[str, tuple[Path, int, int]]:
    """Write the papers' networks as float32 files with drawn weights, and tell path, parameters and MACs by name."""
    import keras

    import kerafer
    from kerafer.exporting import convert
    from kerafer.profiling import profile

    found = {}
    for name, (model_name, side, options) in NETWORKS.items():
        channels = 3 if options else kerafer.model_spec(model_name).input_shape[2]
        model = kerafer.build_model(model_name, input_shape=(side, side, channels), **options)
        path = folder / f"{name}.tflite"
        path.write_bytes(convert(model, "float32"))
        counted = profile(model)
        found[name] = (path, counted.trainable_parameters, counted.flops["macs"])
        keras.backend.clear_session()
    return found


def files_rows(folder: Path, rounds: int, threads: int) -> list[dict]:
    """Return a row for each network, each in a process that has nothing but LiteRT."""
    files = network_files(folder)
    rows = []
    with ExitStack() as stack:
        systems = {}
        for name, (path, _, _) in {"nothing": (Path(), 0, 0), **files}.items():
            systems[name] = System("litert", threads, sys.executable, str(path) if name != "nothing" else "")
            stack.callback(systems[name].process.kill)
        times: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(rounds):
            for name, system in systems.items():
                times[name] += system.run(Path("none"), 20)["seconds"][5:]
        for system in systems.values():
            system.close()
    base = statistics.median(times["ean-44"])
    for name, seconds in times.items():
        median, (q1, _, q3) = statistics.median(seconds), statistics.quantiles(seconds)
        is_file = name != "nothing"
        rows.append(
            {
                "part": "files",
                "what": name,
                "threads": threads,
                "system": "litert",
                "version": versions()["ai-edge-litert"],
                "runs": len(seconds),
                **(_milliseconds(median, q1, q3) if is_file else {}),
                "reference": "ean-44" if is_file else "",
                "times_as_fast": f"{base / median:.3f}" if is_file else "",
                "peak_mb": f"{systems[name].peak:.1f}",
                "parameters": (files[name][1] or "") if is_file else "",
                "macs": (files[name][2] or "") if is_file else "",
            }
        )
    return rows


def main() -> None:
    """Measure all parts and write results/speed.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fer", default="", help="Python that has `fer`")
    parser.add_argument("--deepface", default="", help="Python that has `deepface`")
    parser.add_argument("--photo", action="append", default=[], type=Path, help="another picture to measure on")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    pythons = {"fer": arguments.fer, "deepface": arguments.deepface}
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = write_scenes(folder, arguments.photo)
        model = _exported(folder)
        video = folder / "video.mp4"
        count = write_video(video, 1, VIDEO_SECONDS)
        for threads in THREADS:
            for part, names, things, rounds in (
                ("detect", ("detect:mtcnn", "detect:mtcnn_litert", "detect:blazeface"), pictures, arguments.rounds),
                (
                    "recognize",
                    (
                        "fer:",
                        "fer:mtcnn",
                        "deepface:opencv",
                        "kerafer:mtcnn",
                        "kerafer:mtcnn_litert",
                        "kerafer:blazeface",
                    ),
                    pictures,
                    arguments.rounds,
                ),
                (
                    "video",
                    ("video:mtcnn,0", "video:mtcnn_litert,0", "video:mtcnn_litert,0.33", "video:blazeface,0.33"),
                    {f"{count} pictures, 1 face": video},
                    2,
                ),
            ):
                with started(names, threads, pythons, model) as systems:
                    rows += measured(part, systems, things, rounds, threads)
        rows += files_rows(folder, arguments.rounds, threads=1)
    write_table(
        "speed",
        FIELDS,
        rows,
        command="python benchmarks/speed.py " + " ".join(Path(a).name if "/" in a else a for a in sys.argv[1:]),
        about="pictures and a video made of matplotlib's sample portrait, 640x480; seed 0; CPU only",
    )


def _exported(folder: Path) -> str:
    """Return the path of EAN's float32 file."""
    import kerafer

    bundle = kerafer.export(kerafer.load_model("ean", weights="fer2013"), folder / "ean", recipes=("float32",))
    return str(bundle.folder / next(iter(bundle.tflite_files)))


if __name__ == "__main__":
    main()
