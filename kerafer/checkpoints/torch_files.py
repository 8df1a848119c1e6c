"""Tensors out of PyTorch checkpoints, without PyTorch and without unpickling.

A checkpoint is a pickle that describes objects, and raw numbers beside it. A file passes from top to bottom:
`read_torch_state` chooses a reader, the reader finds the description and the numbers, `interpret` follows the
description (see `kerafer.checkpoints.pickle_stream`), `_find_state` picks the tensors, `_to_arrays` gives them their
numbers.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kerafer.checkpoints.pickle_stream import (
    AGAIN,
    SAVE,
    Inert,
    RefusedError,
    Storage,
    Tensor,
    counts,
    interpret,
    label,
)
from kerafer.files import DAMAGE

STATE_KEYS = ("state_dict", "model_state_dict", "model", "net", "model_state")
"""Where training scripts put the state inside a checkpoint, in the order they are tried."""


def read_torch_state(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch checkpoint by name, without PyTorch and without running code from the file.

    The state is the file's top mapping if that holds tensors alone, or else what lies under `state_dict`,
    `model_state_dict`, `model`, `net` or `model_state`. If all names begin with `module.`, as
    `torch.nn.DataParallel` makes them, that is left out. Nothing else is renamed or dropped.

    Args:
        path: a file that `torch.save` wrote in either of its formats (`.pth`, `.pth.tar`, `.pt`, `.bin`), or a
            `.safetensors` or `.npz` file, told by their suffix.

    Returns:
        Arrays by name in the file's order, each a copy of its own; bfloat16 becomes float32.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, of another kind, or has no state.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", **{"module.conv1.weight": np.zeros((8, 3, 3, 3), "float32")})
        ...     state = read_torch_state(f"{folder}/a.npz")
        >>> {name: array.shape for name, array in state.items()}
        {'conv1.weight': (8, 3, 3, 3)}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}. Download it, or give the path of another one.")
    data = path.read_bytes()
    pickled = _read_zip if data.startswith(b"PK") else _read_legacy
    reader = {".npz": _read_npz, ".safetensors": _read_safetensors}.get(path.suffix.lower(), pickled)
    try:
        state = reader(data)
        if not state:
            raise RefusedError("tensors", "none")
    except RefusedError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    except DAMAGE as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}. {AGAIN}") from error
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): array for name, array in state.items()}
    return state


def _read_zip(data: bytes) -> dict[str, np.ndarray]:
    """Read torch.save's format since 1.6: a zip of NAME/data.pkl and a NAME/data/KEY for each storage."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise RefusedError("a zip file of torch.save, with one NAME/data.pkl", f"{sorted(names)[:5]}", SAVE)
        root = pickles[0].removesuffix("/data.pkl")
        if f"{root}/constants.pkl" in names:
            raise RefusedError("a checkpoint of torch.save", "a TorchScript program", SAVE)

        def entry(name: str) -> bytes | None:
            if name not in names:
                return None
            info = archive.getinfo(name)
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                # PyTorch compresses nothing, and a few bytes could grow to any size
                raise RefusedError("a zip file without compression", f"{name[:60]!r} compressed", SAVE)
            return archive.read(info)

        _check_byte_order(entry(f"{root}/byteorder") in (None, b"little"))
        tensors = _find_state(interpret(io.BytesIO(entry(pickles[0])), {}))
        return _to_arrays(tensors, lambda key: entry(f"{root}/data/{key}"), len(data))


def _read_legacy(data: bytes) -> dict[str, np.ndarray]:
    """Read torch.save's format before 1.6: five pickles in a row, then each storage's count and numbers."""
    stream = io.BytesIO(data)
    try:
        magic = interpret(stream, {})
    except ValueError:
        magic = None
    if magic != 0x1950A86A20F9469CFC6C:
        advice = "Look into it: a download may have saved a web page in its place."
        raise RefusedError("a file of torch.save", f"one that begins with {data[:24]!r}", advice)
    version, system = interpret(stream, {}), interpret(stream, {})
    if version != 1001 or not isinstance(system, dict):
        raise RefusedError("version 1001 of the format", f"version {label(version)}, system {label(system)}")
    _check_byte_order(system.get("little_endian") is not False)
    storages: dict[str, Storage] = {}
    tensors = _find_state(interpret(stream, storages))
    keys = interpret(stream, {})
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise RefusedError("a list of the storages that tensors use", label(keys))

    places: dict[str, memoryview] = {}
    end = stream.tell()
    for key in keys:
        start = end + 8
        count, end = int.from_bytes(data[end:start], "little", signed=True), start + storages[key].nbytes
        if end > len(data) or count != storages[key].count:
            received = f"a count of {count} and {max(0, len(data) - start)} bytes until the file's end"
            raise RefusedError(f"{storages[key].count} numbers in storage {key[:60]!r}", received)
        places[key] = memoryview(data)[start:end]
    return _to_arrays(tensors, places.get, len(data))


def _check_byte_order(little: bool) -> None:
    if not little:
        raise RefusedError("numbers in little-endian order", "a file of a big-endian machine", "Save it on another.")


def _read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Read the .safetensors format: the header's length in 8 bytes, a JSON header, the numbers."""
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < max(8, start):
        raise RefusedError(f"a header of {start - 8} bytes", f"a file of {len(data)} bytes")
    header = {name: entry for name, entry in json.loads(data[8:start]).items() if name != "__metadata__"}
    tensors, places = {}, {}
    for name, entry in header.items():
        first, last = counts(entry["data_offsets"])
        size = counts(entry["shape"])
        stride = [math.prod(size[axis + 1 :]) for axis in range(len(size))]
        tensors[name] = Tensor(Storage(str(entry["dtype"]), name, math.prod(size)), 0, size, stride)
        places[name] = memoryview(data)[start + first : start + last]
    return _to_arrays(tensors, places.get, len(data))


def _read_npz(data: bytes) -> dict[str, np.ndarray]:
    """Read a .npz file of arrays, compressed or not."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _check_total(sum(info.file_size for info in archive.infolist()), len(data))
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        state = {name: arrays[name] for name in arrays.files}
    if not all(isinstance(array, np.ndarray) for array in state.values()):
        raise RefusedError("a .npz file of arrays", f"entries {list(state)[:5]}", "Write it with numpy.savez.")
    return state


def _find_state(top: Any) -> dict[str, Tensor]:
    """Pick the mapping of names to tensors out of what a checkpoint holds."""
    expected = "a mapping of names to tensors"
    if not isinstance(top, dict):
        whole = "a whole pickled object, of " if isinstance(top, Inert) else ""
        raise RefusedError(expected, whole + label(top), SAVE)
    inner = {key: top[key] for key in STATE_KEYS if key in top}
    for place in (top, *inner.values()):
        if isinstance(place, dict) and place and all(map(_is_named_tensor, place, place.values())):
            return place
    received = ", ".join(f"{label(key)}: {label(value)}" for key, value in list(top.items())[:20])
    for name, place in inner.items():
        items = place.items() if isinstance(place, dict) else ()
        odd = [f"{label(key)}: {label(value)}" for key, value in items if not _is_named_tensor(key, value)]
        received += f"; in {name!r}: {', '.join(odd[:3])}" if odd else ""
    expected += f" as the whole file or under one of {', '.join(STATE_KEYS)}"
    raise RefusedError(expected, received or "nothing", SAVE)


def _is_named_tensor(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _to_arrays(
    tensors: dict[str, Tensor], read: Callable[[str], bytes | memoryview | None], file_size: int
) -> dict[str, np.ndarray]:
    """Give tensors their numbers, after checking that they lie inside their storages and cannot fill the memory.

    `read` gives a storage's bytes by its key, or None.
    """
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    _check_total(sum(storage.nbytes for storage in storages.values()), file_size)
    numbers = {key: _decode(storage, read(key)) for key, storage in storages.items()}
    state: dict[str, np.ndarray] = {}
    total = 0
    for name, tensor in tensors.items():
        flat = numbers[tensor.storage.key]
        (offset,), size, stride = counts([tensor.offset]), counts(tensor.size), counts(tensor.stride)
        # A stride of 0 repeats numbers, so a tensor can be larger than its storage
        total += math.prod(size) * flat.itemsize
        _check_total(total, file_size)
        if 0 in size:
            state[name] = np.zeros(size, flat.dtype)
            continue
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if last >= len(flat):
            raise RefusedError(f"{name[:60]!r} within the {len(flat)} numbers of its storage", f"number {last}")
        # The step of an axis of length 1 means nothing and may be anything
        steps = [step * flat.itemsize if length > 1 else 0 for length, step in zip(size, stride, strict=True)]
        state[name] = np.ndarray(size, flat.dtype, flat, offset * flat.itemsize, steps).copy()
    return state


def _decode(storage: Storage, raw: bytes | memoryview | None) -> np.ndarray:
    """Give a storage's bytes as numbers of a type that numpy has."""
    if raw is None or len(raw) != storage.nbytes:
        received = "none" if raw is None else f"{len(raw)} bytes"
        raise RefusedError(f"{storage.nbytes} bytes for storage {storage.key[:60]!r}", received)
    flat = np.frombuffer(raw, storage.dtype)
    if storage.kind in ("BFloat16Storage", "BF16"):
        return (flat.astype("<u4") << 16).view("<f4")
    return flat.astype(bool) if storage.kind in ("BoolStorage", "BOOL") else flat


def _check_total(nbytes: int, file_size: int) -> None:
    limit = 4 * file_size + 2**24  # room for shared numbers and wider types
    if nbytes > limit:
        raise RefusedError(f"at most {limit:,} bytes in a file of {file_size:,}", f"{nbytes:,}", SAVE)
