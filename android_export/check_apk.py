"""Refuse an APK that lacks something, or asks for more than the camera: check_apk.py APP.apk ASSETS AAPT2 [SUFFIX...].

ASSETS is the folder that must be in it byte for byte; files of the SUFFIXes must lie in it uncompressed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

CAMERA = {"android.hardware.camera", "android.hardware.camera.autofocus"}


def main() -> None:
    """Compare the APK's list and contents with what must be in it."""
    apk, assets, aapt2, *stored = sys.argv[1:]
    if failures := [*_contents(Path(apk), Path(assets), stored), *_wishes(apk, aapt2)]:
        raise SystemExit("\n".join(failures))


def _contents(apk: Path, assets: Path, stored: list[str]) -> list[str]:
    with zipfile.ZipFile(apk) as archive:
        inside = {entry.filename: entry for entry in archive.infolist()}
        files = [path for path in assets.rglob("*") if path.is_file()]
        expected = {f"assets/{path.relative_to(assets).as_posix()}": path for path in files}
        found = {name for name in inside if name.startswith("assets/")}
        failures = []
        if not any(name.endswith(".tflite") for name in expected):
            failures.append(f"{assets} must hold models. Found: {sorted(expected)}")
        if found != set(expected):
            failures.append(f"{apk} must hold the assets {sorted(expected)}. Found: {sorted(found)}")
        for name in found & set(expected):
            if archive.read(name) != expected[name].read_bytes():
                failures.append(f"{apk} has other bytes in {name} than {expected[name]}")
            if Path(name).suffix[1:] in stored and inside[name].compress_type != zipfile.ZIP_STORED:
                failures.append(f"{apk} must hold {name} uncompressed")
        missing = {"AndroidManifest.xml", "classes.dex", "resources.arsc"} - set(inside)
        return failures + ([f"{apk} lacks {sorted(missing)}"] if missing else [])


def _wishes(apk: str, aapt2: str) -> list[str]:
    """Return what the manifest asks for beside the camera, or demands of a device."""
    told = subprocess.run([aapt2, "dump", "badging", apk], capture_output=True, text=True, check=True).stdout
    permissions = re.findall(r"^uses-permission[^:]*: name='([^']*)'", told, re.MULTILINE)
    failures = []
    if permissions != ["android.permission.CAMERA"]:
        failures.append(f"{apk} must ask for the camera only. It asks for {permissions}")
    optional = set(re.findall(r"^ *uses-feature-not-required: name='([^']*)'", told, re.MULTILINE))
    if not optional >= CAMERA:
        failures.append(f"{apk} must run without {sorted(CAMERA)}. Not required are {sorted(optional)}")
    return failures


if __name__ == "__main__":
    main()
