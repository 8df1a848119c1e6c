"""Trainings of several stages, and teachers who are asked once about every batch of a cycle."""

from dataclasses import replace

import numpy as np
import pytest
import small

import kerafer
from kerafer.data.pipeline import TrainingBatches
from kerafer.data.samples import synthetic
from kerafer.training import PLANS, Plan, Stage, answers, recipe, run_plan, train
from kerafer.training.distributions import Distributions

HARD = recipe("cosine", epochs=2, warmup_epochs=0, batch_size=35, average_epochs=None)
TAUGHT = replace(HARD, loss="distillation", alpha=0.7, temperature=2.0, mixup=0.4)


@pytest.fixture(scope="module", autouse=True)
def small_models():
    with small.registered():
        yield


@pytest.fixture(scope="module")
def splits():
    return synthetic(70), synthetic(35, seed=1, split="public")


@pytest.fixture(scope="module")
def teacher(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    return kerafer.load_model(train(small.NAME, *splits, HARD, folder, seed=8, size=(36, 36), verbose=0).path("best"))


def weights(run):
    return kerafer.load_model(run.folder).model.get_weights()


# Cycles


def batches(splits, cycle, **options):
    contract = kerafer.model_spec(small.NAME).preprocessing
    return TrainingBatches(splits[0], contract, 35, ("random_crop", "flip"), seed=4, cycle=cycle, **options)


def test_the_same_batches_come_again_after_a_cycle(splits):
    cyclic, endless = batches(splits, 3), batches(splits, 0)
    for step in range(12):
        for a, b in zip(cyclic.batch(step), endless.batch(step % 6), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (endless.batch(6)[0] != endless.batch(0)[0]).any()


@pytest.mark.parametrize("name", [small.NAME, pytest.param(small.GRAY, marks=pytest.mark.exhaustive)])
def test_asking_beforehand_teaches_the_same(name, splits, teacher, tmp_path):
    settings = replace(TAUGHT, epochs=3)
    asked = train(name, *splits, settings, tmp_path / "asked", seed=3, teacher=[teacher, teacher], verbose=0)
    kept = train(
        name, *splits, replace(settings, cycle=3), tmp_path / "kept", seed=3, teacher=[teacher, teacher], verbose=0
    )
    for a, b in zip(weights(asked), weights(kept), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_an_interrupted_cycle_goes_on_without_asking_again(splits, teacher, tmp_path, monkeypatch):
    settings = replace(TAUGHT, epochs=4, cycle=2)
    whole = train(small.NAME, *splits, settings, tmp_path / "whole", seed=3, teacher=teacher, verbose=0)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kerafer.training.loop.training_curves", stop)  # drawn after each epoch
        with pytest.raises(KeyboardInterrupt):
            train(small.NAME, *splits, settings, tmp_path / "cut", seed=3, teacher=teacher, verbose=0)
    assert sorted(p.name for p in (tmp_path / "cut" / "answers").iterdir()) == ["epoch-1.npy", "epoch-2.npy"]
    monkeypatch.setattr(answers.Teacher, "views", stop)
    cut = train(small.NAME, *splits, settings, tmp_path / "cut", seed=3, teacher=teacher, verbose=0)
    for a, b in zip(weights(whole), weights(cut), strict=True):
        np.testing.assert_array_equal(a, b)


def test_litert_gives_the_teachers_answers(splits, teacher):
    cyclic = batches(splits, 2)
    taught = answers.Teacher([teacher, teacher], cyclic.preprocessing, splits[0].class_names[::-1])
    x, _ = cyclic.batch(0)
    for threads in (1, 3):
        given = answers.QuickTeacher(taught, threads).predict_on_batch(x)
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, taught.predict_on_batch(x), atol=1e-5)


def test_a_teacher_that_cannot_be_converted_answers_in_keras(splits, teacher, tmp_path, monkeypatch):
    cyclic = batches(splits, 2)
    taught = answers.Teacher([teacher], cyclic.preprocessing, splits[0].class_names)
    quick = answers.kept_answers(taught, cyclic, 2, tmp_path / "quick")

    def refuse(*_):
        raise TypeError("a layer of somebody's own")

    monkeypatch.setattr(answers, "convert", refuse)
    np.testing.assert_allclose(answers.kept_answers(taught, cyclic, 2, tmp_path / "keras"), quick, atol=1e-5)


def test_damaged_answers_are_refused_by_name(splits, teacher, tmp_path):
    cyclic = batches(splits, 2)
    taught = answers.Teacher([teacher], cyclic.preprocessing, splits[0].class_names)
    answers.kept_answers(taught, cyclic, 5, tmp_path)
    path = tmp_path / "answers" / "epoch-2.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(ValueError, match=r"epoch-2\.npy is damaged"):
        answers.kept_answers(taught, cyclic, 5, tmp_path)
    np.save(path, np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match=r"must hold \(2, 35, 7\) values. Received: \(1, 2\)"):
        answers.kept_answers(taught, cyclic, 5, tmp_path)


def test_answers_of_another_shape_are_refused(splits):
    with pytest.raises(ValueError, match=r"`answers` must have shape \(2, 2, 35, 7\).*\(3, 2, 35, 7\)"):
        batches(splits, 2).answer(np.zeros((3, 2, 35, 7), np.float32))


# Hard labels mixed into distributions


def test_a_share_of_the_hard_labels_is_mixed_in():
    values = np.array([[0.2, 0.8], [1.0, 0.0]], np.float32)
    mixed = Distributions(values, {}).mixed(np.array([0, 1]), 0.25)
    np.testing.assert_allclose(mixed, [[0.4, 0.6], [0.75, 0.25]])


def test_a_share_of_the_hard_labels_teaches_them(splits, tmp_path):
    wrong = np.zeros((70, 7), np.float32)
    wrong[np.arange(70), (splits[0].labels + 1) % 7] = 1  # distributions that say another class
    soft = replace(HARD, epochs=12, loss="kl", learning_rate=0.7, label_smoothing=0.0)
    found = {}
    for share in (0.0, 0.9):
        run = train(
            small.NAME,
            *splits,
            replace(soft, hard_share=share),
            tmp_path / str(share),
            distributions=Distributions(wrong, {}),
            verbose=0,
        )
        found[share] = run.record["result"]["last"]["accuracy"]
    assert found[0.0] < 0.3  # of the hard labels; chance is 0.14
    assert found[0.9] > 0.4


# Plans

SMALL = Plan(
    "small_best",
    "for this test",
    (
        Stage("first", small.NAME, HARD, size=36),
        Stage("second", small.GRAY, HARD, seed=4, options={"filters": (4, 8)}),
        Stage("student", small.NAME, TAUGHT, size=36, seed=2, teachers=("first", "second"), initial="first"),
    ),
)


def test_a_plan_trains_teachers_then_the_student(splits, tmp_path):
    run = run_plan(SMALL, *splits, tmp_path, seed=10, verbose=0)
    assert (run.folder, SMALL.model) == (tmp_path / "student", small.NAME)
    settings = run.record["settings"]
    assert [t["name"] for t in settings["teacher"]] == ["best.keras", "best.keras"]
    assert settings["weights"]["weights_sha256"] == settings["teacher"][0]["weights_sha256"]
    assert (settings["seed"], settings["size"]) == (12, [36, 36])
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    again = run_plan(SMALL, *splits, tmp_path, seed=10, verbose=0)  # finished: nothing is trained again
    assert again.record == run.record
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}


def test_a_plan_without_votes_is_refused_before_training(splits, tmp_path):
    soft = replace(HARD, loss="kl")
    plan = Plan("p", "", (Stage("hard", small.NAME, HARD), Stage("soft", small.NAME, soft)))
    with pytest.raises(ValueError, match="votes"):
        run_plan(plan, *splits, tmp_path / "out", verbose=0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "stages",
    [
        (),
        (Stage("a", small.NAME, HARD), Stage("a", small.NAME, HARD)),
        (Stage("a", small.NAME, TAUGHT, teachers=("b",)), Stage("b", small.NAME, HARD)),
        (Stage("a", small.NAME, HARD, initial="a"),),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(stages):
    with pytest.raises(ValueError, match="`stages`"):
        Plan("p", "", stages)


def test_a_plan_that_ends_with_no_model_is_refused():
    with pytest.raises(ValueError, match=r"`result` of the plan 'p' must be 'best' or 'last'\. Received: 'first'"):
        Plan("p", "", (Stage("a", small.NAME, HARD),), result="first")


def test_every_plan_is_whole_and_named_after_its_model():
    for name, plan in PLANS.items():
        assert plan.name == name
        assert name.startswith(plan.model)
        assert plan.source
        for stage in plan.stages:
            assert stage.model in kerafer.list_models()
            assert (stage.recipe.loss == "distillation") == bool(stage.teachers)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_plan_can_be_tried_out_in_an_epoch(plan):
    short = plan.changed(epochs=1, learning_rate=0.5)
    assert {(stage.recipe.epochs, stage.recipe.warmup_epochs) for stage in short.stages} == {(1, 0)}
    assert (short.tuning.epochs, short.tuning.learning_rate) == (1, plan.tuning.learning_rate)
    assert plan.changed().stages == plan.stages
    with pytest.raises(ValueError, match="`warmup_epochs`"):
        plan.changed(epochs=1, warmup_epochs=3)
