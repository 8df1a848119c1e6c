"""The web page in a real browser computes what Python computes, from picture to probabilities."""

import hashlib
import json

import numpy as np
import pytest
from web_pages import FLOAT, HALF, INTEGER, SPY, assert_same, expected

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

pytestmark = pytest.mark.slow


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
        *(
            {
                "instead": SPY,
                "before": KEEP_DEVICE,
                "steps": [("picture", one), ("evaluate", f"spy.{way} = 'webgpu'"), ("picture", one)],
            }
            for way in ("lose", "hang")
        ),
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


def test_a_site_holds_nothing_but_what_the_page_reads(site, build, browser, bundle_folder, tmp_path):
    card = read(site, "card.json")
    assert {path.name for path in (site / "bundle").iterdir()} == {
        *(name for name in card["files"] if name.endswith(".tflite")),
        *("card.json", "golden.json", "golden.bin"),
    }
    with pytest.raises(SystemExit, match="is not empty"):
        build(bundle_folder, browser / "node_modules" / "@litertjs", site)
    with pytest.raises(SystemExit, match="lacks"):
        build(bundle_folder, tmp_path, tmp_path / "site")
