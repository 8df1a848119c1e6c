"""How FER2013 frames a face, in units of a detector's box: results/face_framing.json.

python benchmarks/face_framing.py --data fer2013:fer2013.csv

MTCNN's figures are what `face_scale` and `face_shift` of a contract should be; from BlazeFace's follow `box_scale` and
`box_shift` of each of its networks, which turn its boxes into MTCNN's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from common import write_result
from tqdm import tqdm

import kerafer
from kerafer.vision import MTCNNDetector
from kerafer.vision.blazeface import Network, merged, read_card

SIDE, BORDER = 192, 48  # MTCNN wants larger faces, and boxes may reach beyond the picture


def main() -> None:
    """Detect faces in training pictures and compare the boxes with the whole picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = kerafer.load_data(arguments.data, "train")
    chosen = np.random.default_rng(arguments.seed).permutation(len(data))[: arguments.pictures]
    pictures = [framed(image) for image in data.images[chosen]]
    mtcnn = framing(by_mtcnn(), pictures)
    networks = []
    for entry in read_card()["networks"]:
        found = framing(by_blazeface(entry), pictures)
        scale, shift = found["face_scale_quartiles"][1], found["face_shift_quartiles"][1]
        networks.append(
            {
                "file": entry["file"],
                **found,
                "box_scale": round(scale / mtcnn["face_scale_quartiles"][1], 3),
                "box_shift": round((shift - mtcnn["face_shift_quartiles"][1]) * scale, 3),
            }
        )
    contract = kerafer.model_spec("ean").preprocessing.to_dict()
    write_result(
        "face_framing",
        {
            "data": data.name,
            "split": data.split,
            "seed": arguments.seed,
            "pictures": len(chosen),
            **mtcnn,
            "used": {k: v for k, v in contract.items() if k.startswith("face")},
            "blazeface": networks,
        },
    )


def framed(image: np.ndarray) -> np.ndarray:
    """Return a picture of the data set, enlarged and with its edge repeated around it."""
    large = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    wider = cv2.copyMakeBorder(large, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
    return np.repeat(wider[..., None], 3, axis=-1)


def by_mtcnn() -> Callable[[np.ndarray], list[Any]]:
    """Return what gives MTCNN's boxes, the surest first."""
    detector = MTCNNDetector(min_confidence=0.95)
    return lambda picture: [face.box for face in detector.detect([picture])[0]]


def by_blazeface(entry: dict[str, Any]) -> Callable[[np.ndarray], list[Any]]:
    """Return what gives one BlazeFace network's own boxes, the surest first."""
    card = read_card()
    network = Network({**entry, "box_scale": 1.0, "box_shift": 0.0}, threads=1)

    def boxes(picture: np.ndarray) -> list[Any]:
        found = merged(network.candidates(picture, card["min_confidence"]), card["overlap"])
        return [(x - w / 2, y - h / 2, w, h) for x, y, w, h in found.boxes]

    return boxes


def framing(find: Callable[[np.ndarray], list[Any]], pictures: list[np.ndarray]) -> dict[str, Any]:
    """Return how the whole picture lies to the box that a detector is surest of."""
    boxes = [found[0] for found in map(find, tqdm(pictures)) if found]
    x, y, w, h = (np.array(boxes, float) / SIDE).T
    scale = 1 / np.sqrt(w * h)  # the picture's side in units of the box
    shift = 0.5 - (y + h / 2 - BORDER / SIDE)  # how far the picture's centre lies below the box's

    def quartiles(values: np.ndarray) -> list[float]:
        return [round(float(v), 4) for v in np.percentile(values, [25, 50, 75])]

    return {
        "faces_found": len(boxes),
        "face_scale_quartiles": quartiles(scale),
        "face_shift_quartiles": quartiles(shift),
        "horizontal_centre_quartiles": quartiles(x + w / 2 - BORDER / SIDE),
    }


if __name__ == "__main__":
    main()
