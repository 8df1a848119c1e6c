"""Tables of speed and memory, for `readme.py`: results/speed.csv, results/cpu_switches.json and results/fuzz.csv."""

from __future__ import annotations

from common import ROOT, read_table, table

from kerafer.files import read_json

NAMES = {
    "detect:mtcnn": "`mtcnn` package (TensorFlow)",
    "detect:mtcnn_litert": "MTCNN on LiteRT (`mtcnn_litert`)",
    "detect:blazeface": "BlazeFace (`blazeface`)",
    "kerafer:mtcnn": "kerafer, `--detector mtcnn`",
    "kerafer:mtcnn_litert": "**kerafer**, as `kerafer predict` does it",
    "kerafer:blazeface": "**kerafer**, `--detector blazeface`",
    "fer:": "PyPI `fer`, its default (cascade)",
    "fer:mtcnn": "PyPI `fer`, `mtcnn=True`",
    "deepface:opencv": "deepface, its default (cascade); drawn weights",
    "video:mtcnn,0": "`mtcnn` package in each picture",
    "video:mtcnn_litert,0": "MTCNN on LiteRT in each picture",
    "video:mtcnn_litert,0.33": "**as `kerafer video` does it**: every 0.33 s, tracked between",
    "video:blazeface,0.33": "the same with BlazeFace",
}
NETWORKS = {
    "vgg16-44": "VGG-16",
    "resnet18-44": "ResNet-18",
    "resnet50-48": "ResNet-50",
    "mobilenet_v2-44": "MobileNetV2",
    "squeezenet-44": "SqueezeNet",
    "mini_xception-44": "mini-Xception, as EAN's paper counts it",
    "ean-44": "**EAN**",
    "lcnn-48": "**LCNN**",
    "efficientface-96": "**EfficientFace**",
    "lfer-96": "**LFER-LDL**",
}
# EAN's Table 5: milliseconds on a CPU that the paper does not name
PRINTED = {
    "vgg16-44": "11.952",
    "resnet18-44": "12.255",
    "mobilenet_v2-44": "6.010",
    "squeezenet-44": "4.104",
    "mini_xception-44": "7.483",
    "ean-44": "1.985",
}


def _rows(part: str) -> list[dict[str, str]]:
    return [row for row in read_table("speed") if row["part"] == part]


def _beside(part: str) -> str:
    """Return a table with a line for each system, and columns for each picture on one thread and on two."""
    rows = _rows(part)
    columns = list(dict.fromkeys((row["threads"], row["what"]) for row in rows))
    lines = []
    for system in dict.fromkeys(row["system"] for row in rows):
        own = {(row["threads"], row["what"]): row for row in rows if row["system"] == system}
        peak = max(int(row["peak_mb"]) for row in own.values())
        cells = [
            f"{float(own[c]['median_ms']):.3g} ms, {own[c]['times_as_fast']}x" if c in own else "-" for c in columns
        ]
        lines.append([NAMES.get(system, f"`{system}`"), *cells, f"{peak} MB"])
    heads = [f"{what}, {threads} thread{'s'[: threads != '1']}" for threads, what in columns]
    return table(["", *heads, "peak memory"], lines)


def detectors() -> str:
    """Return the table of face detectors."""
    rows = _rows("detect")
    foot = (
        f"Median of {rows[0]['runs']} runs on pictures of 640x480, and how many times as fast as the package. All take "
        "turns, each in a process of its own with as many CPUs as threads; the pictures are made of matplotlib's "
        "sample portrait."
    )
    return f"{_beside('detect')}\n\n{foot}"


def end_to_end() -> str:
    """Return the table of whole systems, from a decoded picture to probabilities."""
    versions = dict.fromkeys(row["version"] for row in _rows("recognize"))
    return (
        f"{_beside('recognize')}\n\nFrom a decoded picture of 640x480 to boxes and probabilities, warm, EAN as float32 "
        f"`.tflite`; {', '.join(versions)}. deepface's weights are on no package registry, so it was timed with drawn "
        "ones. From `results/speed.csv` (`make bench`), in one run on a shared machine: only the ratios mean anything "
        "elsewhere, and nothing here tells a phone's speed."
    )


def video() -> str:
    """Return the table of videos."""
    rows = _rows("video")
    pictures = int(rows[0]["what"].split()[0])
    lines = [
        [
            NAMES.get(row["system"], row["system"]),
            row["threads"],
            f"{float(row['median_ms']) / pictures:.3g} ms",
            f"{row['times_as_fast']}x",
            f"{row['peak_mb']} MB",
        ]
        for row in rows
    ]
    return table(["", "threads", "a picture", "as fast", "peak memory"], lines) + (
        f"\n\n{rows[0]['what']}, moving, 640x480 at 30 a second, decoding included."
    )


def networks() -> str:
    """Return the networks of the papers' tables, measured in one run."""
    rows = {row["what"]: row for row in _rows("files")}
    empty, ean = float(rows["nothing"]["peak_mb"]), float(rows["ean-44"]["median_ms"])
    lines = [
        [
            name,
            what.rpartition("-")[2],
            f"{int(rows[what]['parameters']):,}",
            f"{int(rows[what]['macs']) / 1e6:,.2f} M",
            f"{float(rows[what]['median_ms']):.3g} ms",
            f"{float(rows[what]['median_ms']) / ean:.1f}",
            f"{float(PRINTED[what]) / float(PRINTED['ean-44']):.1f}" if what in PRINTED else "-",
            f"{float(rows[what]['peak_mb']) - empty:.1f} MB",
        ]
        for what, name in NETWORKS.items()
    ]
    heads = ["network", "side", "parameters", "MACs", "latency", "times EAN's", "in the paper", "memory"]
    return table(heads, lines) + (
        "\n\nfloat32 `.tflite` with drawn weights in LiteRT, 1 thread, taking turns, each in a process of its own. "
        f'Memory is what the process takes at most beyond the {empty:.0f} MB of one without a network. "In the paper": '
        "the ratio of latencies that EAN's Table 5 prints, on a CPU that it does not name. LCNN's paper prints shares "
        "of a computer's CPU and memory, while training (Table 4) and in use (Table 5), beside VGG-Net, a CNN and "
        "ResNet-50; of the first two, and of its DenseNet-1, it gives too little to build them."
    )


def switches() -> str:
    """Return what TensorFlow's two switches bring to each system's training."""
    measured = read_json(ROOT / "results" / "cpu_switches.json")
    lines = []
    for row in measured["models"]:
        ratios = row["ratio_to_neither"]
        cells = [f"{ratios[name]:.2f}x" for name in ("onednn", "fusing", "both")]
        lines.append([f"`{row['model']}`", str(row["size"]), f"{row['images_per_second']['neither']:,}", *cells])
    heads = ["model", "side", "images a second with neither", "oneDNN", "XLA", "both"]
    return table(heads, lines) + (
        f"\n\nTraining steps of {measured['batch']} random pictures on {measured['threads']} thread of a processor "
        f"with {', '.join(measured['processor']) or 'none of the wide instructions'}, after XLA had compiled; median "
        f"of {measured['rounds']} rounds, all taking turns (`results/cpu_switches.json`)."
    )


def fuzzing() -> str:
    """Return the table of fuzzed readers."""
    rows = read_table("fuzz")
    lines = [
        [f"`{r['reader']}`", f"{int(r['inputs']):,}", f"{int(r['read']):,}", f"{int(r['refused']):,}"] for r in rows
    ]
    whole = sum(int(row["inputs"]) for row in rows)
    bad = sum(int(row["crashes"]) + int(row["hangs"]) for row in rows)
    return table(["reader", "inputs", "read", "refused by name"], lines) + (
        f"\n\n{whole:,} whole files changed at random (atheris, guided by coverage): {bad} crashes, hangs or "
        "half-written files. From `results/fuzz.csv` (`make fuzz`)."
    )
