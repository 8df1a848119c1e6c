"""The web page in a real browser as its users meet it: with a camera, in light and dark, read aloud."""

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from web_pages import SPY, expected

from kerafer.data.samples import portrait

CAMERA = (
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--use-file-for-fake-video-capture={}",
)
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
