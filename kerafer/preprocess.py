"""The one contract from a picture to a model's input.

Training, the recognizer, exported bundles and the Android code all follow the `Preprocessing` of a model:

    face box -> square around it -> resize to `resize` -> centre crop to `size` -> RGB / 255 -> (x - mean) / std

Resizing is done in float32: area averaging when the picture shrinks, bilinear with half-pixel centres when it grows.
Its result is rounded to whole values, halves up, since that is what a bitmap and an int8 model's input hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

FER2013_FRAMING = {"face_scale": 1.09, "face_shift": -0.01}
"""The square around a detected face that comes nearest to how FER2013 frames one: results/face_framing.json."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a model's input; the same JSON is read wherever a model runs.

    Args:
        size: (height, width) of the model's input.
        resize: (height, width) that the picture is resized to before the centre crop to `size`.
        mean: per RGB channel, subtracted from values in [0, 1].
        std: per RGB channel, divides afterwards.
        face_scale: side of the square cut around a detected face, in units of the geometric mean of the box's sides.
        face_shift: downward shift of the square's centre from the box's centre, in units of the square's side.
        aligned: whether the square is turned until the eyes are level, as `kerafer data align` does for training.

    Raises:
        ValueError: if a size is not positive, `resize` is smaller than `size`, or a number is not finite.

    Example:
        >>> contract = Preprocessing(size=(44, 44), resize=(48, 48))
        >>> contract(np.zeros((60, 50, 3), np.uint8)).shape
        (44, 44, 3)
    """

    size: tuple[int, int]
    resize: tuple[int, int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    face_scale: float = 1.0
    face_shift: float = 0.0
    aligned: bool = False

    def __post_init__(self) -> None:
        for field in ("size", "resize"):
            value = getattr(self, field)
            if len(value) != 2 or any(not isinstance(v, int) or v < 1 for v in value):
                raise ValueError(f"`{field}` must be two positive integers (height, width). Received: {value!r}")
        if self.resize[0] < self.size[0] or self.resize[1] < self.size[1]:
            raise ValueError(
                f"`resize` must be at least `size` on both axes. Received: resize={self.resize}, size={self.size}"
            )
        numbers = (*self.mean, *self.std, self.face_scale, self.face_shift)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(math.isfinite(v) for v in numbers):
            raise ValueError(
                "`mean` and `std` must be three finite numbers each, `face_scale` and `face_shift` one. "
                f"Received: mean={self.mean}, std={self.std}, face_scale={self.face_scale}, "
                f"face_shift={self.face_shift}"
            )
        if min(self.std) <= 0 or self.face_scale <= 0:
            raise ValueError(
                f"`std` and `face_scale` must be positive. Received: std={self.std}, face_scale={self.face_scale}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Preprocessing:
        """Return the contract that `to_dict` wrote.

        Raises:
            ValueError: if a field is missing or unknown.
        """
        fields = set(cls.__dataclass_fields__)
        if set(value) - fields or not {"size", "resize"} <= set(value):
            raise ValueError(
                f"A preprocessing contract has the fields {sorted(fields)}. Received: {sorted(value)}. "
                "Was the file written by another version of kerafer?"
            )
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})

    def resized_to(self, size: tuple[int, int]) -> Preprocessing:
        """Return the same contract for another input size, keeping the share that the centre crop keeps."""
        ratios = (self.resize[0] / self.size[0], self.resize[1] / self.size[1])
        resize = (max(size[0], round(size[0] * ratios[0])), max(size[1], round(size[1] * ratios[1])))
        return replace(self, size=size, resize=resize)

    def camera(self) -> Preprocessing:
        """Return the contract of files that take camera bytes: the same picture, values of 0 to 1 not scaled further.

        Example:
            >>> Preprocessing(size=(44, 44), resize=(48, 48), std=(0.5, 0.5, 0.5)).camera().is_identity
            True
        """
        return replace(self, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def face_square(self, box: Sequence[float]) -> tuple[float, float, float]:
        """Return the square cut for a face box.

        Args:
            box: (x, y, width, height) in pixels, x to the right and y down.

        Returns:
            (left, top, side) in pixels; it may reach beyond the picture.
        """
        x, y, w, h = (float(v) for v in box)
        if w <= 0 or h <= 0:
            raise ValueError(f"`box` must have a positive width and height. Received: box={tuple(box)}")
        side = self.face_scale * math.sqrt(w * h)
        return x + w / 2 - side / 2, y + h / 2 - side / 2 + self.face_shift * side, side

    def crop_face(self, image: np.ndarray, box: Sequence[float]) -> np.ndarray:
        """Cut the square around a face; pixels beyond the picture repeat its edge.

        Args:
            image: (height, width, 3) RGB or (height, width) gray, uint8.
            box: (x, y, width, height) in pixels.

        Returns:
            (side, side, 3) or (side, side), uint8, with the side rounded to whole pixels, at least 1.
        """
        left, top, side = self.face_square(box)
        x0, y0, n = round(left), round(top), max(1, round(side))
        rows = np.clip(np.arange(y0, y0 + n), 0, image.shape[0] - 1)
        columns = np.clip(np.arange(x0, x0 + n), 0, image.shape[1] - 1)
        return image[rows[:, None], columns[None, :]]

    def crop_aligned(
        self, image: np.ndarray, box: Sequence[float], left_eye: Sequence[float], right_eye: Sequence[float]
    ) -> np.ndarray:
        """Cut the square around a face, turned about the box's centre so that the line between the eyes is level.

        With level eyes this is `crop_face` exactly; otherwise pixels are interpolated bilinearly. Pixels beyond the
        picture repeat its edge.

        Args:
            image: (height, width, 3) RGB or (height, width) gray, uint8.
            box: (x, y, width, height) in pixels.
            left_eye: (x, y) in pixels of the eye on the left as the viewer sees it.
            right_eye: of the other eye.

        Returns:
            (side, side, 3) or (side, side), uint8, with the side rounded to whole pixels, at least 1.

        Raises:
            ValueError: if the box is empty, or both eyes lie in one place.

        Example:
            >>> image = np.zeros((60, 60), np.uint8)
            >>> image[20, 20:41] = 255  # both eyes and the line between them
            >>> contract = Preprocessing(size=(20, 20), resize=(20, 20))
            >>> crop = contract.crop_aligned(np.rot90(image), (20, 20, 20, 20), (20, 40), (20, 20))
            >>> int(crop.any(axis=1).sum())  # an upright line has become a row
            1
        """
        import cv2

        angle = eye_angle(left_eye, right_eye)
        left, top, side = self.face_square(box)
        x0, y0, n = round(left), round(top), max(1, round(side))
        # whole numbers are the middles of pixels, so the box's centre lies half a pixel before x + width / 2
        cx, cy = (float(box[0]) + float(box[2]) / 2 - 0.5, float(box[1]) + float(box[3]) / 2 - 0.5)
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turn = np.array([[cosine, -sine], [sine, cosine]])
        origin = turn @ np.array([x0 - cx, y0 - cy]) + np.array([cx, cy])
        back = np.column_stack([turn, origin])  # (2, 3): from the crop's pixels to the picture's
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, back, (n, n), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """Resize and centre-crop a picture, without scaling its values.

        Args:
            image: (height, width) or (height, width, 1) gray, or (height, width, 3) RGB; uint8 or float, 0 to 255.

        Returns:
            (size[0], size[1], 3) uint8.
        """
        image = resized(image, self.resize)
        top, left = self.crop_offset()
        return np.ascontiguousarray(image[top : top + self.size[0], left : left + self.size[1]])

    def batch(self, images: np.ndarray) -> np.ndarray:
        """Return the model's input for each picture of an array, as calling the contract gives it for one.

        Args:
            images: (n, height, width) gray or (n, height, width, 3) RGB, uint8.

        Returns:
            (n, size[0], size[1], 3) float32.
        """
        if images.shape[1:3] != tuple(self.resize):
            return np.stack([self(image) for image in images])
        return self.batch_of_crops(self.centre(images))

    def centre(self, images: np.ndarray) -> np.ndarray:
        """Cut the centre of the model's size from pictures of the size `resize`, (n, height, width[, 3])."""
        (top, left), (height, width) = self.crop_offset(), self.size
        return images[:, top : top + height, left : left + width]

    def batch_of_crops(self, crops: np.ndarray) -> np.ndarray:
        """Scale pictures of the model's size, (n, height, width[, 3]) uint8, gray repeated on three channels."""
        if crops.ndim == 3:
            crops = np.repeat(crops[..., None], 3, axis=-1)  # (n, h, w) -> (n, h, w, 3)
        return self.scale(crops)

    def crop_offset(self) -> tuple[int, int]:
        """Return (top, left) of the centre crop, rounded down."""
        return (self.resize[0] - self.size[0]) // 2, (self.resize[1] - self.size[1]) // 2

    def scale(self, pixels: np.ndarray) -> np.ndarray:
        """Turn RGB values of 0 to 255 into the model's float32 input: (x / 255 - mean) / std."""
        x = np.asarray(pixels, np.float32) / np.float32(255.0)
        if self.is_identity:
            return x
        return (x - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)

    @property
    def is_identity(self) -> bool:
        """True where mean and std change nothing, so that camera bytes can feed an int8 model as they are."""
        return self.mean == (0.0, 0.0, 0.0) and self.std == (1.0, 1.0, 1.0)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the model's input for one picture, (size[0], size[1], 3) float32."""
        return self.scale(self.pixels(image))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a picture by the contract's rule, which every client follows.

    Args:
        image: (height, width) or (height, width, 1) gray, or (height, width, 3) RGB; uint8 or float, 0 to 255.
        size: (height, width) of the result.

    Returns:
        (size[0], size[1], 3) uint8.
    """
    import cv2

    image = as_rgb(image).astype(np.float32)
    height, width = size
    if image.shape[:2] != (height, width):
        shrinks = image.shape[0] >= height and image.shape[1] >= width
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.clip(np.floor(image + np.float32(0.5)), 0, 255).astype(np.uint8)


def eye_angle(left_eye: Sequence[float], right_eye: Sequence[float]) -> float:
    """Return the slope of the line between the eyes in degrees, positive where the right one lies lower.

    Args:
        left_eye: (x, y) in pixels of the eye on the left as the viewer sees it, y down.
        right_eye: of the other eye.

    Raises:
        ValueError: if both lie in one place.

    Example:
        >>> eye_angle((10, 20), (30, 40))
        45.0
    """
    dx, dy = float(right_eye[0]) - float(left_eye[0]), float(right_eye[1]) - float(left_eye[1])
    if not (math.isfinite(dx) and math.isfinite(dy)) or dx == dy == 0:
        raise ValueError(
            "`left_eye` and `right_eye` must be two different places. "
            f"Received: left_eye={tuple(left_eye)}, right_eye={tuple(right_eye)}"
        )
    return math.degrees(math.atan2(dy, dx))


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return (height, width, 3) of a gray or RGB picture; gray is repeated on the three channels.

    Raises:
        ValueError: for another rank or channel count, or an empty picture.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or 0 in image.shape:
        raise ValueError(
            "`image` must be (height, width), (height, width, 1) or (height, width, 3), not empty. "
            f"Received: shape {image.shape}"
        )
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
