"""Write the Kotlin and Java of documents into files, so that they are compiled: snippets.py DOCUMENT.md... FOLDER."""

from __future__ import annotations

import re
import sys
from pathlib import Path

SUFFIXES = {"kotlin": "kt", "java": "java"}


def main() -> None:
    """Write a file for each block, named by its first class."""
    *documents, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    found = set()
    for document in documents:
        blocks = re.findall(r"^```(kotlin|java)\n(.*?)^```", document.read_text(encoding="utf-8"), re.M | re.S)
        if not blocks:
            raise SystemExit(f"{document} must hold blocks of {sorted(SUFFIXES)}. Found: none")
        for language, code in blocks:
            if code.startswith("// build.gradle.kts"):  # Gradle's own, which no compiler here knows
                continue
            named = re.search(r"^(?:public )?class (\w+)", code, re.M)
            if named is None:
                raise SystemExit(f"{document} must have a class in each block. Found none in: {code}")
            name = named[1]
            path = folder / f"{name}.{SUFFIXES[language]}"
            if path.exists():
                raise SystemExit(f"{document} must name its classes as no other block does. Found twice: {name}")
            path.write_text(code, encoding="utf-8")
            found.add(language)
    if found != set(SUFFIXES):
        raise SystemExit(f"The documents must hold blocks of {sorted(SUFFIXES)}. Found: {sorted(found)}")


if __name__ == "__main__":
    main()
