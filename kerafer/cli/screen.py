"""What a person sees: colours on a terminal alone, and errors and warnings in one line each."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

_CODES = {"red": "31;1", "yellow": "33;1", "green": "32;1"}


def painted(text: str, colour: str, stream: TextIO) -> str:
    """Return a text in a colour where a stream goes to a terminal; not where `NO_COLOR` is set (no-color.org)."""
    plain = not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def one_line(text: Any) -> str:
    r"""Return a text with its lines joined.

    Example:
        >>> one_line("two\n  lines")
        'two lines'
    """
    return " ".join(line.strip() for line in str(text).splitlines() if line.strip())


def tell_error(text: Any) -> None:
    """Print an error to standard error, in one line."""
    print(f"{painted('kerafer:', 'red', sys.stderr)} {one_line(text)}", file=sys.stderr)


def print_verdict(text: str) -> None:
    """Print a report, with what failed in red and what passed in green."""
    text = re.sub(r"\bFAILED\b", lambda found: painted(found[0], "red", sys.stdout), text)
    print(re.sub(r"(?m)^all files passed", lambda found: painted(found[0], "green", sys.stdout), text))


@contextlib.contextmanager
def warnings_in_one_line(*, quiet: bool) -> Iterator[None]:
    """Print warnings as the command prints errors, without the place in the code; not at all where it is quiet."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if not quiet:
            print(f"{painted('kerafer:', 'yellow', sys.stderr)} {one_line(message)}", file=sys.stderr)

    before, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    finally:
        warnings.showwarning = before
