"""The web page in a real browser computes what Python computes, from picture to probabilities."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerafer
from kerafer.data.samples import portrait
from kerafer.verification.browser import ARGUMENTS, WasmRung
from kerafer.verification.ladder import tool_folder
from kerafer.vision import BlazeFaceDetector, Recognizer

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"
FLOAT, HALF = 2e-5, 5e-3
"""Probabilities in float32 on both sides; and on a GPU asked for float16."""
CAMERA = (
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--use-file-for-fake-video-capture={}",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tool():
    """Return the folder of Chromium and LiteRT.js; skip where they were not fetched, unless they are required."""
    lacking = WasmRung().missing()
    if lacking and not os.environ.get("KERAFER_REQUIRE_RUNGS"):
        pytest.skip(lacking)
    assert not lacking
    return tool_folder("browser").resolve()


@pytest.fixture(scope="module")
def site(tool, bundle_folder, tmp_path_factory):
    """Return the page, built with the shipped EAN."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("web_build", WEB / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("web") / "site"
    module.build(bundle_folder, tool / "node_modules" / "@litertjs", folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Return files: one face, four faces in a corner of their own, none, and one that is no picture."""
    folder, image = tmp_path_factory.mktemp("pictures"), portrait()
    half = np.asarray(Image.fromarray(image).resize((256, 300)))
    images = {
        "one": image,
        "four": np.vstack([np.hstack([image, image[:, ::-1]]), np.hstack([image[:, ::-1], image])]),
        "wide": np.hstack([half, np.full((300, 400, 3), 90, np.uint8), half[:, ::-1]]),
        "none": np.full((200, 320, 3), 120, np.uint8),
    }
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def visit(tool, site, tmp_path_factory):
    """Return what visits the page in Chromium, and gives what it found there."""

    def go(*visits, accelerator="wasm", arguments=(), folder=site):
        work = tmp_path_factory.mktemp("visit")
        plan = {
            "tool": str(tool),
            "site": str(folder),
            "arguments": [*ARGUMENTS[accelerator], *arguments],
            "environment": {
                "HOME": str(work),
                "TMPDIR": str(work),
                "PATH": os.environ["PATH"],
                "LD_LIBRARY_PATH": str(tool / "lib"),
            },
            "visits": visits,
            "answer": str(work / "answer.json"),
        }
        (work / "plan.json").write_text(json.dumps(plan, default=str), encoding="utf-8")
        command = [str(tool / "node"), str(WEB / "visit.mjs"), str(work / "plan.json")]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ran.returncode == 0, ran.stderr[-2000:]
        found = json.loads((work / "answer.json").read_text(encoding="utf-8"))
        for one in found:
            assert one["foreign"] == []  # the page needs nothing but itself
            assert one["thrown"] == []
        return found

    return go


def expected(site, path, recipe):
    """Return what Python finds in a picture, by the same file."""
    [file] = (site / "bundle").glob(f"*_{recipe}.tflite")
    [picture] = Recognizer(file, detector=BlazeFaceDetector()).recognize([path])
    return picture.faces


def assert_same(reading, faces, tolerance):
    assert len(reading["faces"]) == len(faces)
    for found, face in zip(reading["faces"], faces, strict=True):
        assert tuple(found["box"]) == face.face.box
        assert {name: tuple(place) for name, place in found["landmarks"].items()} == face.face.landmarks
        assert found["confidence"] == pytest.approx(face.face.confidence, abs=1e-4)
        np.testing.assert_allclose(found["probabilities"], list(face.probabilities.values()), atol=tolerance)


def test_faces_and_probabilities_are_pythons(visit, site, pictures):
    names, recipes = ("one", "four", "wide", "none"), ("float32", "static_int8")
    found = visit(*({"query": {"recipe": r}, "pictures": [pictures[n] for n in names]} for r in recipes))
    for recipe, page in zip(recipes, found, strict=True):
        for name, shown in zip(names, page["readings"], strict=True):
            faces = expected(site, pictures[name], recipe)
            assert len(faces) == {"one": 1, "four": 4, "wide": 2, "none": 0}[name]
            # an integer file rounds to steps of 1/256; inputs are the same bytes
            assert_same(shown["reading"], faces, FLOAT if recipe == "float32" else 2 / 256)
            for item, face in zip(shown["items"], faces, strict=True):
                assert item["text"].startswith(face.label)
                # the bars are as long as the classes are probable
                assert np.corrcoef(item["shares"], list(face.probabilities.values()))[0, 1] > 0.99
        assert page["status"].startswith("No face found")


def test_the_gpu_gives_pythons_numbers(visit, site, pictures):
    settings = {"fp32": FLOAT, "fp16": HALF}
    found = visit(
        *(
            {"query": {"precision": p, "recipe": "float32"}, "pictures": [pictures["one"]], "compare": True}
            for p in settings
        ),
        accelerator="webgpu",
    )
    for page, tolerance in zip(found, settings.values(), strict=True):
        assert "on the GPU" in page["ready"]
        assert page["difference"] < tolerance
        assert_same(page["readings"][0]["reading"], expected(site, pictures["one"], "float32"), tolerance)


def test_the_page_is_accessible_in_light_and_dark(visit, pictures):
    kept = ROOT / "build" / "web"
    kept.mkdir(parents=True, exist_ok=True)
    both = visit(
        *(
            {"dark": dark, "check": True, "pictures": [pictures["wide"]], "screenshot": kept / f"page-{name}.png"}
            for name, dark in (("light", False), ("dark", True))
        )
    )
    for page in both:
        assert page["violations"] == []
    assert (kept / "page-light.png").stat().st_size > 10_000


def test_a_camera_is_watched(visit, tmp_path):
    path = tmp_path / "camera.mjpeg"
    frame = Image.fromarray(portrait()).resize((512, 608))
    with path.open("wb") as stream:
        for _ in range(10):
            frame.save(stream, format="JPEG", quality=95)
    [page] = visit({"camera": "1 face"}, arguments=[a.format(path) for a in CAMERA])
    assert page["error"] == ""


def test_golden_vectors_are_met(visit, site):
    recipes = [entry["recipe"] for entry in _card(site)["files"].values() if "recipe" in entry]
    assert len(recipes) >= 5
    pages = visit(*({"query": {"recipe": recipe}, "compare": True} for recipe in recipes))
    for recipe, page in zip(recipes, pages, strict=True):
        tolerance = 0.03 if recipe == "dynamic_int8" else 2 / 256 if recipe == "static_int8" else FLOAT
        assert page["difference"] <= tolerance, recipe


def _card(site):
    return json.loads((site / "bundle" / "card.json").read_text(encoding="utf-8"))


@pytest.fixture
def changed(site, tmp_path):
    """Return what replaces the bundle's card by a changed one."""

    def change(edit):
        card = _card(site)
        edit(card)
        path = tmp_path / f"{hashlib.sha256(json.dumps(card).encode()).hexdigest()[:8]}.json"
        path.write_text(json.dumps(card), encoding="utf-8")
        return {"/bundle/card.json": str(path)}

    return change


def test_labels_in_another_order_are_noticed(visit, changed):
    def swap(card):
        card["labels"][:2] = card["labels"][1::-1]

    [page] = visit({"instead": changed(swap), "compare": True})
    assert "labels must be angry,disgust" in page["error"]
    assert "difference" not in page or page["difference"] is None


def test_bad_cards_and_files_are_refused(visit, changed, site, tmp_path):
    cases = {
        "must have format 1. Received: 2": lambda card: card.update(format=2),
        "`labels` must be two or more different names": lambda card: card.pop("labels"),
        "`preprocessing` must be an object of the fields": lambda card: card["preprocessing"].update(zoom=2),
        "input.shape` must be [1,40,44,3]": lambda card: card["preprocessing"].update(size=[40, 44]),
        "It is damaged, or comes from another export": lambda card: [
            entry.update(sha256="0" * 64) for entry in card["files"].values()
        ],
    }
    pages = visit(*({"instead": changed(edit)} for edit in cases.values()))
    for message, page in zip(cases, pages, strict=True):
        assert message in page["error"]


def test_what_is_no_picture_is_refused(visit, pictures):
    [page] = visit({"pictures": [pictures["broken"]]})
    assert "broken.png is no picture that this browser reads" in page["error"]


def test_python_refuses_labels_in_another_order(bundle_folder, tmp_path):
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(bundle_folder, copy)
    card = json.loads((copy / "card.json").read_text(encoding="utf-8"))
    card["labels"][:2] = card["labels"][1::-1]
    (copy / "card.json").write_text(json.dumps(card), encoding="utf-8")
    report = kerafer.verify(copy, rungs=("cpu",))
    assert not report.passed
