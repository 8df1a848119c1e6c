"""What a person sees of the command: errors and warnings in one line, colours on a terminal alone."""

import contextlib
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from kerafer.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "eam"], "must be one of"),
        (["evaluate", "ean", "--data", "fer2013:none.csv"], "none.csv"),
        (["verify", "nowhere"], "card.json"),
        (["train", "ean", "--data", "fer2013"], "KIND:PATH"),
        (["export", "nothing.keras", "--out", "x"], "nothing.keras"),
        (["predict", "none.png", "--no-files", "--detector", "blazeface"], "none.png"),
        (["video", "none.mp4"], "none.mp4"),
        (["video", "none.mp4", "--every", "nan"], "every=nan"),
        (["predict", "two\nlines.png", "--no-files", "--detector", "blazeface"], "two lines.png"),
        (["plot", "confusion", "none.npz"], "none.npz"),
        (["plot", "reliability", "none.npz", "--out", "picture"], "`--out` must end in .png"),
        (["plot", "gradcam", "none.png", "--out", "picture"], "`--out` must end in .png"),
        (["plot", "distribution", "none.png", "--out", "picture"], "`--out` must end in .png"),
        (["plot", "curves", "run", "--out", "picture"], "`--out` must end in .png"),
        (["plot", "embedding", "ean", "--data", "fer2013:x.csv", "--out", "picture"], "`--out` must end in .png"),
        (["data", "preview", "fer2013:x.csv", "--out", "picture"], "`--out` must end in .png"),
    ],
)
def test_errors_are_one_line_and_code_2(capsys, arguments, words):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.startswith("kerafer: ")
    assert told.count("\n") == 1


@pytest.mark.filterwarnings("default::UserWarning")
def test_warnings_are_one_line_without_the_place_in_the_code(capsys, monkeypatch):
    import warnings

    from kerafer.cli import models

    def warned(arguments):
        warnings.warn("first\n  second", stacklevel=1)
        return 0

    monkeypatch.setattr(models, "_list", warned)
    assert main(["list"]) == 0
    assert capsys.readouterr().err == "kerafer: first second\n"
    assert main(["list", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def on_terminal(code, **environment):
    """Return what a command prints on a terminal."""
    master, slave = os.openpty()
    command = [sys.executable, "-c", f"import sys; from kerafer.cli.main import run; sys.argv[1:] = {code!r}; run()"]
    ran = subprocess.Popen(
        command, stdout=slave, stderr=slave, cwd=ROOT, env={**os.environ, "TERM": "xterm", **environment}
    )
    os.close(slave)
    told = b""
    with contextlib.suppress(OSError):  # the end of a terminal's output
        while part := os.read(master, 4096):
            told += part
    os.close(master)
    ran.wait()
    return told.decode()


def test_colours_are_for_terminals_alone(command):
    arguments = ["info", "no_such_model"]
    assert on_terminal(arguments).startswith("\x1b[31;1mkerafer:\x1b[0m ValueError: ")
    assert on_terminal(arguments, NO_COLOR="1").startswith("kerafer: ValueError: ")
    assert command(*arguments).stderr.startswith("kerafer: ValueError: ")


def test_what_failed_is_red_on_a_terminal(monkeypatch, capsys):
    from kerafer.cli.screen import print_verdict

    print_verdict("a  FAILED\nall files passed")
    assert capsys.readouterr().out == "a  FAILED\nall files passed\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_verdict("a  FAILED\nall files passed")
    assert capsys.readouterr().out == "a  \x1b[31;1mFAILED\x1b[0m\n\x1b[32;1mall files passed\x1b[0m\n"


@pytest.mark.parametrize(
    ("arguments", "goes_on"),
    [
        (["train", "ean", "--data", "fer2013:x.csv"], "from its last epoch"),
        (["data", "align", "from", "to"], "with the pictures that are left"),
        (["list"], ""),
    ],
)
def test_ctrl_c_tells_what_can_go_on(capsys, monkeypatch, arguments, goes_on):
    from kerafer.cli import data_align, models, train

    def stop(_):
        raise KeyboardInterrupt

    for module, name in ((train, "_train"), (data_align, "_align"), (models, "_list")):
        monkeypatch.setattr(module, name, stop)
    assert main(arguments) == 130
    told = capsys.readouterr().err
    assert told == f"kerafer: stopped{'; run the same command again, and it goes on ' * bool(goes_on)}{goes_on}\n"


def test_debug_shows_where_an_error_comes_from():
    command = [sys.executable, "-m", "kerafer", "info", "no_such_model"]
    short, long = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=False) for more in ([], ["--debug"])
    )
    assert short.returncode == 2
    assert short.stderr.startswith("kerafer: ValueError: ")
    assert short.stderr.count("\n") == 1
    assert long.returncode == 2
    assert "Traceback (most recent call last)" in long.stderr
