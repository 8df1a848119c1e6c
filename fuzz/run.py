"""Fuzz every reader of files from outside, and write results/fuzz.csv: what `make fuzz` does.

    python fuzz/run.py --inputs 100000 --seed 0

Ends with a non-zero exit code at the first finding, and says where the input behind it lies.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from targets import TARGETS
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

from common import write_table  # noqa: E402 - the benchmarks' way of writing results

FIELDS = ("reader", "inputs", "read", "refused", "crashes", "hangs", "coverage", "peak_mb", "inputs_per_second")


def main() -> int:
    """Fuzz all readers, one process each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all readers together (default: 100000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=TARGETS, help="readers to fuzz; no table is written then")
    parser.add_argument("--out", type=Path, default=HERE.parent / "build" / "fuzz", help="folder of the findings")
    arguments = parser.parse_args()
    whole = sum(target.share for target in TARGETS.values())
    rows, failed = [], False
    for name in tqdm(arguments.only or list(TARGETS), unit="reader"):
        runs = max(1, -int(-arguments.inputs * TARGETS[name].share // whole))
        row = fuzz(name, runs, arguments.seed, arguments.out / name)
        tqdm.write("  ".join(f"{key} {value}" for key, value in row.items()))
        rows.append(row)
        failed |= bool(row["crashes"] or row["hangs"])
    command = f"python fuzz/run.py --inputs {arguments.inputs} --seed {arguments.seed}"
    if not arguments.only:
        write_table(
            "fuzz", FIELDS, rows, command=command, about=f"whole files changed at random, seed {arguments.seed}"
        )
    return 1 if failed else 0


def fuzz(name: str, runs: int, seed: int, out: Path) -> dict[str, object]:
    """Fuzz one reader in a process of its own, and return its row."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        old.unlink()
    command = [sys.executable, str(HERE / "fuzz_one.py"), name, "--runs", str(runs), "--seed", str(seed)]
    start = time.monotonic()
    ran = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, errors="replace", check=False)
    seconds = time.monotonic() - start
    (out / "log.txt").write_text(ran.stdout + ran.stderr, encoding="utf-8")
    counts = json.loads((out / "counts.json").read_text()) if (out / "counts.json").exists() else {}
    findings = [path for path in out.iterdir() if path.name.startswith(("crash-", "timeout-", "oom-", "leak-"))]
    hangs = sum(path.name.startswith("timeout-") for path in findings)
    crashed = len(findings) - hangs or int(ran.returncode != 0 and not hangs)
    for path in findings:
        tqdm.write(f"{name}: {path}; python fuzz/fuzz_one.py {name} --input {path} --out {out}", file=sys.stderr)
    if crashed or hangs:
        tqdm.write((ran.stdout + ran.stderr)[-3000:], file=sys.stderr)
    found = re.findall(r"cov: (\d+)", ran.stderr)
    peak = re.search(r"peak_rss_mb:\s+(\d+)", ran.stderr)
    return {
        "reader": name,
        "inputs": sum(counts.values()),
        "read": counts.get("read", 0),
        "refused": counts.get("refused", 0),
        "crashes": crashed,
        "hangs": hangs,
        "coverage": found[-1] if found else "",
        "peak_mb": peak[1] if peak else "",
        "inputs_per_second": f"{sum(counts.values()) / seconds:.0f}",
    }


if __name__ == "__main__":
    sys.exit(main())
