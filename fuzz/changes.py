"""Changes of whole files that keep their form: an archive stays an archive, a JSON text mostly JSON."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable

JSON_VALUES = (None, True, -1, 0, 2**63, 1e308, "", "../x", "é" * 50, [], {}, [[]], {"a": None}, float("nan"))
LONGEST = 1 << 20

Mutate = Callable[[bytes, int], bytes]
"""Changes bytes at random: is given them, and how many there may be."""


def changed_zip(data: bytes, size: int, seed: int, mutate: Mutate) -> bytes:
    """Change a member of an archive, or its name, and close the archive again; now and then the bytes themselves."""
    chance = random.Random(seed)  # noqa: S311 - nothing here is secret
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        members = {}
    if not members or chance.random() < 0.3:
        return mutate(data, size)
    name = chance.choice(sorted(members))
    what = chance.random()
    if what < 0.1:
        members[chance.choice(["../" + name, name + "x", "x", "a/" * 40])] = members.pop(name)
    elif what < 0.2:
        del members[name]
    elif name.endswith(".json"):
        members[name] = changed_json(members[name], LONGEST, seed, mutate)
    else:
        members[name] = bytes(mutate(members[name], min(2 * len(members[name]) + 16, LONGEST)))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for one, value in members.items():
            archive.writestr(one, value)
    return content.getvalue()[:size]


def changed_json(data: bytes, size: int, seed: int, mutate: Mutate) -> bytes:
    """Change, remove or add one value somewhere in a JSON text; now and then the bytes themselves."""
    chance = random.Random(seed)  # noqa: S311
    try:
        value = json.loads(data)
    except ValueError:
        return mutate(data, size)
    if chance.random() < 0.2:
        return mutate(data, size)
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


CHANGES: dict[str, Callable[[bytes, int, int, Mutate], bytes]] = {"zip": changed_zip, "json": changed_json}
