"""`kerafer train`, `recipes`, `ldl`, `distill` and `sweep` from the command line."""

import csv
import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import small
from conftest import ROOT

import kerafer
from kerafer.cli.common import chosen_recipe
from kerafer.cli.main import main, parser
from kerafer.data.samples import write_synthetic_csv
from kerafer.training import PLANS, RECIPES, Plan, Stage, parse_changes, recipe
from kerafer.training.record import weights_checksum

QUICK = ("--epochs", 1, "--batch-size", 14, "--size", 32)
PLAIN = ("--recipe", "ean_paper")  # for the small network, whose own recipe warms up for longer than one epoch


@pytest.fixture(scope="module", autouse=True)
def small_models():
    with small.registered(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerafer.training.loop.training_curves", lambda *arguments, **options: None)  # takes a third
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = write_synthetic_csv(tmp_path_factory.mktemp("data") / "fer2013.csv", train=28, public=14)
    return ("--data", f"fer2013:{path}")


@pytest.fixture(scope="module")
def run_folder(data, tmp_path_factory):
    """A run of the small network, by `kerafer train`."""
    out = tmp_path_factory.mktemp("runs") / "teacher"
    assert main([str(a) for a in ("train", small.NAME, *data, *QUICK, *PLAIN, "--out", out, "--json")]) == 0
    return out


@pytest.fixture
def call(capsys):
    """Run a verb and return its JSON."""

    def run(*arguments):
        assert main([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def refused(capsys):
    """Run a verb that is used wrongly and return its message."""

    def run(*arguments):
        assert main([*map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return captured.err

    return run


def settings_of(folder):
    return json.loads((folder / "run.json").read_text())["settings"]


def sha256_of(path):
    return weights_checksum(kerafer.load_model(path).model)


# The manual


def documented():
    """The commands of docs/training.md, in words."""
    text = (ROOT / "docs/training.md").read_text().replace("\\\n", " ")
    for line in re.findall(r"^\$ (.*)$", text, flags=re.MULTILINE):
        words = [word for word in shlex.split(line, comments=True) if not re.match("KERAS_.*=", word)]
        if words[0] == "kerafer":
            yield words[1:]


@pytest.mark.parametrize("words", documented(), ids=" ".join)
def test_documented_commands_are_understood(words):
    arguments = parser().parse_args(words)
    if hasattr(arguments, "set"):
        assert arguments.model in kerafer.list_models()
        assert arguments.recipe in PLANS or chosen_recipe(arguments, "ean_paper").epochs > 0
        parse_changes([*getattr(arguments, "generator_set", []), *getattr(arguments, "teacher_set", [])])


# Recipes


def test_recipes_as_json(call):
    everything = {**RECIPES, **PLANS}
    assert call("recipes") == json.loads(json.dumps({name: chosen.to_dict() for name, chosen in everything.items()}))
    assert call("recipes", "lfer_rafdb") == {"lfer_rafdb": recipe("lfer_rafdb").to_dict()}


def test_recipes_for_people(capsys):
    assert main(["recipes"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{printed}" for name in RECIPES)
    assert RECIPES["ean_transfer"].source in printed
    assert main(["recipes", "lfer_rafdb"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (lines["combo_beta"], lines["loss"]) == ("0.2", "kl")


def test_an_unknown_recipe_is_refused(refused, data, tmp_path):
    assert "`recipe` must be one of ean_paper" in refused("recipes", "sgd")
    message = refused("train", small.NAME, *data, "--recipe", "sgd", "--out", tmp_path / "run")
    assert "`recipe` must be one of ean_paper" in message


# Changing a recipe


def test_set_changes_any_field(data, call, tmp_path):
    changes = ["augmentation=five_crop", "mixup=0.2", "learning_rate=0.5", "average_epochs=1", "warmup_epochs=0"]
    flags = [part for change in changes for part in ("--set", change)]
    shown = call("train", small.NAME, *data, *QUICK, *flags, "--learning-rate", 0.03, "--out", tmp_path / "run")
    expected = recipe(
        "cosine",
        augmentation=("five_crop",),
        mixup=0.2,
        average_epochs=1.0,
        warmup_epochs=0,
        epochs=1,
        batch_size=14,
        learning_rate=0.03,  # a flag of its own counts more
    )
    assert shown["settings"]["recipe"] == expected.to_dict()
    assert shown["folder"] == str(tmp_path / "run")
    assert shown["result"]["epochs"] == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "lr=1"], "FIELD one of name, source, epochs"),
        (["--set", "epochs=ten"], "`epochs` of a recipe must be of type int"),
        (["--set", "mixup=-1"], "`mixup` of a recipe must be 0 or more. Received: mixup=-1.0"),
        (["--epochs", "0"], "`epochs` of a recipe must be 1 or more"),
        (["--recipe", "cosine", "--epochs", "1"], "`warmup_epochs` of a recipe must be 0 or more, and below epochs=1"),
        (["--recipe", "lfer_rafdb"], "`distributions` go with the losses"),
        (["--recipe", "ean_transfer"], "`teacher` goes with the loss distillation"),
    ],
)
def test_wrong_settings_exit_with_2(flags, message, data, refused, tmp_path):
    assert message in refused("train", "ean", *data, *flags, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


HARD = recipe("cosine", warmup_epochs=0)
PLAN = Plan(
    "small_best",
    "for this test",
    (
        Stage("first", small.NAME, HARD, size=32),
        Stage("last", small.NAME, replace(HARD, loss="distillation"), size=32, resize=36, teachers=("first",)),
    ),
    result="last",
)


def test_a_plan_trains_all_stages_and_writes_the_integer_file(data, call, refused, tmp_path, monkeypatch):
    monkeypatch.setitem(PLANS, PLAN.name, PLAN)
    flags = ("--recipe", PLAN.name, "--epochs", 1, "--batch-size", 14, "--out", tmp_path)
    told = call("train", small.NAME, *data, *flags)
    assert [told["folder"], told["model"]] == [str(tmp_path / "last"), str(tmp_path / "last" / "last.keras")]
    assert told["settings"]["resize"] == [36, 36]
    assert told["settings"]["recipe"]["epochs"] == 1
    assert [len(told["settings"]["teacher"]), told["settings"]["seed"]] == [1, 0]
    exported = kerafer.load_model(tmp_path / "last-int8" / f"{small.NAME}_qat_int8.tflite")
    assert exported.card.preprocessing.resize == (36, 36)
    tuned = json.loads((tmp_path / "last-int8" / "run.json").read_text())
    assert tuned["settings"]["source"]["name"] == "last.keras"
    assert call("train", small.NAME, *data, *flags) == told  # nothing is trained again
    assert f"trains {small.NAME}" in refused("train", "ean", *data, *flags)
    assert "--size goes with a recipe of one stage" in refused("train", small.NAME, *data, *flags, "--size", 32)
    assert call("recipes", PLAN.name)[PLAN.name]["stages"][1]["teachers"] == ["first"]


def test_votes_that_would_not_be_used_are_refused(data, refused, tmp_path):
    flags = (*data, *QUICK, *PLAIN, "--votes", "fer2013new.csv", "--out", tmp_path / "run")
    assert "`--votes` goes with a plan" in refused("train", small.NAME, *flags)
    assert not (tmp_path / "run").exists()


def test_plans_for_people(capsys):
    assert main(["recipes"]) == 0
    listed = capsys.readouterr().out
    for name, plan in PLANS.items():
        assert name in listed
        assert main(["recipes", name]) == 0
        shown = capsys.readouterr().out
        lines = [f"{'name':<18}{stage.name}" for stage in plan.stages] + [f"{'result':<18}{plan.result}"]
        assert set(lines) <= set(shown.splitlines())


def test_an_existing_folder_of_another_run_is_refused(run_folder, data, refused):
    message = refused("train", small.NAME, *data, *QUICK, *PLAIN, "--seed", 8, "--out", run_folder)
    assert "other settings: seed differ" in message


# Distributions


def test_ldl_with_a_generator_of_the_zoo(data, call, tmp_path):
    generator = ["--generator", small.NAME, "--generator-recipe", "ldg", "--generator-size", 36]
    for change in ("epochs=1", "batch_size=14", "augmentation=five_crop"):
        generator += ["--generator-set", change]
    out, cache = tmp_path / "run", tmp_path / "cache"
    shown = call("ldl", small.GRAY, *data, *QUICK, *generator, "--cache", cache, "--out", out)
    assert shown["folder"] == str(out / "student")
    assert shown["settings"]["recipe"] == recipe("efficientface_rafdb", epochs=1, batch_size=14).to_dict()
    of_generator = settings_of(out / "generator")
    expected = recipe("ldg", epochs=1, batch_size=14, augmentation=("five_crop",))
    assert of_generator["recipe"] == expected.to_dict()
    assert of_generator["size"] == [36, 36]
    made = shown["settings"]["distributions"]
    assert made["weights_sha256"] == sha256_of(out / "generator" / "best.keras")
    assert [p.name.partition("-")[0] for p in cache.iterdir()] == ["distributions"]


def test_ldl_with_a_trained_generator_and_lfers_losses(run_folder, data, capsys, tmp_path):
    out = tmp_path / "run"
    arguments = ["ldl", small.NAME, *data, *QUICK, "--generator", run_folder, "--recipe", "lfer_rafdb", "--out", out]
    assert main([*map(str, arguments)]) == 0
    printed = capsys.readouterr().out
    assert f"{out / 'student'}: 1 epochs on 28 images" in printed
    assert "best.keras  public accuracy" in printed
    settings = settings_of(out / "student")
    assert settings["distributions"]["weights_sha256"] == sha256_of(run_folder / "last.keras")
    assert (settings["recipe"]["loss"], settings["recipe"]["combo_beta"]) == ("kl", 0.2)


def test_ldl_with_votes(data, call, tmp_path):
    votes = tmp_path / "fer2013new.csv"
    rng = np.random.default_rng(0)
    rows = [f"{usage},{i}.png,{','.join(map(str, rng.multinomial(10, [0.1] * 10)))}" for i, usage in enumerate(USAGE)]
    votes.write_text(
        "\n".join(["Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear," + REST, *rows])
    )
    shown = call("ldl", small.NAME, *data, *QUICK, "--votes", votes, "--out", tmp_path / "run")
    made = kerafer.training.distributions_from_votes(kerafer.load_data(data[1], "train", votes=votes))
    assert shown["settings"]["distributions"] == dict(made.source)
    assert shown["folder"] == str(tmp_path / "run")


USAGE = ["Training"] * 28 + ["PublicTest"] * 14
REST = "contempt,unknown,NF"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--generator", "missing"], "There is no model or file 'missing'"),
        (["--recipe", "ean_paper", "--generator", small.NAME], "one of the losses label_distribution, kl"),
        (["--ferplus"], "without FER+ votes"),
        (["--generator", small.NAME, "--generator-set", "lr=1"], "FIELD one of name"),
    ],
)
def test_wrong_ldl_exits_with_2(flags, message, data, refused, tmp_path):
    assert message in refused("ldl", small.NAME, *data, *QUICK, *flags, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_of_a_training_that_does_not_happen_are_refused(run_folder, data, refused, tmp_path):
    out = ("--out", tmp_path / "run")
    generator = ("--generator", run_folder, "--generator-set", "epochs=1")
    assert "--generator-set` are for a generator" in refused("ldl", small.NAME, *data, *generator, *out)
    teacher = ("--teacher", run_folder, "--teacher-recipe", "cosine")
    assert "--teacher-recipe` are for a teacher" in refused("distill", small.NAME, *data, *teacher, *out)


# Teachers


def test_distill_with_an_ensemble(run_folder, data, call, tmp_path):
    other = run_folder / "best.keras"
    teachers = ("--teacher", run_folder, "--teacher", other)
    flags = ("--rounds", 2, "--no-weight-transfer", "--out", tmp_path / "run")
    shown = call("distill", small.GRAY, *data, *QUICK, *teachers, *flags)
    assert shown["folder"] == str(tmp_path / "run")
    assert [row["folder"] for row in shown["rounds"]] == ["round-1", "round-2"]
    assert shown["weight_transfer"] is False
    first, second = (settings_of(tmp_path / "run" / f"round-{i}") for i in (1, 2))
    expected = [sha256_of(path) for path in (run_folder / "last.keras", other)]
    assert [t["weights_sha256"] for t in first["teacher"]] == expected
    assert second["weights"] is None
    assert first["recipe"] == recipe("ean_transfer", epochs=1, batch_size=14).to_dict()


def test_distill_trains_its_own_teacher(data, capsys, tmp_path):
    teacher = ("--teacher-recipe", "ean_paper", "--teacher-set", "epochs=1", "--teacher-set", "batch_size=14")
    arguments = ("distill", small.NAME, *data, *QUICK, *teacher, "--rounds", 1, "--out", tmp_path / "run")
    assert main([*map(str, arguments)]) == 0
    printed = capsys.readouterr().out
    assert f"{tmp_path / 'run'}: 1 rounds" in printed
    assert "round-1   public accuracy" in printed
    taught = settings_of(tmp_path / "run" / "round-1")["teacher"]
    assert taught[0]["weights_sha256"] == sha256_of(tmp_path / "run" / "teacher" / "best.keras")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rounds", "0"], "`rounds` must be 1 or more"),
        (["--recipe", "ean_paper"], "`recipe` must have the loss distillation"),
        (["--teacher", "missing"], "There is no model or file 'missing'"),
        (["--teacher-set", "temperature=-1"], "`temperature` of a recipe must be above 0"),
    ],
)
def test_wrong_distill_exits_with_2(flags, message, data, refused, tmp_path):
    assert message in refused("distill", "ean", *data, *QUICK, *flags, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Weights to start from


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "flags", "stage"),
    [("ldl", ["--generator"], "student"), ("distill", ["--rounds", "1", "--teacher"], "round-1")],
)
def test_weights_reach_the_student(verb, flags, stage, run_folder, data, call, tmp_path):
    path = tmp_path / "mine.npz"
    kerafer.save_weights(kerafer.load_model(run_folder).model, path)
    arguments = (verb, small.NAME, *data, *QUICK, *flags, run_folder, "--weights", path, "--out", tmp_path / "run")
    call(*arguments)
    assert settings_of(tmp_path / "run" / stage)["weights"]["name"] == "mine.npz"


# Sweeps


def rows_of(folder):
    with open(folder / "sweep.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_sweep_distillation(run_folder, data, call, tmp_path):
    flags = ("--pairs", "0.3,5", "0.7,10", "--rounds", 1, "--teacher", run_folder, "--out", tmp_path / "sweep")
    shown = call("sweep", "distillation", small.NAME, *data, *QUICK, *flags)
    assert [(row["alpha"], row["temperature"]) for row in shown["rows"]] == [(0.3, 5.0), (0.7, 10.0)]
    assert shown["best"] in shown["rows"]
    assert [row["folder"] for row in rows_of(tmp_path / "sweep")] == [row["folder"] for row in shown["rows"]]
    assert (tmp_path / "sweep" / "sweep.png").is_file()


def test_sweep_combo_trains_one_generator_for_all(data, capsys, tmp_path):
    generator = ["--generator", small.NAME, "--generator-size", 32]
    for change in ("epochs=1", "batch_size=14", "warmup_epochs=0"):
        generator += ["--generator-set", change]
    out = tmp_path / "sweep"
    arguments = ("sweep", "combo", small.NAME, *data, *QUICK, *generator, "--betas", 0.2, 0.6, "--out", out)
    assert main([*map(str, arguments)]) == 0
    printed = capsys.readouterr().out
    assert "combo_beta-0.2" in printed
    assert printed.count("the best") == 1
    assert [float(row["combo_beta"]) for row in rows_of(out)] == [0.2, 0.6]
    made = {settings_of(out / row["folder"])["distributions"]["weights_sha256"] for row in rows_of(out)}
    assert made == {sha256_of(out / "generator" / "best.keras")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["distillation", "--pairs", "0.3"], "`--pairs` must be ALPHA,T such as 0.5,5. Received: '0.3'"),
        (["distillation", "--pairs", "3,5"], "`alpha` of a recipe must be in [0, 1]"),
        (["combo", "--betas", "2"], "`combo_beta` of a recipe must be in [0, 1]"),
        (["combo", "--recipe", "ean_paper"], "must have a `combo_weight` above 0"),
    ],
)
def test_wrong_sweeps_exit_with_2(arguments, message, data, refused, tmp_path):
    action, *flags = arguments
    common = (*data, *QUICK, "--out", tmp_path / "sweep")
    assert message in refused("sweep", action, "ean", *common, *flags)
    assert not (tmp_path / "sweep").exists()
