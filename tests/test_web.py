"""The web page in a real browser computes what Python computes, from picture to probabilities."""

import hashlib
import importlib.util
import json
import os
import subprocess

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from kerafer.data.samples import portrait
from kerafer.verification.browser import ARGUMENTS, WasmRung
from kerafer.verification.ladder import tool_folder
from kerafer.vision import BlazeFaceDetector, Recognizer

WEB = ROOT / "web"
FLOAT, HALF, INTEGER = 2e-5, 5e-3, 2 / 256
"""Probabilities in float32 on both sides; on a GPU asked for float16; of an integer file, which has steps of 1/256."""
CAMERA = (
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--use-file-for-fake-video-capture={}",
)
LITERT = "/litert/core/dist/index.js"
SPY = {LITERT: str(ROOT / "tests" / "web_spy.js")}

KEEP_DEVICE = """
    const ask = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...wanted) {
      return globalThis.device = await ask.apply(this, wanted);
    };
"""
"""Run before the page: the GPU's device can be got at."""
FOREIGN_ERROR = """new Promise(resolve => {
    device.addEventListener('uncapturederror', event => resolve(event.error.message), {once: true});
    device.createBuffer({size: 4, usage: 0});
    device.queue.submit([]);
})"""
"""An error that no scope takes; told once something is submitted."""
REFUSING = {
    "no device": "GPUAdapter.prototype.requestDevice = async () => { throw new Error('the driver is too old'); };",
    "no shader": """
        const make = GPUDevice.prototype.createShaderModule;
        GPUDevice.prototype.createShaderModule = function (wanted) {
          return make.call(this, {...wanted, code: 'what no compiler takes'});
        };
    """,
}
"""GPUs that the browser offers and that then refuse."""

KEEP_TRACKS = """
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    globalThis.tracks = [];
    navigator.mediaDevices.getUserMedia = async wanted => {
      await new Promise(resolve => setTimeout(resolve, 500));
      const stream = await ask(wanted);
      tracks.push(...stream.getTracks());
      return stream;
    };
"""
"""A camera that takes half a second to open, and whose tracks can be counted."""
STATES = "tracks.map(track => track.readyState)"
BUTTON = "[document.getElementById('camera').textContent, document.getElementById('camera').ariaDisabled]"
WAIT = "new Promise(resolve => setTimeout(resolve, {}))"
CHANGES = """new Promise(resolve => {
    const at = {status: [], timing: []};
    const watch = id => new MutationObserver(() => at[id].push(performance.now()))
        .observe(document.getElementById(id), {childList: true, characterData: true, subtree: true});
    Object.keys(at).forEach(watch);
    setTimeout(() => resolve(at), 6000);
})"""
"""When the words of two elements changed, over six seconds."""
COLOURS = """(() => {
    const of = (selector, property) => getComputedStyle(document.querySelector(selector))[property];
    return [
      [of('.bar', 'backgroundColor'), of('.face', 'backgroundColor')],
      [of('select', 'borderTopColor'), of('select', 'backgroundColor')],
      [of('select', 'borderTopColor'), of('body', 'backgroundColor')],
    ];
})()"""
"""What must be told from what it lies on, without being text."""

pytestmark = pytest.mark.slow


def status_begins(words):
    return "until", f"document.getElementById('status').textContent.startsWith('{words}')"


ERROR_SHOWN = ("until", "!document.getElementById('error').hidden")
PRESS = ("click", "#camera")


@pytest.fixture(scope="module")
def tool():
    """Return the folder of Chromium and LiteRT.js; skip where they were not fetched, unless they are required."""
    lacking = WasmRung().missing()
    if lacking and not os.environ.get("KERAFER_REQUIRE_RUNGS"):
        pytest.skip(lacking)
    assert not lacking
    return tool_folder("browser").resolve()


@pytest.fixture(scope="module")
def build():
    """Return `build` of web/build.py."""
    spec = importlib.util.spec_from_file_location("web_build", WEB / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build


@pytest.fixture(scope="module")
def site(tool, build, bundle_folder, tmp_path_factory):
    """Return the page, built with the shipped EAN."""
    folder = tmp_path_factory.mktemp("web") / "site"
    build(bundle_folder, tool / "node_modules" / "@litertjs", folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Return files: a portrait, four of it, two beside each other, one without a face, and one that is no picture."""
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
    """Return what visits the page in Chromium, takes steps there, and gives what each of them found."""

    def go(*visits, accelerator="wasm", arguments=()):
        work = tmp_path_factory.mktemp("visit")
        plan = {
            "tool": str(tool),
            "site": str(site),
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
        ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
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
    found = visit(*({"query": {"recipe": r}, "steps": [("picture", pictures[n]) for n in names]} for r in recipes))
    for recipe, page in zip(recipes, found, strict=True):
        assert page["opened"]["refused"] == ["this browser offers no GPU (WebGPU)"]
        for name, shown in zip(names, page["steps"], strict=True):
            faces = expected(site, pictures[name], recipe)
            assert len(faces) == {"one": 1, "four": 4, "wide": 2, "none": 0}[name]
            assert_same(shown["reading"], faces, FLOAT if recipe == "float32" else INTEGER)
            for item, face in zip(shown["items"], faces, strict=True):
                assert item["text"].startswith(face.label)
                # the bars are as long as the classes are probable
                assert np.corrcoef(item["shares"], list(face.probabilities.values()))[0, 1] > 0.99
            assert shown["timing"].endswith(" ms a face" if faces else "")
        assert page["steps"][-1]["status"].startswith("No face found")


def test_golden_vectors_are_met(visit, site):
    recipes = [entry["recipe"] for entry in read(site, "card.json")["files"].values() if "recipe" in entry]
    assert len(recipes) >= 5
    pages = visit(*({"query": {"recipe": recipe}, "steps": [("compare", None)]} for recipe in recipes))
    for recipe, page in zip(recipes, pages, strict=True):
        tolerance = {"dynamic_int8": 0.03, "static_int8": INTEGER, "qat_int8": INTEGER}.get(recipe, FLOAT)
        assert page["steps"][0] <= tolerance, recipe


# --- on the GPU, and where it refuses ---


def test_the_gpu_gives_pythons_numbers(visit, site, pictures):
    settings, steps = {"fp32": FLOAT, "fp16": HALF}, [("picture", pictures["one"]), ("compare", None)]
    found = visit(
        *({"query": {"precision": p, "recipe": "float32"}, "steps": steps} for p in settings), accelerator="webgpu"
    )
    for page, tolerance in zip(found, settings.values(), strict=True):
        assert "on the GPU" in page["opened"]["status"]
        shown, difference = page["steps"]
        assert_same(shown["reading"], expected(site, pictures["one"], "float32"), tolerance)
        assert difference < tolerance


def assert_shows(shown, site, path, place):
    """Assert that Python's faces are shown, by the file that the page takes on its own at a place."""
    recipe, tolerance = {"GPU": ("float16", HALF), "CPU": ("static_int8", INTEGER)}[place]
    assert shown["error"] == ""
    assert f"ean_{recipe}.tflite on the {place}" in shown["status"]
    assert_same(shown["reading"], expected(site, path, recipe), tolerance)


def test_an_accelerator_is_taken_selected_and_lost(visit, site, pictures):
    one, lose = pictures["one"], ("evaluate", "device.destroy()")
    selects = [("select", "wasm"), ("select", "webgpu"), lose, ("picture", one), ("select", ""), ("picture", one)]
    found = visit(
        {"before": KEEP_DEVICE, "steps": [("picture", one), ("evaluate", FOREIGN_ERROR), ("picture", one)]},
        {"before": KEEP_DEVICE, "steps": [("picture", one), *selects]},
        {"before": KEEP_DEVICE, "steps": [("picture", one), lose, ("picture", one)]},
        # lost while a face is classified, not before
        {
            "instead": SPY,
            "before": KEEP_DEVICE,
            "steps": [("picture", one), ("evaluate", "spy.lose = 'webgpu'"), ("picture", one)],
        },
        accelerator="webgpu",
    )
    for page in found:
        assert page["opened"]["refused"] == []
        assert_shows(page["steps"][0], site, one, "GPU")
    # somebody else's error is not the model's
    _, foreign, after = found[0]["steps"]
    assert "usage" in foreign.lower()
    assert_shows(after, site, one, "GPU")
    # what is shown is read again after each change; who insists on the GPU is told that it fails
    _, on_cpu, on_gpu, _, failed, best, again = found[1]["steps"]
    assert_shows(on_cpu, site, one, "CPU")
    assert on_cpu["refused"] == []
    assert_shows(on_gpu, site, one, "GPU")
    assert failed["error"]
    assert failed["selected"] == "webgpu"
    for shown in (best, again):
        assert_shows(shown, site, one, "CPU")
        assert "ean_float16.tflite on the GPU: " in shown["refused"][0]
    # who left it to the page gets the CPU
    for page in found[2:]:
        shown = page["steps"][-1]
        assert_shows(shown, site, one, "CPU")
        assert shown["refused"][0].startswith("ean_float16.tflite on the GPU, after it had run: the GPU was lost")


def test_a_gpu_that_refuses_leaves_the_cpu(visit, site, pictures):
    steps = [("picture", pictures["one"])]
    pages = visit(*({"before": before, "steps": steps} for before in REFUSING.values()), accelerator="webgpu")
    for page, words in zip(pages, ("offers no WebGPU device", "the GPU reported: "), strict=True):
        assert_shows(page["steps"][0], site, pictures["one"], "CPU")
        refused = page["steps"][0]["refused"]
        assert [reason.split(":")[0] for reason in refused] == [
            f"ean_{recipe}.tflite on the GPU" for recipe in ("float16", "float32", "weight_int8")
        ]
        assert all(words in reason for reason in refused), refused


def test_a_driver_that_computes_nonsense_is_noticed(visit, site, pictures):
    steps = [("picture", pictures["one"]), ("evaluate", "spy.models")]
    ways = {"wrong": "differ from Python's by", "fail": "the spy said no"}
    pages = visit(
        *({"instead": SPY, "before": f"globalThis.spy = {{{way}: 'webgpu'}};", "steps": steps} for way in ways),
        accelerator="webgpu",
    )
    for page, words in zip(pages, ways.values(), strict=True):
        shown, models = page["steps"]
        assert_shows(shown, site, pictures["one"], "CPU")
        assert len(shown["refused"]) == 3
        assert all(words in reason for reason in shown["refused"]), shown["refused"]
        assert models == 3  # the classifier and the two networks of the detector: refused ones are let go


def test_what_cannot_be_selected_leaves_what_runs(visit, site, pictures):
    steps = [("select", "webgpu"), ("picture", pictures["one"])]
    pages = visit({"steps": steps}, {"query": {"recipe": "static_int8"}, "steps": steps})
    words = ("offers no WebGPU device", "No file of the bundle is made for the recipe static_int8 on the GPU.")
    for page, message in zip(pages, words, strict=True):
        refused, shown = page["steps"]
        assert message in refused["error"]
        assert refused["selected"] == ""
        assert refused["status"] == page["opened"]["status"]
        assert_shows(shown, site, pictures["one"], "CPU")


# --- the camera ---


@pytest.fixture
def camera(tmp_path):
    """Return what makes Chromium's arguments for a camera that shows pictures, over and over."""

    def show(*images):
        path = tmp_path / f"{len(images)}.mjpeg"
        with path.open("wb") as stream:
            for image in images:
                image.save(stream, format="JPEG", quality=95)
        return [argument.format(path) for argument in CAMERA]

    return show


FACE = Image.fromarray(portrait()).resize((512, 608))


def test_a_camera_is_watched(visit, camera, site, tmp_path):
    FACE.save(tmp_path / "face.png")
    [face] = expected(site, tmp_path / "face.png", "static_int8")
    steps = [PRESS, status_begins("1 face"), ("evaluate", CHANGES), PRESS, ("shown", None), ("evaluate", STATES)]
    [page] = visit({"before": KEEP_TRACKS, "steps": steps}, arguments=camera(*[FACE] * 10))
    *_, changes, _, shown, tracks = page["steps"]
    [found] = shown["reading"]["faces"]
    # the camera's pictures went through JPEG and video
    np.testing.assert_allclose(found["box"], face.face.box, atol=5)
    np.testing.assert_allclose(found["probabilities"], list(face.probabilities.values()), atol=0.1)
    assert shown["items"][0]["text"].startswith(face.label)
    assert shown["error"] == ""
    # nobody is told again and again what has not changed
    assert changes["status"] == []
    assert len(changes["timing"]) > 5
    assert tracks == ["ended"]


def test_changes_before_a_camera_are_told_once_a_second_at_most(visit, camera):
    nobody = Image.new("RGB", FACE.size, (120, 120, 120))
    steps = [PRESS, status_begins("1 face"), ("evaluate", CHANGES), PRESS]
    [page] = visit({"steps": steps}, arguments=camera(*[FACE] * 20, *[nobody] * 20))
    told = page["steps"][2]["status"]
    assert len(told) >= 2
    assert min(np.diff(told)) > 990


def test_a_camera_that_fails_is_stopped(visit, camera):
    one = status_begins("1 face")
    look_fails = ("evaluate", "spy.fail = 'wasm'")
    unplugged = ("evaluate", "tracks.at(-1).stop()")
    after = [ERROR_SHOWN, ("shown", None), ("evaluate", STATES), ("evaluate", BUTTON)]
    mended = ("evaluate", "spy.fail = ''")
    steps = [PRESS, one, look_fails, *after, mended, PRESS, one, unplugged, *after, PRESS, one]
    [page] = visit({"instead": SPY, "before": KEEP_TRACKS, "steps": steps}, arguments=camera(*[FACE] * 10))
    failed, gone = page["steps"][4:7], page["steps"][12:15]
    for number, (shown, tracks, button), words in (
        (1, failed, "the spy said no"),
        (2, gone, "The camera gives no more pictures"),
    ):
        assert words in shown["error"]
        assert tracks == ["ended"] * number
        assert button == ["Start camera", "false"]
    assert failed[0]["items"] == []  # no faces stay beside a picture that could not be read


def test_a_camera_that_is_not_there_is_told(visit):
    [page] = visit({"steps": [PRESS, ERROR_SHOWN, ("shown", None), ("evaluate", BUTTON)]})
    assert page["steps"][2]["error"].startswith("The camera does not open: ")
    assert page["steps"][3] == ["Start camera", "false"]


def test_one_camera_at_a_time(visit, camera):
    one = status_begins("1 face")
    twice = [("double click", "#camera"), one, PRESS, ("evaluate", STATES)]
    restarted = """(async () => {
        const first = kerafer.state.watching, camera = document.getElementById('camera');
        camera.click();
        camera.click();
        await first;
    })()"""
    again = [PRESS, one, ("evaluate", restarted), one, PRESS, ("evaluate", STATES)]
    pages = visit(
        {"before": KEEP_TRACKS, "steps": twice},
        # a look that takes longer than the camera takes to open
        {"instead": SPY, "before": f"globalThis.spy = {{slow: 1000}}; {KEEP_TRACKS}", "steps": again},
        arguments=camera(*[FACE] * 10),
    )
    assert pages[0]["steps"][-1] == ["ended"]
    assert pages[1]["steps"][-1] == ["ended", "ended"]


def test_nothing_of_the_camera_gets_over_a_picture_or_under_another_model(visit, camera, pictures):
    one, later = status_begins("1 face"), ("evaluate", WAIT.format(2500))
    chosen = [PRESS, ("picture", pictures["none"]), later, ("shown", None), ("evaluate", STATES)]
    slow = {"instead": SPY, "before": f"globalThis.spy = {{slow: 1000}}; {KEEP_TRACKS}"}
    pages = visit(
        {**slow, "steps": chosen},  # while the camera opens
        {**slow, "steps": [PRESS, one, *chosen[1:]]},  # while a face is looked at
        {**slow, "steps": [PRESS, one, ("select", "wasm"), one, later, ("shown", None), PRESS]},
        arguments=camera(*[FACE] * 10),
    )
    for page in pages[:2]:
        shown, tracks = page["steps"][-2:]
        assert shown["status"].startswith("No face found")
        assert shown["items"] == []
        assert (shown["reading"]["width"], shown["reading"]["height"]) == (320, 200)
        assert tracks == ["ended"]
    assert pages[2]["steps"][-2]["error"] == ""
    assert len(pages[2]["steps"][-2]["items"]) == 1


# --- for everybody ---


def contrast(one, other):
    """Return how far two colours are apart, as the Web Content Accessibility Guidelines count it."""

    def luminance(colour):
        share = np.array([float(part) for part in colour.strip("rgb()").split(",")]) / 255
        return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_page_is_accessible_in_light_and_dark(visit, pictures):
    kept = ROOT / "build" / "web"
    kept.mkdir(parents=True, exist_ok=True)
    steps = [("picture", pictures["wide"]), ("axe", None), ("evaluate", COLOURS)]
    both = visit(
        *(
            {"dark": dark, "steps": [*steps, ("screenshot", kept / f"page-{name}.png")]}
            for name, dark in (("light", False), ("dark", True))
        )
    )
    for page in both:
        _, violations, colours, _ = page["steps"]
        assert violations == []
        assert min(contrast(*pair) for pair in colours) >= 3
    assert both[0]["steps"][2] != both[1]["steps"][2]
    assert (kept / "page-light.png").stat().st_size > 10_000


# --- what is wrong is refused ---


def read(site, name):
    return json.loads((site / "bundle" / name).read_text(encoding="utf-8"))


@pytest.fixture
def changed(site, tmp_path):
    """Return what replaces a file of the bundle by a changed one."""

    def change(edit, name="card.json"):
        content = read(site, name)
        edit(content)
        text = json.dumps(content)
        path = tmp_path / f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
        path.write_text(text, encoding="utf-8")
        return {f"/bundle/{name}": str(path)}

    return change


def test_labels_in_another_order_are_refused(visit, changed):
    def swap(content):
        content["labels"][:2] = content["labels"][1::-1]

    for page in visit({"instead": changed(swap)}, {"instead": changed(swap, "golden.json")}):
        assert "probabilities would get wrong names" in page["opened"]["error"]
        assert "angry, disgust, fear" in page["opened"]["error"]
        assert "disgust, angry, fear" in page["opened"]["error"]
        assert page["opened"]["status"] == ""


def test_bad_cards_and_files_are_refused(visit, changed):
    cases = {
        "must have format 1. Received: 2": lambda card: card.update(format=2),
        "`labels` must be two or more different names": lambda card: card.pop("labels"),
        "`preprocessing` must be an object of the fields": lambda card: card["preprocessing"].update(zoom=2),
        "input.shape` must be [1,40,44,3]": lambda card: card["preprocessing"].update(size=[40, 44]),
        "It is damaged, or comes from another export": lambda card: [
            entry.update(sha256="0" * 64) for entry in card["files"].values()
        ],
    }
    golden = {
        "must have the shape [pictures, 44, 44, 3]": lambda golden: golden["shape"].reverse(),
        "must have outputs of ean_static_int8.tflite": lambda golden: golden.update(outputs={}),
        "differ from Python's by": lambda golden: [rows[0].reverse() for rows in golden["outputs"].values()],
    }
    pages = visit(
        *({"instead": changed(edit)} for edit in cases.values()),
        *({"instead": changed(edit, "golden.json")} for edit in golden.values()),
    )
    for message, page in zip([*cases, *golden], pages, strict=True):
        assert message in page["opened"]["error"]


def test_what_is_no_picture_is_refused(visit, pictures):
    [page] = visit({"steps": [("picture", pictures["broken"])]})
    assert "broken.png is no picture that this browser reads" in page["steps"][0]["error"]


def test_a_site_holds_nothing_but_what_the_page_reads(site, build, tool, bundle_folder, tmp_path):
    card = read(site, "card.json")
    assert {path.name for path in (site / "bundle").iterdir()} == {
        *(name for name in card["files"] if name.endswith(".tflite")),
        *("card.json", "golden.json", "golden.bin"),
    }
    with pytest.raises(SystemExit, match="is not empty"):
        build(bundle_folder, tool / "node_modules" / "@litertjs", site)
    with pytest.raises(SystemExit, match="lacks"):
        build(bundle_folder, tmp_path, tmp_path / "site")
