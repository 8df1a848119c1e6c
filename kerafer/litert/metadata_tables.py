"""The tables of LiteRT metadata, by the field numbers of the public schema `metadata_schema.fbs`, version 1.5.0.

Written from a card; read with every place checked before it is looked at.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from flatbuffers import number_types

from kerafer import __version__
from kerafer.card import ModelCard
from kerafer.litert.slim import SharingBuilder

IDENTIFIER = b"M001"
LABELS_FILE = "labels.txt"
CARD_FILE = "kerafer.json"

MIN_PARSER_VERSION = "1.0.0"
"""Version of the schema that has every field written here."""

# enumerations and unions of the schema
RGB = 1
FEATURE, IMAGE = 1, 2
NORMALIZATION = 1
AXIS_LABELS = 2


class Table:
    """One table of a flatbuffer.

    Args:
        data: the whole buffer.
        at: where the table starts, in bytes.

    Raises:
        ValueError: if it does not lie inside the buffer; so do all methods.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.fields = at - self._read("<i", at)
        self.size = self._read("<H", self.fields)

    def text(self, slot: int) -> str:
        """Return a text, empty where the field is missing."""
        at = self._target(slot)
        if at is None:
            return ""
        length = self._length(at, 1)
        try:
            return self.data[at + 4 : at + 4 + length].decode("utf-8")
        except UnicodeDecodeError as error:
            raise _damaged(f"field {slot} is no text") from error

    def byte(self, slot: int) -> int:
        """Return a small number, 0 where the field is missing."""
        at = self._place(slot)
        return 0 if at is None else self._read("<B", at)

    def floats(self, slot: int) -> tuple[float, ...]:
        """Return numbers, none where the field is missing."""
        at = self._target(slot)
        if at is None:
            return ()
        values = tuple(self._read("<f", at + 4 + 4 * i) for i in range(self._length(at, 4)))
        if not all(map(math.isfinite, values)):
            raise _damaged(f"field {slot} has numbers that are not finite")
        return values

    def table(self, slot: int) -> Table | None:
        """Return the table that a field points at, or None."""
        at = self._target(slot)
        return None if at is None else Table(self.data, at)

    def tables(self, slot: int) -> list[Table]:
        """Return the tables of a list, none where the field is missing."""
        at = self._target(slot)
        if at is None:
            return []
        places = [at + 4 + 4 * i for i in range(self._length(at, 4))]
        return [Table(self.data, place + self._read("<I", place)) for place in places]

    def _place(self, slot: int) -> int | None:
        entry = 4 + 2 * slot
        if entry + 2 > self.size:
            return None
        offset = self._read("<H", self.fields + entry)
        return self.at + offset if offset else None

    def _target(self, slot: int) -> int | None:
        place = self._place(slot)
        return None if place is None else place + self._read("<I", place)

    def _length(self, at: int, width: int) -> int:
        length = self._read("<I", at)
        if at + 4 + length * width > len(self.data):
            raise _damaged("a list is longer than the metadata")
        return length

    def _read(self, form: str, at: int) -> Any:
        if not 0 <= at <= len(self.data) - struct.calcsize(form):
            raise _damaged(f"it points at byte {at} of {len(self.data)}")
        return struct.unpack_from(form, self.data, at)[0]


def root(data: bytes) -> Table:
    """Return the topmost table of a metadata buffer.

    Raises:
        ValueError: if the buffer lacks the mark `M001`, or is damaged.
    """
    if data[4:8] != IDENTIFIER:
        raise _damaged(f"the mark {IDENTIFIER.decode()} is missing")
    return Table(data, struct.unpack_from("<I", data)[0])


def write_tables(card: ModelCard, author: str, uint8_input: bool, uint8_output: bool) -> bytes:
    """Return the metadata of a model with one picture in and one vector of probabilities out.

    Args:
        card: of the model.
        author: who made the weights, or empty.
        uint8_input: whether the file takes bytes; otherwise it takes normalised float32 values.
        uint8_output: whether it gives bytes.
    """
    contract = card.preprocessing
    builder = SharingBuilder(4096)

    def floats(values: Any) -> int:
        return builder.CreateNumpyVector(np.asarray(values, np.float32))

    def vector(*offsets: int) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    def table(fields: Mapping[int, Any]) -> int:
        """Write a table: text and (flags, number) by field number; whole numbers are offsets."""
        fields = {k: builder.CreateString(v) if isinstance(v, str) else v for k, v in fields.items() if v != ""}
        builder.StartObject(max(fields, default=-1) + 1)
        for slot, value in fields.items():
            if isinstance(value, tuple):
                builder.PrependSlot(value[0], slot, value[1], 0)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return builder.EndObject()

    def small(value: int) -> tuple[Any, int]:
        return number_types.Uint8Flags, value

    # values of 0 to 255 to the float input: (x / 255 - mean) / std = (x - 255 mean) / (255 std)
    mean, std = (255.0 * np.array(part) for part in (contract.mean, contract.std))
    if len(set(mean)) == len(set(std)) == 1:
        mean, std = mean[:1], std[:1]  # one for all channels
    lowest, highest = ([0.0], [255.0]) if uint8_input else ((0.0 - mean) / std, (255.0 - mean) / std)
    height, width = contract.size
    pixels = table({0: (number_types.Uint32Flags, width), 1: (number_types.Uint32Flags, height)})
    properties = table({0: small(RGB), 1: pixels})
    normalization = table({0: floats(mean), 1: floats(std)})
    image = table(
        {
            0: "image",
            1: f"One face, RGB, {height} x {width} pixels.",
            3: table({0: small(IMAGE), 1: properties}),
            4: vector(table({0: small(NORMALIZATION), 1: normalization})),
            5: table({0: floats(highest), 1: floats(lowest)}),
        }
    )
    labels = table({0: LABELS_FILE, 1: "Classes in output order.", 2: small(AXIS_LABELS)})
    scores = table(
        {
            0: "predictions",
            1: "Probability of each expression.",
            3: table({0: small(FEATURE), 1: table({})}),
            5: table({0: floats([255.0 if uint8_output else 1.0]), 1: floats([0.0])}),
            6: vector(labels),
        }
    )
    top = table(
        {
            0: card.title,
            1: "\n".join([f"Facial expression of one face. {card.paper}.", *map(_one_line, card.notes)]),
            2: __version__,
            3: vector(table({2: vector(image), 3: vector(scores)})),
            4: author,
            5: "\n".join(f"{part}: {_one_line(terms)}" for part, terms in card.licences.items()),
            6: vector(table({0: CARD_FILE, 1: "The model's card, for kerafer."})),
            7: MIN_PARSER_VERSION,
        }
    )
    builder.Finish(top, IDENTIFIER)
    return bytes(builder.Output())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _damaged(what: str) -> ValueError:
    return ValueError(f"the metadata is damaged: {what}. Export the file again.")
