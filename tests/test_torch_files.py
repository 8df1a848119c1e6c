"""PyTorch checkpoints: real ones read exactly, damaged and hostile ones refused, and no code from any of them run."""

import io
import json
import pickle
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kerafer.checkpoints.torch_files import STATE_KEYS, read_torch_state

FIXTURES = Path(__file__).parent / "fixtures"
CHECKPOINTS = ("torch_zip.pth", "torch_legacy.pth.tar", "torch_odd.pt")
FORMATS = ("zip", "legacy")


class Raw(bytes):
    """Instructions of a pickle that are already written."""

    __slots__ = ()


def ops(value):
    """Return the instructions that build a value, with PyTorch's names in it but without PyTorch."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return Raw(b"}(" + b"".join(ops(key) + ops(item) for key, item in value.items()) + b"u")
    if isinstance(value, tuple | list):
        begin, end = (b"(", b"t") if isinstance(value, tuple) else (b"](", b"e")
        return Raw(begin + b"".join(ops(item) for item in value) + end)
    return Raw(pickle.dumps(value, 2)[2:-1])


def named(name):
    return Raw(f"c{name}\n".replace(" ", "\n").encode())


def call(name, *arguments):
    return Raw(named(name) + ops(arguments) + b"R")


def storage(key="0", count=6, kind="torch FloatStorage", rest=()):
    return Raw(ops(("storage", named(kind), key, "cuda:0", count, *rest)) + b"Q")


def tensor(numbers=None, offset=0, size=(2, 3), stride=(3, 1)):
    return call("torch._utils _rebuild_tensor_v2", numbers or storage(), offset, size, stride, False, {})


NUMBERS = {"0": np.arange(6, dtype="<f4")}


def write(path, layout, top, numbers=NUMBERS, compression=zipfile.ZIP_STORED, **entries):
    """Write a checkpoint of a value or of instructions, as torch.save lays it out."""
    path.parent.mkdir(exist_ok=True)
    top = b"\x80\x02" + ops(top) + b"."
    if layout == "zip":
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("a/data.pkl", top)
            for key, array in numbers.items():
                archive.writestr(f"a/data/{key}", array.tobytes())
            for name, content in entries.items():
                archive.writestr(f"a/{name}", content)
        return path
    head = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, **entries})
    parts = [*(pickle.dumps(part, 2) for part in head), top, pickle.dumps(list(numbers), 2)]
    parts += [len(array).to_bytes(8, "little") + array.tobytes() for array in numbers.values()]
    path.write_bytes(b"".join(parts))
    return path


def refused(path, words):
    with pytest.raises(ValueError, match=words) as caught:
        read_torch_state(path)
    assert str(path) in str(caught.value)
    assert "Received" in str(caught.value) or "damaged" in str(caught.value)


def expected(name):
    with np.load(FIXTURES / f"{name.partition('.')[0]}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def equal(found, wanted):
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].flags.writeable, name
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_files_of_pytorch_are_read_exactly(name):
    equal(read_torch_state(FIXTURES / name), expected(name))


def test_an_efficientface_checkpoint_gives_its_network_alone():
    state = read_torch_state(FIXTURES / "torch_legacy.pth.tar")
    assert list(state)[:2] == ["0.weight", "1.weight"]
    assert state["1.num_batches_tracked"] == 1
    assert b"RecorderMeter" in (FIXTURES / "torch_legacy.pth.tar").read_bytes()


def test_tensors_that_share_numbers_become_separate_arrays():
    state = read_torch_state(FIXTURES / "torch_odd.pt")
    state["shared"][:] = 0
    np.testing.assert_array_equal(state["transposed"], np.arange(24, dtype="f4").reshape(4, 6).T)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("key", [None, *STATE_KEYS])
def test_the_state_is_found_where_scripts_put_it(tmp_path, layout, key):
    state = {"module.a": tensor(), "b": tensor(size=(6,), stride=(1,))}
    found = read_torch_state(write(tmp_path / "a.pth", layout, {"epoch": 1, key: state} if key else state))
    equal(found, {"module.a": np.arange(6, dtype="f4").reshape(2, 3), "b": np.arange(6, dtype="f4")})


@pytest.mark.parametrize("layout", FORMATS)
def test_old_ways_to_write_are_read(tmp_path, layout):
    python2 = call("collections OrderedDict", [["module.a", tensor(storage(kind="torch.cuda FloatStorage"))]])
    found = read_torch_state(write(tmp_path / "a.pth", layout, {"state_dict": python2}))
    equal(found, {"a": np.arange(6, dtype="f4").reshape(2, 3)})


@pytest.mark.parametrize("layout", FORMATS)
def test_nothing_in_a_file_is_called_or_imported(tmp_path, layout):
    marker = tmp_path / "marker"
    evil = call("os system", f"touch {marker}")
    pickle.loads(b"\x80\x02" + evil + b".")  # noqa: S301 - the file must be able to do harm, or the test shows nothing
    assert marker.exists()
    marker.unlink()
    built = Raw(named("os system") + ops((f"touch {marker}",)) + b"\x81" + ops({"x": evil}) + b"b")
    hidden = Raw(evil + ops(({"a": 1},)) + b"R")
    top = {"epoch": evil, "list": [evil, built, hidden], "this": call("this s"), "state_dict": {"a": tensor()}}
    assert list(read_torch_state(write(tmp_path / "a.pth", layout, top))) == ["a"]
    for top in (evil, built, {"state_dict": evil}, {"state_dict": {"a": evil}}, {evil: tensor()}, tensor(evil)):
        refused(write(tmp_path / "a.pth", layout, top), r"system|_rebuild_tensor_v2")
    for numbers in (storage(kind="os system"), storage(key=evil), storage(count=evil)):
        refused(write(tmp_path / "a.pth", layout, {"a": tensor(numbers)}), "system|persistent id")
    assert not marker.exists()
    assert "this" not in sys.modules


@pytest.mark.parametrize("layout", FORMATS)
def test_a_whole_pickled_model_is_named(tmp_path, layout):
    cls = Raw(ops(("module", named("nets Net"), "nets.py", "class Net: ...")) + b"Q")
    model = Raw(cls + b")\x81" + ops({"_parameters": {"a": tensor()}}) + b"b")
    refused(write(tmp_path / "a.pth", layout, model), r"whole pickled object, of nets\.Net.*model\.state_dict\(\)")
    refused(write(tmp_path / "a.pth", layout, {"epoch": 3, "model": model}), r"'epoch': 3, 'model': nets\.Net")


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(
    ("top", "words"),
    [
        ({"a": tensor(size=(2, 4))}, "within the 6 numbers.*number 6"),
        ({"a": tensor(stride=(4, 1))}, "number 6"),
        ({"a": tensor(offset=1)}, "number 6"),
        ({"a": tensor(offset=-1)}, "Received: -1"),
        ({"a": tensor(stride=(-3, 1))}, "Received: -3"),
        ({"a": tensor(stride=(1,))}, "argument 2 is shorter"),
        ({"a": tensor(size=3)}, "not iterable"),
        ({"a": tensor(size=("2", 3))}, "Received: '2'"),
        ({"a": tensor(size=(2.0, 3))}, r"Received: 2\.0"),
        ({"a": tensor(size=(2**99, 3))}, "Received: 6338"),
        ({"a": tensor(size=(1,) * 99, stride=(1,) * 99)}, "at most 32"),
        ({"a": tensor(size=(2**40,), stride=(0,))}, "at most"),
        ({"a": tensor(size=(0, 2**47, 2**47), stride=(1, 1, 1))}, "ValueError"),
        ({f"{i}": tensor(size=(2**20,), stride=(0,)) for i in range(9)}, "at most"),
        ({"a": tensor(storage(count=5))}, "5 numbers|20 bytes"),
        ({"a": tensor(storage(count=2**45))}, "numbers in storage|at most"),
        ({"a": tensor(storage(count=-6))}, "Received: -6"),
        ({"a": tensor(storage(key="1"))}, "storages that tensors use|bytes for storage '1'. Received: none"),
        ({"a": tensor(storage(key="../../x"))}, "storages that tensors use|Received: none"),
        ({"a": tensor(storage(kind="torch QInt8Storage"))}, r"torch\.QInt8Storage"),
        ({"a": tensor(storage(rest=(("1", 0, 3),)))}, "persistent id of a whole storage"),
        ({"a": tensor(), "b": tensor(storage(kind="torch LongStorage"))}, "one type"),
        ({"a": tensor(call("nets f"))}, "_rebuild_tensor_v2"),
        ({"a": tensor(), "b": 1}, "'b': 1"),
        ({"a": tensor(), 1: tensor()}, "1: a tensor"),
        ({"net": {"a": tensor(), "b": "x" * 999}}, "in 'net': 'b': 'xxx"),
        ({}, "nothing"),
        ([tensor()], "a list of 1"),
        (None, "a nonetype"),
        (Raw(b"\x82\x01"), "EXT1"),
        (Raw(b"h\x07"), "KeyError after BINGET"),
        (Raw(b"R"), "IndexError after REDUCE"),
        (Raw(b"t"), "IndexError after TUPLE"),
        (Raw(b"}(K\x01u"), "shorter|ValueError"),
        (Raw(b"\x93"), "IndexError after STACK_GLOBAL"),
        (Raw(b"]]\x93"), "TypeError after STACK_GLOBAL"),
        (Raw(b"\x8e" + (2**62).to_bytes(8, "little")), "ValueError after"),
        (Raw(b"I" + b"9" * 5000 + b"\n"), "ValueError after"),
    ],
)
def test_wrong_content_is_refused(tmp_path, layout, top, words):
    refused(write(tmp_path / "a.pth", layout, top), words)


@pytest.mark.parametrize("layout", FORMATS)
def test_odd_but_harmless_content_is_read(tmp_path, layout):
    cyclic = Raw(b"]q\x63(h\x63h\x63e")  # a list that holds itself
    own_key = Raw(b"}q\x64(h\x64h\x64u")  # a mapping that is its own key
    deep = Raw(b"]" * 100_000 + b"a" * 99_999)
    deep_key = Raw(b"}" + b")" + b"\x85" * 100_000 + b"K\x01s")
    sets = Raw(b"\x8f(K\x01K\x02\x90(K\x01\x91\x86")
    extra = [cyclic, own_key, deep, deep_key, sets, Raw(b"K\x010K\x02"), Raw(b"(K\x011K\x03")]
    state = {"a": tensor(stride=(1, 2)), "z": tensor(size=(1, 0), stride=(2**47, 1))}
    found = read_torch_state(write(tmp_path / "a.pth", layout, {"extra": extra, "state_dict": state}))
    equal(found, {"a": np.arange(6, dtype="f4").reshape(3, 2).T, "z": np.zeros((1, 0), "f4")})


@pytest.mark.parametrize("layout", FORMATS)
def test_repeated_long_values_take_no_memory(tmp_path, layout):
    name = Raw(ops("m" * 100_000)[:-2] + b"q\x60")
    names = Raw(b"](" + name + b"h\x60h\x60\x93" * 20_000 + b"e")
    pairs = Raw(ops([["a", 1]] * 5000) + b"q\x610](" + b"ccollections\nOrderedDict\nh\x61\x85R" * 5000 + b"e")
    path = write(tmp_path / "a.pth", layout, {"x": [names, pairs], "net": {"a": tensor()}})
    tracemalloc.start()
    try:
        assert list(read_torch_state(path)) == ["a"]
        assert tracemalloc.get_traced_memory()[1] < 50_000_000  # 4 GB, if each name were put together anew
    finally:
        tracemalloc.stop()


def test_wrong_zip_files_are_refused(tmp_path):
    path, good = tmp_path / "a.pth", {"a": tensor()}
    refused(write(path, "zip", good, {}), "bytes for storage '0'. Received: none")
    refused(write(path, "zip", good, {"0": np.zeros(5, "f4")}), "24 bytes for storage '0'. Received: 20 bytes")
    refused(write(path, "zip", good, {"0": np.zeros(7, "f4")}), "Received: 28 bytes")
    refused(write(path, "zip", good, compression=zipfile.ZIP_DEFLATED), "compressed")
    bomb = {"0": np.zeros(10_000_000, "f4")}
    refused(write(path, "zip", {"a": tensor(storage(count=10**7))}, bomb, zipfile.ZIP_DEFLATED), "compressed")
    refused(write(path, "zip", good, byteorder=b"big"), "big-endian")
    refused(write(path, "zip", good, **{"constants.pkl": b""}), "TorchScript")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "")
    refused(path, r"data\.pkl.*document")
    whole = write(path, "zip", good).read_bytes()
    numbers = whole.index(NUMBERS["0"].tobytes())
    path.write_bytes(whole[:numbers] + b"\xff" + whole[numbers + 1 :])
    refused(path, "CRC")
    # the directory says that the entry is far longer than the file
    size = whole.rindex((24).to_bytes(4, "little") * 2)
    path.write_bytes(whole[:size] + (2**31).to_bytes(4, "little") * 2 + whole[size + 8 :])
    refused(path, "cannot be read")


def test_wrong_legacy_files_are_refused(tmp_path):
    path, good = tmp_path / "a.pth", {"a": tensor()}
    refused(write(path, "legacy", good, {}), "bytes for storage '0'. Received: none")
    refused(write(path, "legacy", good, {"0": np.zeros(5, "f4")}), "6 numbers in storage '0'. Received: a count of 5")
    refused(write(path, "legacy", good, little_endian=False), "big-endian")
    whole = write(path, "legacy", good).read_bytes()
    path.write_bytes(whole.replace(pickle.dumps(1001, 2), pickle.dumps(1002, 2)))
    refused(path, "version 1001.*version 1002")
    path.write_bytes(whole.replace(b"\x80\x02", b"\x80\x03").replace(b"\x20", b"\x21", 1))
    refused(path, "a file of torch.save")


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>", b"PK", b"PK\x03\x04", b"\x80\x02}.", b"\x80\x02K"])
def test_other_files_are_refused(tmp_path, content):
    for name in ("a.pth", "a.npz", "a.safetensors"):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "cannot be read")


def test_random_bytes_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for start in (b"", b"PK\x03\x04", b"\x80\x02"):
        for name in ("a.pth", "a.npz", "a.safetensors"):
            (tmp_path / name).write_bytes(start + rng.bytes(3000))
            refused(tmp_path / name, "cannot be read")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*a\.pth"):
        read_torch_state(tmp_path / "a.pth")


def safetensors(path, header, numbers=b""):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


def test_safetensors_are_read(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "module.a": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]},
        "module.b": {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]},
        "module.c": {"dtype": "BOOL", "shape": [2], "data_offsets": [26, 28]},
    }
    path = safetensors(tmp_path / "a.safetensors", header, NUMBERS["0"].tobytes() + b"\xc0\x3f\x00\x01")
    a, b, c = np.arange(6, dtype="f4").reshape(3, 2), np.array(1.5, "f4"), np.array([False, True])
    equal(read_torch_state(path), {"a": a, "b": b, "c": c})


@pytest.mark.parametrize(
    "header",
    [
        *([], {}, {"a": 1}, {"a": {}}, b"{", b"[" * 100_000),
        *({"a": {"dtype": "F32", "shape": [2], "data_offsets": offsets}} for offsets in ([0, 4], [8, 16], [-8, 0], 8)),
        *(
            {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}}
            for shape in ([3], [-2], [2.0], [2**99], "2")
        ),
        {"a": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}},
    ],
    ids=lambda header: str(header)[:40],
)
def test_wrong_safetensors_are_refused(tmp_path, header):
    refused(safetensors(tmp_path / "a.safetensors", header, b"12345678"), "cannot be read")


def test_npz_files_are_read_and_wrong_ones_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **{"module.a": np.arange(3)})
    equal(read_torch_state(path), {"a": np.arange(3)})
    np.savez(path, evil=np.array([{"a": 1}], dtype=object))
    refused(path, "allow_pickle")
    np.savez(path)
    refused(path, "expected tensors")
    np.savez_compressed(path, bomb=np.zeros(5_000_000))
    refused(path, "at most")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    refused(path, "cannot be read")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "no array")
    refused(path, r"entries \['a\.txt'\]")


@pytest.mark.parametrize("name", [*CHECKPOINTS, "torch_zip.npz"])
def test_files_cut_anywhere_are_refused(tmp_path, name):
    whole = (FIXTURES / name).read_bytes()
    path = tmp_path / f"a{Path(name).suffix}"
    for length in [*range(0, len(whole), 13), *range(len(whole) - 40, len(whole))]:
        path.write_bytes(whole[:length])
        refused(path, "cannot be read")


@pytest.mark.parametrize("name", [*CHECKPOINTS, "torch_zip.npz"])
def test_flipped_bytes_give_a_state_or_a_refusal(tmp_path, name):
    rng = np.random.default_rng(0)
    whole = np.frombuffer((FIXTURES / name).read_bytes(), np.uint8)
    path = tmp_path / f"a{Path(name).suffix}"
    # In a zip file the checksums notice nearly everything: its description is damaged below
    for _ in range(300):
        damaged = whole.copy()
        where = rng.integers(len(whole), size=rng.integers(1, 4))
        damaged[where] = rng.integers(256, size=len(where))
        path.write_bytes(damaged.tobytes())
        read_or_refuse(path)


@pytest.mark.parametrize("name", ["torch_zip.pth", "torch_odd.pt"])
def test_flipped_bytes_under_a_right_checksum_give_a_state_or_a_refusal(tmp_path, name):
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(FIXTURES / name) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    description = next(entry for entry in entries if entry.endswith("data.pkl"))
    for _ in range(300):
        damaged = bytearray(entries[description])
        for where in rng.integers(len(damaged), size=rng.integers(1, 4)):
            damaged[where] = rng.integers(256)
        with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
            for entry, content in {**entries, description: bytes(damaged)}.items():
                archive.writestr(entry, content)
        read_or_refuse(tmp_path / "a.pth")


def read_or_refuse(path):
    try:
        state = read_torch_state(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert all(isinstance(array, np.ndarray) for array in state.values())
