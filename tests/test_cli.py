"""The command, as a newcomer types it."""

import json
import subprocess
import sys
import tomllib

import pytest
from conftest import ROOT
from PIL import Image

from kerafer.cli.main import main, parser
from kerafer.data.samples import portrait


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(portrait()).save(path)
    return path


def verbs(of=None, prefix=()):
    """Every verb and sub-verb with its parser."""
    for action in (of or parser())._actions:
        for name, child in (getattr(action, "choices", None) or {}).items() if hasattr(action, "add_parser") else ():
            yield (*prefix, name), child
            yield from verbs(child, (*prefix, name))


def json_of(capsys, *arguments, code=0):
    assert main([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("names", "verb"), [v for v in verbs() if v[1].get_default("run")], ids=str)
def test_every_verb_has_an_example_and_json(names, verb):
    text = verb.format_help()
    assert "example:" in text
    assert "--json" in text


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["train", "--help"]])
def test_help_and_list_load_no_framework(arguments):
    # what loads TensorFlow takes seconds; nothing that only tells should
    code = (
        "import sys; from kerafer.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print([m for m in ('tensorflow', 'keras', 'cv2', 'matplotlib', 'mtcnn') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_import_loads_no_framework():
    code = "import sys, kerafer; kerafer.list_models(); print('tensorflow' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.strip() == "False"


def test_every_public_name_exists():
    import kerafer

    for name in kerafer.__all__:
        assert getattr(kerafer, name) is not None
    with pytest.raises(AttributeError):
        _ = kerafer.nothing


@pytest.mark.parametrize(
    ("name", "parameters", "flops"),
    [("ean", 43840, 5054158), ("ean_a", 76608, 20891694), ("efficientface", 1275293, 154176526)],
)
def test_info(capsys, name, parameters, flops):
    facts = json_of(capsys, "info", name)
    assert (facts["trainable_parameters"], facts["flops"]) == (parameters, flops)


def test_info_tells_what_the_paper_printed(capsys):
    facts = json_of(capsys, "info", "lfer")
    cells = {(row["model"], row["quantity"]): (row["printed"], row["verdict"]) for row in facts["published"]}
    assert cells == {
        ("lfer_baseline", "conv_parameters"): ("1.23", "as printed"),
        ("lfer_baseline", "flops"): ("291.48", "as printed"),
        ("lfer_output", "conv_parameters"): ("1.25", "as printed"),
        ("lfer_output", "flops"): ("291.51", "as printed"),
        ("lfer", "conv_parameters"): ("1.26", "as printed"),
        ("lfer", "flops"): ("294.60", "as printed"),
    }
    assert json_of(capsys, "info", "lfer", "--size", "64")["published"] == []  # not what the paper counted


def test_info_draws_blocks(capsys, tmp_path):
    whole, block = tmp_path / "ean.png", tmp_path / "block3.png"
    assert json_of(capsys, "info", "ean", "--picture", whole)["trainable_parameters"] == 43840
    json_of(capsys, "info", "ean", "--picture", block, "--block", "block3")
    assert Image.open(whole).size != Image.open(block).size
    assert main(["info", "ean", "--block", "block3"]) == 2
    assert "--picture" in capsys.readouterr().err


def test_info_tells_memory(capsys):
    facts = json_of(capsys, "info", "ean")
    assert facts["memory_read_and_written"] == 4_091_244  # the paper's 3.902 MiB
    # the stem's 16 maps of 44x44, while block1 expands them to 48, in float32
    assert facts["activation_peak"] == 44 * 44 * (16 + 48) * 4


def test_info_for_people(capsys):
    assert main(["info", "ean", "--layers"]) == 0
    told = capsys.readouterr().out
    assert "43,840" in told
    assert "block3_eca_conv" in told


def test_list(capsys):
    assert {m["name"] for m in json_of(capsys, "list", "ean*")} >= {"ean", "ean_f"}


def test_predict_writes_picture_and_json(capsys, photo, tmp_path):
    out = tmp_path / "out"
    [entry] = json_of(capsys, "predict", photo, "--out", out)["pictures"]
    assert len(entry["faces"]) == 1
    assert Image.open(out / "photo.annotated.png").size == (512, 600)
    assert json.loads((out / "photo.json").read_text())["faces"] == entry["faces"]


def test_predict_without_a_face_is_no_error(capsys, tmp_path):
    path = tmp_path / "blank.png"
    Image.new("RGB", (200, 200)).save(path)
    assert main(["predict", str(path), "--no-files"]) == 0
    assert "no face found" in capsys.readouterr().out


def test_one_bad_picture_does_not_stop_the_others(capsys, photo, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    entries = json_of(capsys, "predict", bad, photo, tmp_path / "none.png", "--no-files", code=2)["pictures"]
    assert "bad.png" in entries[0]["error"]
    assert len(entries[1]["faces"]) == 1
    assert "none.png" in entries[2]["error"]


def test_pictures_of_one_name_do_not_overwrite_each_other(capsys, photo, tmp_path):
    sources = [photo]
    for folder, suffix in (("b", "png"), ("c", "PNG"), ("d", "webp")):
        path = tmp_path / folder / f"{'PHOTO' if folder == 'c' else 'photo'}.{suffix}"
        path.parent.mkdir()
        Image.open(photo).save(path)
        sources.append(path)
    out = tmp_path / "out"
    entries = json_of(capsys, "predict", *sources, "--out", out, "--detector", "blazeface")["pictures"]
    names = ["photo", "photo-2", "PHOTO-3", "photo-4"]
    assert [entry["annotated"] for entry in entries] == [str(out / f"{name}.annotated.png") for name in names]
    assert [json.loads((out / f"{name}.json").read_text())["source"] for name in names] == list(map(str, sources))


def test_a_source_is_not_overwritten(capsys, photo, tmp_path):
    other = tmp_path / "photo.annotated.png"
    other.write_bytes(photo.read_bytes())
    json_of(capsys, "predict", photo, other, "--out", tmp_path, "--detector", "blazeface")
    assert other.read_bytes() == photo.read_bytes()
    assert (tmp_path / "photo-2.annotated.png").is_file()


def test_export_verify_evaluate(capsys, fer_csv, tmp_path):
    folder, source = tmp_path / "ean", f"fer2013:{fer_csv}"
    made = json_of(capsys, "export", "ean", "--weights", "fer2013", "--out", folder, "--recipe", "float32")
    assert set(made["card"]["files"]) == {"ean_float32.tflite", "model.keras"}
    report = json_of(capsys, "verify", folder)
    assert report["passed"] is True
    keras = json_of(capsys, "evaluate", "ean", "--weights", "fer2013", "--data", source, "--split", "public")
    lite = json_of(capsys, "evaluate", folder / "ean_float32.tflite", "--data", source, "--split", "public")
    assert lite["accuracy"] == keras["accuracy"]
    assert keras["images"] == 7
    made = json_of(
        capsys, "export", "ean", "--out", tmp_path / "int8", "--recipe", "static_int8", "--calibrate", source
    )
    assert made["card"]["files"]["ean_static_int8.tflite"]["calibration"]["from"] == "fer2013 train"
    (folder / "labels.txt").write_text("a\nb\n")
    assert main(["verify", str(folder)]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert main(["export", "ean", "--out", str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_leak_free_leaves_out_what_training_holds_too(capsys, fer_csv):
    head, *rows = fer_csv.read_text().splitlines()
    leaked = rows[0].replace("Training", "PublicTest")
    fer_csv.write_text("\n".join([head, *rows, leaked]) + "\n")
    ask = ("evaluate", "ean", "--data", f"fer2013:{fer_csv}", "--split", "public")
    whole, clean = json_of(capsys, *ask), json_of(capsys, *ask, "--leak-free")
    assert (whole["images"], whole["leak_free_images"], clean["images"]) == (8, 7, 7)
    assert clean["accuracy"] == whole["leak_free_accuracy"]
    fer_csv.write_text("\n".join([head, *(row for row in rows if "Training" not in row)]) + "\n")
    assert main([*ask, "--leak-free"]) == 2
    assert "also occurs in 'train', which cannot be read" in capsys.readouterr().err


def test_data_check(capsys, fer_csv):
    found = json_of(capsys, "data", "check", f"fer2013:{fer_csv}")
    assert (found["train"]["images"], found["public"]["images"]) == (14, 7)
    fer_csv.write_text(fer_csv.read_text() + "9,1 2 3,Training\n")
    assert main(["data", "check", f"fer2013:{fer_csv}"]) == 1
    told = capsys.readouterr()
    assert "line 23" in told.err
    assert "malformed     1" in told.out


@pytest.mark.slow
def test_train_from_the_command_line(command, fer_csv, tmp_path):
    arguments = ["train", "ean", "--data", f"fer2013:{fer_csv}", "--epochs", "2", "--batch-size", "7"]
    ran = command(*arguments, "--out", tmp_path / "run")
    assert ran.returncode == 0, ran.stderr
    assert "last.keras" in ran.stdout
    assert "Epoch 2/2" in ran.stdout
    assert "oneDNN" not in ran.stderr


@pytest.mark.slow
def test_a_wheel_holds_weights_and_command(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True
    )
    import zipfile

    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "kerafer/pretrained/ean-fer2013.npz" in names
    assert "kerafer/pretrained/ean-fer2013.json" in names
    assert "kerafer/py.typed" in names
    assert not [n for n in names if n.startswith(("tests", "benchmarks", "tools"))]


def test_version_is_one(capsys):
    import kerafer

    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert kerafer.__version__ in capsys.readouterr().out
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text()).get("project", {})


def test_quiet_prints_errors_alone(capsys, tmp_path, photo):
    assert main(["list", "--quiet"]) == 0
    assert main(["predict", str(photo), "--out", str(tmp_path / "out"), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "out" / "photo.annotated.png").exists()
    assert json_of(capsys, "list", "ean", "--quiet")[0]["name"] == "ean"  # what was asked for is printed
    assert main(["info", "no_such_model", "--quiet"]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert told.err.count("\n") == 1


COMPLETED = """
eval "$("$0" -m kerafer completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
$(complete -p kerafer | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("kerafer ev", {"evaluate"}),
        ("kerafer export lcn", {"lcnn"}),
        ("kerafer predict --model shufflenet_v", {"shufflenet_v2"}),
        ("kerafer train ean --val", {"--validation"}),
        ("kerafer data ch", {"check"}),
        ("kerafer predict LIC", {"LICENSE"}),
    ],
)
def test_the_tab_key_completes(typed, expected):
    command = ["bash", "-c", COMPLETED, sys.executable, *typed.split()]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert expected <= set(ran.stdout.split()), ran.stderr
    assert all(word.startswith(typed.split()[-1]) for word in ran.stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_every_shell_gets_a_script(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("kerafer", "quantize", "efficientface"))
