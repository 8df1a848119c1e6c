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
import sys
import tempfile
from pathlib import Path

import atheris

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import targets
from changes import CHANGES, LONGEST


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
            try:
                with contextlib.redirect_stdout(None), contextlib.redirect_stderr(io.StringIO()):
                    target.read(path)
                counts["read"] += 1
            except targets.REFUSALS:
                counts["refused"] += 1
            if left := targets.half_written(work):
                raise AssertionError(f"half-written files were left behind: {', '.join(map(str, left))}")
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
        more = {}
        if target.form in CHANGES:
            change = CHANGES[target.form]
            more["custom_mutator"] = lambda data, size, seed: change(data, size, seed, atheris.Mutate)
        atheris.Setup(command, read, **more)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
