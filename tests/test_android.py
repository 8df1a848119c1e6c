"""Bundles in an Android project, and what its Kotlin library must agree on."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from conftest import ROOT

import kerafer
from kerafer.card import FORMAT
from kerafer.cli.main import main
from kerafer.exporting import Bundle, install_in_android
from kerafer.files import sha256
from kerafer.verification.ladder import how_to_fetch, tool_folder
from kerafer.vision.blazeface import FORMAT as DETECTOR_FORMAT
from kerafer.weights import resolve_file

READER = ROOT / "android_export/kerafer-android/src/main/kotlin/org/kerafer/ModelCard.kt"


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "app/src/main").mkdir(parents=True)
    library = folder / "kerafer-android" / READER.name
    library.parent.mkdir()
    library.write_text(READER.read_text())
    return folder


def test_an_app_gets_files_card_labels_and_golden_vectors(bundle_folder, project):
    place = install_in_android(Bundle.open(bundle_folder), project)
    assert place == project / "app/src/main/assets/kerafer/ean"
    card = json.loads((place / "card.json").read_text())
    assert set(card["files"]) == {path.name for path in bundle_folder.glob("*.tflite")}
    assert {path.name for path in place.iterdir()} == {
        *card["files"],
        *("card.json", "golden.bin", "golden.json", "labels.txt"),
    }
    for name in card["files"]:
        assert (place / name).read_bytes() == (bundle_folder / name).read_bytes()
    # the detector beside the bundles, and nothing half-made
    assert sorted(path.name for path in place.parents[1].iterdir()) == ["kerafer", "kerafer-faces"]
    faces = place.parents[1] / "kerafer-faces"
    for entry in json.loads((faces / "detector.json").read_text())["networks"]:
        assert sha256(faces / entry["file"]) == entry["sha256"]


def test_a_bundle_is_replaced_only_if_told(bundle_folder, project):
    bundle = Bundle.open(bundle_folder)
    place = install_in_android(bundle, project / "app", "mine")
    (place / "labels.txt").unlink()
    with pytest.raises(FileExistsError, match="overwrite"):
        install_in_android(bundle, project, "mine")
    install_in_android(bundle, project, "mine", overwrite=True)
    assert (place / "labels.txt").is_file()


def test_a_library_of_another_format_is_refused(bundle_folder, project):
    library = project / "kerafer-android" / READER.name
    library.write_text(re.sub(r"FORMAT = \d+", f"FORMAT = {FORMAT + 1}", library.read_text()))
    with pytest.raises(ValueError, match=f"format {FORMAT + 1}"):
        install_in_android(Bundle.open(bundle_folder), project)
    assert not (project / "app/src/main/assets").exists()


def test_the_library_is_found_from_its_neighbour_module(bundle_folder, project):
    library = project / "kerafer-android" / READER.name
    library.write_text(re.sub(r"FORMAT = \d+", f"FORMAT = {FORMAT + 1}", library.read_text()))
    install_in_android(Bundle.open(bundle_folder), project / "app")  # nothing says that they belong together
    (project / "settings.gradle.kts").touch()
    with pytest.raises(ValueError, match=f"format {FORMAT + 1}"):
        install_in_android(Bundle.open(bundle_folder), project / "app", "other")


def test_somebody_elses_file_of_that_name_is_not_the_library(bundle_folder, project):
    (project / "app/Faces.kt").write_text("package org.example\nconst val FORMAT = 99\n")
    assert install_in_android(Bundle.open(bundle_folder), project).is_dir()


def test_nothing_but_the_bundles_own_files_gets_into_the_app(bundle_folder, project, tmp_path):
    run = shutil.copytree(bundle_folder, tmp_path / "run")  # as `kerafer.quantize` leaves it: a bundle and its training
    for name in ("state.npz", "history.csv", "last.keras"):
        (run / name).touch()
    place = install_in_android(Bundle.open(run), project)
    assert not {path.name for path in place.iterdir()} & {"state.npz", "history.csv", "last.keras", "model.keras"}


def test_no_bundle_without_a_detector(bundle_folder, project, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("kerafer.exporting.android._install_detector", full)
    with pytest.raises(OSError, match="no space"):
        install_in_android(Bundle.open(bundle_folder), project)
    assert not [*(project / "app/src/main/assets").rglob("*.tflite")]


def test_another_folder_or_name_is_refused(bundle_folder, project, tmp_path):
    with pytest.raises(FileNotFoundError, match="app/src/main"):
        install_in_android(Bundle.open(bundle_folder), tmp_path)
    with pytest.raises(ValueError, match="letters"):
        install_in_android(Bundle.open(bundle_folder), project, "../ean")


def test_the_command_exports_into_the_app(project, capsys):
    arguments = ["export", "ean", "--weights", "fer2013", "--recipe", "float16", "--android", str(project)]
    assert main(arguments) == 0
    place = project / "app/src/main/assets/kerafer/ean"
    assert str(place) in capsys.readouterr().out
    assert (place / "ean_float16.tflite").is_file()
    assert main(arguments) == 2  # it is there already
    assert "overwrite" in capsys.readouterr().err
    assert main(["export", "ean"]) == 2
    assert "--android" in capsys.readouterr().err


def test_the_shipped_integer_file_gets_into_the_app_as_it_is(project):
    assert main(["export", "ean", "--weights", "fer2013", "--recipe", "qat_int8", "--android", str(project)]) == 0
    [file] = (project / "app/src/main/assets/kerafer/ean").glob("*.tflite")
    assert file.name == "ean_qat_int8.tflite"
    assert file.read_bytes() == resolve_file("ean", "fer2013_qat_int8").read_bytes()
    card = json.loads((file.parent / "card.json").read_text())
    assert card["files"][file.name]["fine_tuning"]["recipe"]["name"] == "qat"


def test_an_integer_file_that_is_not_shipped_must_be_made(tmp_path):
    with pytest.raises(ValueError, match=r"kerafer\.quantize"):
        kerafer.export(kerafer.load_model("ean", weights="fer2013"), tmp_path / "ean", recipes=("qat_int8",))


def test_quantized_files_get_into_the_app(bundle_folder, project, tmp_path, capsys):
    source = str(bundle_folder / "model.keras")
    arguments = ["quantize", source, "--recipe", "float16", "--out"]
    assert main([*arguments, str(tmp_path / "out"), "--name", "mine"]) == 2
    assert "--android" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "out"), "--android", str(project), "--name", "mine"]) == 0
    assert (project / "app/src/main/assets/kerafer/mine/ean_float16.tflite").is_file()
    assert main([*arguments, str(tmp_path / "again"), "--android", str(project), "--name", "mine"]) == 2
    assert not (tmp_path / "again").exists()  # refused before the work


def test_the_command_takes_a_model_of_ones_own_by_its_path(bundle_folder, project):
    source = bundle_folder / "model.keras"
    assert main(["export", str(source), "--recipe", "float16", "--android", str(project)]) == 0
    assert (project / "app/src/main/assets/kerafer/ean/card.json").is_file()


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("android_export/kerafer-android/src/main/kotlin/org/kerafer/ModelCard.kt", FORMAT),
        ("android_export/kerafer-android/src/main/kotlin/org/kerafer/Faces.kt", DETECTOR_FORMAT),
        ("web/kerafer/card.js", FORMAT),
        ("web/kerafer/faces.js", DETECTOR_FORMAT),
    ],
)
def test_every_reader_reads_the_format_that_is_written(path, written):
    assert re.findall(r"const (?:val )?FORMAT = (\d+)", (ROOT / path).read_text()) == [str(written)]


def test_golden_vectors_name_the_labels(bundle_folder):
    card, golden = (json.loads((bundle_folder / name).read_text()) for name in ("card.json", "golden.json"))
    assert golden["labels"] == card["labels"]


def test_documents_name_the_libraries_that_the_project_takes():
    catalog = tomllib.loads((ROOT / "android_export/gradle/libs.versions.toml").read_text())
    taken = {f"{one['module']}:{catalog['versions'][one['version']['ref']]}" for one in catalog["libraries"].values()}
    named = re.findall(r'implementation\("(.+)"\)', (ROOT / "docs/android.md").read_text())
    assert len(named) == 2
    assert set(named) <= taken


@pytest.mark.slow
def test_kotlin_library_and_app():
    """What `make android-test` runs, so that CI runs it too."""
    lacking = [how_to_fetch(tool) for tool in ("android", "swiftshader") if tool_folder(tool) is None]
    if lacking and not os.environ.get("KERAFER_REQUIRE_RUNGS"):
        pytest.skip("; ".join(lacking))
    assert not lacking
    command = [ROOT / "android_export/test.sh", tool_folder("android").parent, sys.executable]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-10_000:] + ran.stderr[-2_000:]
    classes = (ROOT / "android_export/kerafer-android/src/test").rglob("*Test.kt")
    tests = sum(path.read_text().count("@Test\n") for path in classes)
    assert f"OK ({tests} tests)" in ran.stdout, ran.stdout[-10_000:]  # none was left out
