"""The benchmark that streams a large data set: its pictures, its look at memory, and its verdict."""

import mmap
import sys

import numpy as np
import pytest
from conftest import ROOT

import kerafer
from kerafer.data.stored import DecodedImages
from kerafer.labels import LABELS_7


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a module, with the ones beside it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import stream

    yield stream
    for name in {"stream", "common", "throughput"} - before:
        sys.modules.pop(name, None)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


def test_pictures_are_drawn_once_and_alike(benchmark, tmp_path, monkeypatch):
    benchmark.generate(tmp_path / "a", 30, seed=3)
    first = contents(tmp_path / "a")
    assert len(first) == len(set(first.values())) == 30
    data = kerafer.load_data(f"folder:{tmp_path / 'a' / 'data'}", "train")
    assert data.counts() == {name: 30 // 7 + (number < 30 % 7) for number, name in enumerate(LABELS_7)}
    assert not data.is_gray
    assert data.images[0].shape == (benchmark.SIDE, benchmark.SIDE, 3)
    benchmark.generate(tmp_path / "b", 30, seed=3)
    benchmark.generate(tmp_path / "c", 30, seed=4)
    assert contents(tmp_path / "b") == first
    assert not set(contents(tmp_path / "c").values()) & set(first.values())

    def never(*arguments):
        raise AssertionError("drawn again")

    monkeypatch.setattr(benchmark, "_draw", never)
    benchmark.generate(tmp_path / "a", 30, seed=3)


def test_interrupted_drawing_goes_on_and_other_folders_are_refused(benchmark, tmp_path, monkeypatch):
    draw = benchmark._draw

    def interrupted(*arguments):
        draw(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "_draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        benchmark.generate(tmp_path / "a", 14, seed=3)
    monkeypatch.setattr(benchmark, "_draw", draw)
    benchmark.generate(tmp_path / "a", 14, seed=3)
    assert len(contents(tmp_path / "a")) == 14
    with pytest.raises(ValueError, match=r"must be new, empty, or hold pictures .*Received: .*'images': 14"):
        benchmark.generate(tmp_path / "a", 15, seed=3)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="a folder with other files"):
        benchmark.generate(tmp_path / "foreign", 14, seed=3)


@pytest.mark.slow
def test_two_processes_draw_what_one_draws(benchmark, tmp_path):
    benchmark.generate(tmp_path / "one", 600, seed=3)
    benchmark.generate(tmp_path / "two", 600, seed=3, processes=2)
    assert len(contents(tmp_path / "one")) == 600 > benchmark.CHUNK
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_memory_is_told_apart(benchmark, tmp_path):
    (tmp_path / "file").write_bytes(bytes(32 << 20))
    before = benchmark.memory()
    own = np.ones(48 << 20, np.uint8)
    with open(tmp_path / "file", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) == 0  # each page is touched
        after = benchmark.memory()
    assert own.all()
    assert after["anon"] - before["anon"] == pytest.approx(48, abs=4)
    assert after["file"] - before["file"] == pytest.approx(32, abs=2)


def test_growth_is_counted_from_the_first_tenth(benchmark):
    samples = [{"anon": a, "file": f} for a, f in ((100, 50), (400, 60), (395, 60), (420, 70), (380, 60))]
    assert benchmark.growth(samples) == 30
    assert benchmark.growth(samples[:2] + samples[-1:]) == 0


@pytest.mark.parametrize(
    ("grown", "ratio", "found"),
    [(64.0, 3.0, []), (64.1, 3.0, ["memory grew by 64.1 MiB"]), (0.0, 2.9, ["2.9 times as fast"]), (65, 1, ["x", "y"])],
)
def test_the_verdict(benchmark, grown, ratio, found):
    result = {"from_disk": {"growth_mib": grown}, "from_kernel_cache": {"growth_mib": 0.0}}
    problems = benchmark.shortfalls({**result, "pipeline_to_training": ratio})
    assert len(problems) == len(found)
    if len(found) == 1:
        assert found[0] in problems[0]


def test_a_stream_is_measured(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "BATCH", 8)
    benchmark.generate(tmp_path / "a", 200, seed=0)
    result = benchmark.measure(tmp_path / "a", 0, training=False)
    assert result["images"] == 200
    assert result["bytes_decoded"] == 128 + 200 * 48 * 48 * 3
    for name in ("from_disk", "from_kernel_cache"):
        part = result[name]
        assert (part["steps"], part["images"]) == (25, 200)
        assert part["images_per_second"] == pytest.approx(200 / part["seconds"], rel=0.05)
    steps = [sample["steps"] for sample in result["from_disk"]["memory_mib"]]
    assert steps == [0, 2, 5, 8, 10, 12, 15, 18, 20, 22, 25]
    assert [path.name for path in (tmp_path / "a").iterdir() if path.is_dir()] == ["data"]  # no cache is left


def test_tensorflow_has_nothing_to_tune(benchmark, faces, monkeypatch):
    monkeypatch.setattr(benchmark, "BATCH", 4)
    stream = benchmark.batches_of(faces, 0).to_tf(2, 5)
    assert stream.options().autotune.enabled is False
    assert stream.cardinality() == 3


def test_forgotten_files_are_read_again(benchmark, tmp_path):
    np.save(tmp_path / "a.npy", np.full((4, 6, 5), 7, np.uint8))
    benchmark.forget([tmp_path / "a.npy"])
    assert (DecodedImages(tmp_path / "a.npy").pixels(np.arange(4), (6, 5)) == 7).all()
