"""A checkpoint's pickle followed without unpickling: plain data, inert names, and records of tensors.

Unpickling runs whatever code a pickle names, so this module never does: `pickletools.genops` splits the pickle into
instructions, and a small stack machine follows those that build plain data. Classes and functions are inert names and
their objects inert labels; only PyTorch's few functions that rebuild tensors have a meaning, which is ours. So
checkpoints with objects of classes that are not installed can be read too.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from kerafer.files import DAMAGE

# The class of a storage in a pickle, the name in a .safetensors file, numpy's type
_TYPES = (
    ("DoubleStorage", "F64", "<f8"),
    ("FloatStorage", "F32", "<f4"),
    ("HalfStorage", "F16", "<f2"),
    ("BFloat16Storage", "BF16", "<u2"),  # numpy has none: the upper half of a float32
    ("LongStorage", "I64", "<i8"),
    ("IntStorage", "I32", "<i4"),
    ("ShortStorage", "I16", "<i2"),
    ("CharStorage", "I8", "<i1"),
    ("ByteStorage", "U8", "<u1"),
    ("BoolStorage", "BOOL", "<u1"),
)
_DTYPES = {name: dtype for *names, dtype in _TYPES for name in names}

AGAIN = "The file is damaged or not whole: copy or download it again."
SAVE = "With PyTorch, load it and save its tensors alone: torch.save(model.state_dict(), path)."


class RefusedError(ValueError):
    """What is wrong with a file; `read_torch_state` puts the file's name before it."""

    def __init__(self, expected: str, received: str, advice: str = AGAIN) -> None:
        super().__init__(f"expected {expected}. Received: {received}. {advice}")


@dataclass(frozen=True, eq=False)  # so that hashing or comparing one never looks inside
class Inert:
    """A class or function, never looked up, or an object that one would have made: only the name is kept."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file, which tensors may share."""

    kind: str
    key: str
    count: int

    @property
    def dtype(self) -> np.dtype:
        """Its numbers' type, as they lie in the file."""
        if self.kind not in _DTYPES:
            raise RefusedError("floats, integers or booleans of PyTorch", self.kind[:60], "Save them as float32.")
        return np.dtype(_DTYPES[self.kind])

    @property
    def nbytes(self) -> int:
        """Its length in the file."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage. `offset`, `size` and `stride` count numbers; nothing has checked them yet."""

    storage: Storage
    offset: Any
    size: Any
    stride: Any


# What protocols 1 to 5 write; PyTorch cannot use protocol 0
_ARGUMENTS = {  # instructions that push what they carry
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "BINFLOAT"),
    *("BINSTRING", "SHORT_BINSTRING", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_CONTAINERS = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}  # a set hashes, which could nest without end


def interpret(stream: BinaryIO, storages: dict[str, Storage]) -> Any:
    """Follow one pickle's instructions with plain data, inert names and our own tensors; nothing is ever called.

    `stream` is left at the byte after the pickle's end, and `storages` filled with those it names, by key.
    """
    stack: list[Any] = []
    marks: list[int] = []  # heights of the stack
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        height = marks.pop()
        items = stack[height:]
        del stack[height:]
        return items

    last = "the beginning"
    try:
        for opcode, argument, position in pickletools.genops(stream):
            last = f"{opcode.name} at byte {position}"
            match opcode.name:
                case name if name in _ARGUMENTS:
                    stack.append(argument)
                case name if name in _CONSTANTS:
                    stack.append(_CONSTANTS[name])
                case name if name in _CONTAINERS:
                    stack.append(_CONTAINERS[name]())
                case "PROTO" | "FRAME":
                    pass
                case "MARK":
                    marks.append(len(stack))
                case "POP":
                    (marks if marks and marks[-1] == len(stack) else stack).pop()
                case "POP_MARK":
                    since_mark()
                case "BINPUT" | "LONG_BINPUT":
                    memo[argument] = stack[-1]
                case "MEMOIZE":
                    memo[len(memo)] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[argument])
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    length = int(opcode.name[-1])
                    stack[-length:] = [tuple(stack[-length:])]
                case "TUPLE":
                    stack.append(tuple(since_mark()))
                case "FROZENSET":
                    stack.append(since_mark())
                case "APPEND":
                    item = stack.pop()
                    _add_items(stack[-1], [item])
                case "SETITEM":
                    value, key = stack.pop(), stack.pop()
                    _add_items(stack[-1], [key, value])
                case "APPENDS" | "ADDITEMS" | "SETITEMS":
                    items = since_mark()
                    _add_items(stack[-1], items)
                case "GLOBAL":
                    stack.append(Inert(argument.replace(" ", ".")))
                case "STACK_GLOBAL":
                    name, module = stack.pop(), stack.pop()
                    stack.append(Inert(module[:99] + "." + name[:99]))  # cut: one long name may come many times
                case "REDUCE" | "NEWOBJ":
                    arguments, function = stack.pop(), stack.pop()
                    stack.append(_rebuild(function, arguments))
                case "NEWOBJ_EX":
                    stack[-3:] = [Inert(label(stack[-3]))]
                case "BUILD":
                    stack.pop()  # an object's attributes; an inert one needs none
                case "BINPERSID":
                    stack.append(_follow_persistent_id(stack.pop(), storages))
                case "STOP":
                    return stack.pop()
                case _:
                    raise RefusedError("a pickle as torch.save writes it", last, SAVE)
    except RefusedError:
        raise
    except DAMAGE as error:
        raise RefusedError("a whole pickle", f"{type(error).__name__} after {last}") from error


def _add_items(target: Any, items: list[Any]) -> Any:
    """Add to a list, or alternating keys and values to a dict; an inert object stays as it is."""
    if isinstance(target, list):
        target += items
    elif isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Other keys become labels: hashing them may fail, nest too deeply or take long
            target[key if isinstance(key, str) else Inert(label(key))] = value
    return target


def _rebuild(function: Any, arguments: Any) -> Any:
    """Give the result of a call: a few functions have a meaning here, everything else becomes inert."""
    match function.name if isinstance(function, Inert) else None:
        case "collections.OrderedDict":
            pairs = arguments[0] if arguments else []  # Python 2 gives the items here, Python 3 adds them later
            items = [item for key, value in pairs for item in (key, value)]
            del pairs[:]  # each list serves once: a small file could else have a long one copied again and again
            return _add_items({}, items)
        case "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2":
            storage, offset, size, stride = arguments[:4]
            if isinstance(storage, Storage):
                return Tensor(storage, offset, size, stride)
        case "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state":
            return arguments[0]
    return Inert(label(function))


def _follow_persistent_id(identity: Any, storages: dict[str, Storage]) -> Any:
    """Give what a persistent id names: a storage, or in old files a class beside its source."""
    match identity:
        case ("module", Inert() as cls, *_):
            return cls
        case (
            ("storage", Inert(name=kind), str() as key, _, count)
            | ("storage", Inert(name=kind), str() as key, _, count, None)  # in old files, the last could be a part
        ):
            short = kind.rpartition(".")[2]  # torch.FloatStorage, or torch.cuda.FloatStorage in old files
            storage = Storage(short if short in _DTYPES else kind, key, *counts([count]))
            if storages.setdefault(key, storage) != storage:
                raise RefusedError(f"one type and length of storage {key[:60]!r}", "several")
            return storage
    raise RefusedError("a persistent id of a whole storage", label(identity), SAVE)


def label(value: Any) -> str:
    """Name a value in a message; a container not by its repr, which could be of any length and depth."""
    match value:
        case Inert(name=name):
            return name[:60]
        case int() | float():
            return repr(value)[:60]
        case str():
            return repr(value[:60])
        case dict() | list() | tuple():
            return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__.lower()}"


def counts(values: Any) -> list[int]:
    """Check lengths, steps or offsets: whole numbers, small enough to be multiplied."""
    values = list(values)
    if len(values) > 32 or not all(isinstance(value, int) and 0 <= value < 2**48 for value in values):
        raise RefusedError("at most 32 lengths or offsets of 0 or more", ", ".join(map(label, values[:8])))
    return values
