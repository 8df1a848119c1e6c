"""How FER2013 frames a face, in units of MTCNN's box: what `face_scale` and `face_shift` of a contract should be.

python benchmarks/face_framing.py --data fer2013:fer2013.csv
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from common import write_result
from tqdm import tqdm

import kerafer
from kerafer.vision import MTCNNDetector

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
    detector, boxes = MTCNNDetector(min_confidence=0.95), []
    for image in tqdm(data.images[chosen]):
        large = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        framed = cv2.copyMakeBorder(large, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
        [faces] = detector.detect([np.repeat(framed[..., None], 3, axis=-1)])
        if faces:
            boxes.append(faces[0].box)
    x, y, w, h = (np.array(boxes, float) / SIDE).T
    scale = 1 / np.sqrt(w * h)  # the picture's side in units of the box
    shift = 0.5 - (y + h / 2 - BORDER / SIDE)  # how far the picture's centre lies below the box's

    def quartiles(values: np.ndarray) -> list[float]:
        return [round(float(v), 4) for v in np.percentile(values, [25, 50, 75])]

    write_result(
        "face_framing",
        {
            "data": data.name,
            "split": data.split,
            "seed": arguments.seed,
            "pictures": len(chosen),
            "faces_found": len(boxes),
            "face_scale_quartiles": quartiles(scale),
            "face_shift_quartiles": quartiles(shift),
            "horizontal_centre_quartiles": quartiles(x + w / 2 - BORDER / SIDE),
            "used": {
                k: v for k, v in kerafer.model_spec("ean").preprocessing.to_dict().items() if k.startswith("face")
            },
        },
    )


if __name__ == "__main__":
    main()
