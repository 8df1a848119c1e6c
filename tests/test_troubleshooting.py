"""Messages that docs/troubleshooting.md explains are those of the code, or of the system."""

import ast
import errno
import os
import re

import pytest
from conftest import ROOT

SYSTEM = [os.strerror(number) for number in (errno.ENOSPC, errno.EACCES, errno.EROFS)]


def rows():
    """Return the quoted messages of each row of the table, each in the parts between what differs."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (?!the message|---)(.+?) \| .+ \| .+ \|$", text, re.MULTILINE)
    return [re.findall(r"`+ ?(.+?) ?`{2,}", cell) for cell in table]


def texts():
    """Return what our code can print: every string, with a mark where a value goes in."""
    found = []
    for path in (ROOT / "kerafer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(v.value if isinstance(v, ast.Constant) else "\0" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    for path in (ROOT / "android_export").rglob("src/main/**/*.kt"):
        found += re.findall(r'"([^"\n]+)"', path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def printed():
    return texts() + SYSTEM


def explained(messages, printed):
    """Whether each part of each message stands in one of the texts."""
    return [part for text in messages for part in text.split(" … ") if not any(part in one for one in printed)]


@pytest.mark.parametrize("messages", rows(), ids=lambda messages: messages[0] if messages else "none")
def test_it_exists_in_the_code(messages, printed):
    assert messages
    assert explained(messages, printed) == []


def test_another_message_would_be_noticed(printed):
    assert explained(["no such message as this"], printed)
    assert len(rows()) > 20
