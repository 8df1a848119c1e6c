"""Videos of portraits that move over a pattern: one person with two expressions."""

import cv2
import numpy as np
from PIL import Image

from kerafer.data.samples import PORTRAIT_FACE, portrait

RATE, COUNT = 25, 50
SHRINK = 0.4
"""The portrait of 512 x 600 pixels in pictures of 640 x 480."""
MOUTH = (265, 266)
"""Of the portrait."""


def place(face, number):
    """Return where the upper left corner of one of the two portraits lies in a picture."""
    return (20 + 3 * number, 10 + number) if face == 0 else (400 - 2 * number, 200 - 2 * number)


def expected_middle(face, number):
    """Return where the middle of one of the two faces lies in a picture."""
    x, y, w, h = PORTRAIT_FACE
    left, top = place(face, number)
    middle = x + w / 2 if face == 0 else 512 - x - w / 2
    return left + SHRINK * middle, top + SHRINK * (y + h / 2)


def smiling():
    """Return the portrait with the corners of its mouth drawn up: EAN says happy, and neutral of the portrait."""
    _, _, w, h = PORTRAIT_FACE
    y, x = np.mgrid[:600, :512].astype(np.float32)
    across, down = (x - MOUTH[0]) / (0.3 * w), (y - MOUTH[1]) / (0.3 * h)
    bent = 0.3 * h * across**2 * np.exp(-(down**2) - (across / 1.3) ** 4)
    return cv2.remap(portrait(), x, y + bent.astype(np.float32), cv2.INTER_LINEAR)


def pictures(count=COUNT, faces=(0, 1)):
    """Yield pictures in which the portrait and its smiling mirror image move over a pattern."""
    size = (round(512 * SHRINK), round(600 * SHRINK))
    small = [np.asarray(Image.fromarray(image).resize(size)) for image in (portrait(), smiling()[:, ::-1])]
    pattern = np.random.default_rng(0).integers(60, 160, (24, 32, 3)).astype(np.uint8)
    background = cv2.resize(pattern, (640, 480), interpolation=cv2.INTER_CUBIC)
    for number in range(count):
        image = background.copy()
        for face in faces:
            x, y = place(face, number)
            image[y : y + size[1], x : x + size[0]] = small[face]
        yield image


def write(path, images, rate=RATE, codec="mp4v"):
    """Write pictures, RGB, into a video and return its path."""
    writer = None
    for image in images:
        if writer is None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, image.shape[1::-1])
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def read(path):
    """Return the pictures of a video, RGB."""
    capture, images = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        images.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB))
    return images


def with_sample_times(path, durations):
    """Give the pictures of an mp4 file, as OpenCV writes it, durations of their own, in units of its first one's."""
    content = bytearray(path.read_bytes().replace(b"edts", b"free"))  # an edit list would cut it at its old length
    times = content.index(b"stts") - 4  # length, "stts", version and flags, entries, then (pictures, duration) each
    unit = int.from_bytes(content[times + 20 : times + 24], "big")
    assert int.from_bytes(content[times + 12 : times + 16], "big") == 1
    entries = b"".join(v.to_bytes(4, "big") for d in durations for v in (1, d * unit))
    box = (16 + len(entries)).to_bytes(4, "big") + b"stts\0\0\0\0" + len(durations).to_bytes(4, "big") + entries
    # the boxes around it grow with it; the pictures lie before all of them
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        start = content.index(name) - 4
        length = int.from_bytes(content[start : start + 4], "big") + len(box) - 24
        content[start : start + 4] = length.to_bytes(4, "big")
    content[times : times + 24] = box
    path.write_bytes(content)
    return path
