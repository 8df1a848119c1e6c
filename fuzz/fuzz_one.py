"""Fuzz one reader with atheris, libFuzzer for Python: what `run.py` starts for each.

    python fuzz/fuzz_one.py image --runs 1000 --seed 0 --out FOLDER

The inputs are whole files changed at random, those kept that reach lines of kerafer that none before them reached.
FOLDER gets `counts.json`, and, where there was a finding, the input behind it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import targets

JSON_VALUES = (None, True, -1, 0, 2**63, 1e308, "", "../x", "é" * 50, [], {}, [[]], {"a": None}, float("nan"))
LONGEST = 1 << 20


def changed_zip(data: bytes, size: int, seed: int) -> bytes:
    """Change a member of an archive, or its name, and close the archive again; now and then the bytes themselves."""
    chance = random.Random(seed)  # noqa: S311 - nothing here is secret
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        members = {}
    if not members or chance.random() < 0.3:
        return atheris.Mutate(data, size)
    name = chance.choice(sorted(members))
    what = chance.random()
    if what < 0.1:
        members[chance.choice(["../" + name, name + "x", "x", "a/" * 40])] = members.pop(name)
    elif what < 0.2:
        del members[name]
    elif name.endswith(".json"):
        members[name] = changed_json(members[name], LONGEST, seed)
    else:
        members[name] = bytes(atheris.Mutate(members[name], min(2 * len(members[name]) + 16, LONGEST)))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for one, value in members.items():
            archive.writestr(one, value)
    return content.getvalue()[:size]


def changed_json(data: bytes, size: int, seed: int) -> bytes:
    """Change, remove or add one value somewhere in a JSON text; now and then the bytes themselves."""
    chance = random.Random(seed)  # noqa: S311
    try:
        value = json.loads(data)
    except ValueError:
        return atheris.Mutate(data, size)
    if chance.random() < 0.2:
        return atheris.Mutate(data, size)
    place: object = value
    for _ in range(chance.randint(0, 6)):
        keys = list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        if not keys:
            break
        key = chance.choice(keys)
        if not isinstance(place[key], dict | list) or chance.random() < 0.3:
            if chance.random() < 0.2:
                del place[key]
            else:
                place[key] = chance.choice(JSON_VALUES)
            break
        place = place[key]
    return json.dumps(value).encode()[:size]


CHANGES: dict[str, Callable[[bytes, int, int], bytes]] = {"zip": changed_zip, "json": changed_json}


def main() -> None:
    """Fuzz until so many inputs were read, or something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=targets.TARGETS)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--input", type=Path, help="read this one again instead, to look into a finding")
    arguments = parser.parse_args()
    target = targets.TARGETS[arguments.target]
    arguments.out.mkdir(parents=True, exist_ok=True)
    counts = {"read": 0, "refused": 0}

    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:  # noqa: S108
        corpus, work = Path(name) / "corpus", Path(name) / "work"
        corpus.mkdir()
        work.mkdir()
        path = work / target.name
        # kerafer imports late, so what reads the whole files is all that will be imported
        with atheris.instrument_imports(include=["kerafer"]):
            for number, content in enumerate(target.seeds()):
                (corpus / f"seed-{number}").write_bytes(content)
                path.write_bytes(content)
                with contextlib.suppress(*targets.REFUSALS), contextlib.redirect_stderr(io.StringIO()):
                    target.read(path)

        def read(data: bytes) -> None:
            path.write_bytes(data)
            before = {item for item in work.rglob("*") if item.name.startswith(".")}
            try:
                with contextlib.redirect_stdout(None), contextlib.redirect_stderr(io.StringIO()):
                    target.read(path)
                counts["read"] += 1
            except targets.REFUSALS:
                counts["refused"] += 1
            left = {item for item in work.rglob("*") if item.name.startswith(".")} - before
            if left:
                raise AssertionError(f"half-written files were left behind: {sorted(map(str, left))}")
            if sum(counts.values()) % 100 == 0 or sum(counts.values()) >= arguments.runs:
                (arguments.out / "counts.json").write_text(json.dumps(counts), encoding="ascii")

        if arguments.input:
            read(arguments.input.read_bytes())
            print(counts)
            return
        options = {
            "runs": arguments.runs,
            "seed": arguments.seed + 1,  # 0 would be drawn
            "timeout": targets.SECONDS,
            "rss_limit_mb": 8192,
            "max_len": LONGEST,
            "artifact_prefix": f"{arguments.out}/",
            "print_final_stats": 1,
        }
        command = [sys.argv[0], str(corpus), *(f"-{name}={value}" for name, value in options.items())]
        more = {"custom_mutator": CHANGES[target.form]} if target.form in CHANGES else {}
        atheris.Setup(command, read, **more)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
