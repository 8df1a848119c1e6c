"""Write the Kotlin and Java of a document into files, so that they are compiled: snippets.py DOCUMENT.md FOLDER."""

from __future__ import annotations

import re
import sys
from pathlib import Path

SUFFIXES = {"kotlin": "kt", "java": "java"}


def main() -> None:
    """Write a file for each block, named by its class."""
    document, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    blocks = re.findall(r"^```(kotlin|java)\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found = set()
    for language, code in blocks:
        name = re.findall(r"class (\w+)", code)[0]
        (folder / f"{name}.{SUFFIXES[language]}").write_text(code, encoding="utf-8")
        found.add(language)
    if found != set(SUFFIXES):
        raise SystemExit(f"{document} must hold blocks of {sorted(SUFFIXES)}. Found: {sorted(found)}")


if __name__ == "__main__":
    main()
