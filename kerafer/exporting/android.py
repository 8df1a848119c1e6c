"""Put a bundle where an Android app finds it: into the assets of a Gradle project."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from kerafer.card import FORMAT
from kerafer.exporting.bundle import (
    GOLDEN_FILE,
    GOLDEN_INPUTS,
    LABELS_FILE,
    Bundle,
    check_target,
    move_into_place,
)
from kerafer.files import replacing
from kerafer.vision.blazeface import FOLDER as DETECTOR
from kerafer.vision.blazeface import FORMAT as DETECTOR_FORMAT

ASSETS = Path("src", "main", "assets", "kerafer")
"""Where `AssetBundle` of the Kotlin library looks, within a module."""

FACES = "kerafer-faces"
"""Where `openFaceFinder` of the Kotlin library looks for the face detector, beside the bundles."""

_READERS = {"ModelCard.kt": FORMAT, "Faces.kt": DETECTOR_FORMAT}
_FORMAT = re.compile(r"const val FORMAT = (\d+)")
_PACKAGE = re.compile(r"^package org\.kerafer\b", re.MULTILINE)
_SETTINGS = ("settings.gradle.kts", "settings.gradle")


def android_folder(project: str | Path, name: str) -> Path:
    """Return the folder that a bundle gets in an Android project.

    Args:
        project: a Gradle project with a module `app`, or a module of one.
        name: of the bundle.

    Raises:
        FileNotFoundError: if the folder is neither.
        ValueError: if the project's Kotlin library reads cards of another format, or the name is no file's name.
    """
    project = Path(project)
    module = next((m for m in (project, project / "app") if (m / "src" / "main").is_dir()), None)
    if module is None:
        raise FileNotFoundError(
            f"{project} must be an Android project with a module `app`, or a module, so with a folder app/src/main or "
            "src/main. It has neither: name the folder that Android Studio opens."
        )
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"`name` of a bundle must be letters, digits, _ and -. Received: {name!r}")
    for name_of_reader, written in _READERS.items():
        for reader in _root(project).rglob(name_of_reader):
            text = reader.read_text(encoding="utf-8")
            found = _FORMAT.search(text)
            if found and _PACKAGE.search(text) and int(found[1]) != written:
                raise ValueError(
                    f"{reader} reads format {found[1]}, and this version of kerafer writes format {written}. Take the "
                    "library and the package of one version."
                )
    return module / ASSETS / name


def _root(project: Path) -> Path:
    """Return the folder that Android Studio opens, in which a module's library lies too; without one, the project."""
    folder = project.resolve()
    return next((f for f in (folder, *folder.parents) if any((f / name).is_file() for name in _SETTINGS)), folder)


def install_in_android(
    bundle: Bundle, project: str | Path, name: str | None = None, *, overwrite: bool = False
) -> Path:
    """Copy what an app needs of a bundle into an Android project, whole or not at all.

    The Keras model stays out of it; files, card, labels and golden vectors go in. The face detector goes beside it, for
    all bundles of the app.

    Args:
        bundle: from `kerafer.export` or `kerafer.quantize`.
        project: a Gradle project with a module `app`, or a module of one.
        name: of the bundle in the app; by default the model's.
        overwrite: replace a bundle of that name.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: if there is no Android project.
        FileExistsError: if there is something of that name that must not be replaced.
        ValueError: if the project's Kotlin library reads cards of another format.

    Example:
        >>> import tempfile, kerafer
        >>> from pathlib import Path
        >>> project, out = Path(tempfile.mkdtemp()), tempfile.mkdtemp()
        >>> (project / "app" / "src" / "main").mkdir(parents=True)
        >>> bundle = kerafer.export("ean", f"{out}/ean", weights="fer2013", recipes=("float16",))
        >>> sorted(path.name for path in install_in_android(bundle, project).iterdir())
        ['card.json', 'ean_float16.tflite', 'golden.bin', 'golden.json', 'labels.txt']
    """
    place = android_folder(project, name or bundle.card.model)
    check_target(place, overwrite)
    place.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=place.parent.parent, prefix=".kerafer."))
    try:
        for name_of_file in (*bundle.tflite_files, LABELS_FILE, GOLDEN_FILE, GOLDEN_INPUTS):
            shutil.copyfile(bundle.folder / name_of_file, building / name_of_file)
        files = {file: bundle.card.files[file] for file in bundle.tflite_files}
        replace(bundle.card, files=files).write(building)
        building.chmod(0o755)
        _install_detector(place.parent.parent / FACES)
        move_into_place(building, place)  # last, so that an app never finds a bundle without a detector
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return place


def _install_detector(place: Path) -> None:
    """Copy the face detector's files, its card last, so that a card never names a file that is not there."""
    place.mkdir(exist_ok=True)
    for path in sorted(DETECTOR.iterdir(), key=lambda path: path.suffix == ".json"):
        with replacing(place / path.name) as temporary:
            shutil.copyfile(path, temporary)
