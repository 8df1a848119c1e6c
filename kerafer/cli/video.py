"""`kerafer video`: the expressions in a video or before a camera."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kerafer.cli.common import add_detector, add_model, add_verb, chosen_recognizer, print_json, progress


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "video",
        "follow the faces of a video or a camera and tell their expressions",
        "kerafer video talk.mp4 --out talk.annotated.mp4 --csv talk.csv --plot talk.png",
        _video,
    )
    verb.add_argument("source", metavar="FILE_OR_CAMERA", help="a video file, or a camera's number such as 0")
    add_model(verb, default="ean")
    verb.add_argument("--out", metavar="FILE.mp4", help="the annotated video (MPEG-4, without sound)")
    verb.add_argument("--csv", metavar="FILE.csv", help="a row for each face of each picture")
    verb.add_argument("--plot", metavar="FILE.png", help="each face's probabilities over time")
    add_detector(verb, default="mtcnn_litert")
    verb.add_argument("--every", type=float, default=0.33, help="seconds between detections (default: 0.33)")
    verb.add_argument("--smoothing", type=float, default=0.3, help="time constant in seconds (default: 0.3)")
    verb.add_argument("--seconds", type=float, help="stop after so much of the video; a camera goes on until Ctrl-C")


def _video(arguments: argparse.Namespace) -> int:
    from kerafer.plots import expression_timeline
    from kerafer.plots.common import check_picture
    from kerafer.vision import VideoRecognizer

    check_picture(arguments.plot, "--plot")
    recognizer = chosen_recognizer(arguments)
    video = VideoRecognizer(recognizer, every=arguments.every, smoothing=arguments.smoothing)
    is_camera = arguments.source.isdigit() and not Path(arguments.source).exists()
    report = video.recognize(
        int(arguments.source) if is_camera else arguments.source,
        out=arguments.out,
        table=arguments.csv,
        limit=arguments.seconds,
        progress=progress(arguments),
    )
    if arguments.plot:
        expression_timeline(report.tracks, report.labels, arguments.plot, f"Expressions in {report.source}")
    if arguments.json:
        print_json({"model": recognizer.loaded.name, **report.to_dict()})
        return 0
    told = report.to_dict()
    print(f"{told['source']}: {told['pictures']} pictures, {told['seconds']:.1f} s, {len(told['tracks'])} faces")
    for track in told["tracks"]:
        share = track["mean_probabilities"][track["label"]]
        times = f"{track['from']:.1f} to {track['to']:.1f} s, {track['pictures']} pictures"
        print(f"  face {track['track']}: {times}: {track['label']} {share:.0%} in the mean")
    for path in filter(None, (arguments.out, arguments.csv, arguments.plot)):
        print(f"  wrote {path}")
    return 0
