"""Recipes: the papers' settings as values, and an optimizer that really follows them."""

import json
import math

import keras
import numpy as np
import pytest

import kerafer
from kerafer.training import RECIPES, TrainingRecipe, default_recipe, parse_changes, recipe
from kerafer.training.loop import _optimizer
from kerafer.training.recipes import SOFT_LOSSES

PAPERS = {
    "ean_paper": {
        "learning_rate": 0.01,
        "batch_size": 128,
        "optimizer": "sgd",
        "schedule": "plateau",
        "plateau_factor": 0.9,
        "augmentation": ("five_crop", "flip"),
        "loss": "cross_entropy",
    },
    "ean_transfer": {
        "learning_rate": 0.1,
        "batch_size": 128,
        "schedule": "plateau",
        "plateau_factor": 0.9,
        "loss": "distillation",
        "alpha": 0.5,
        "temperature": 5.0,
    },
    "lcnn_paper": {"optimizer": "adam", "epochs": 250, "loss": "cross_entropy"},
    "efficientface_rafdb": {
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-3,  # 1e-4 in PyTorch's way of counting: see below
        "batch_size": 128,
        "epochs": 100,
        "schedule": "steps",
        "step_factor": 0.1,
        "step_epochs": 30,
        "augmentation": ("random_resized_crop", "flip"),
        "loss": "label_distribution",
        "combo_weight": 0.0,
    },
    "efficientface_affectnet": {"epochs": 20, "step_factor": 0.1, "step_epochs": 5, "sampling": "balanced"},
    "efficientface_caers": {"epochs": 400, "step_factor": 0.5, "step_epochs": 50},
    "lfer_rafdb": {
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 1e-3,  # 1e-4 in PyTorch's way of counting: see below
        "batch_size": 32,
        "epochs": 120,
        "schedule": "steps",
        "step_factor": 0.1,
        "step_epochs": 30,
        "loss": "kl",
        "combo_beta": 0.2,
        "sampling": "shuffle",
    },
    "lfer_affectnet": {"batch_size": 64, "epochs": 120, "step_epochs": 10, "combo_beta": 0.6, "sampling": "balanced"},
}


def rates(chosen, steps_per_epoch, steps):
    """What each step takes from a weight whose gradient is 1."""
    optimizer = _optimizer(chosen, steps_per_epoch)
    weight = keras.Variable(np.zeros(1, np.float32))
    optimizer.build([weight])
    taken = []
    for _ in range(steps):
        before = float(weight.numpy()[0])
        optimizer.apply([np.ones(1, np.float32)], [weight])
        taken.append(before - float(weight.numpy()[0]))
    return taken


def plain(**changes):
    """Settings under which a step takes just the rate."""
    return recipe("ean_paper", **{"momentum": 0.0, "weight_decay": 0.0, "learning_rate": 1.0, **changes})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name):
    chosen = recipe(name)
    assert chosen.name == name
    assert chosen.source
    values = json.loads(json.dumps(chosen.to_dict()))
    assert values == chosen.to_dict()
    assert TrainingRecipe(**{**values, "augmentation": tuple(values["augmentation"])}) == chosen


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_values(name):
    values = {field: getattr(recipe(name), field) for field in PAPERS[name]}
    assert values == PAPERS[name]


def test_affectnet_and_caers_share_the_rest_with_rafdb():
    for family, base in (("efficientface_", "efficientface_rafdb"), ("lfer_", "lfer_rafdb")):
        for name in (n for n in RECIPES if n.startswith(family)):
            for field in ("learning_rate", "momentum", "weight_decay", "augmentation", "loss", "combo_weight"):
                assert getattr(recipe(name), field) == getattr(recipe(base), field), (name, field)


@pytest.mark.parametrize("model", kerafer.list_models())
def test_each_model_has_a_recipe_for_each_method(model):
    assert recipe(default_recipe(model)).loss == "cross_entropy"
    assert recipe(default_recipe(model, "soft")).loss in SOFT_LOSSES
    assert recipe(default_recipe(model, "distill")).loss == "distillation"


def test_the_papers_models_get_their_own():
    chosen = [default_recipe(name) for name in ("ean", "ean_a", "lcnn", "ldg_resnet50", "efficientface")]
    assert chosen == ["ean_paper", "ean_paper", "lcnn_paper", "ldg", "cosine"]
    assert [default_recipe(n, "soft") for n in ("efficientface", "lfer", "ean")] == [
        "efficientface_rafdb",
        "lfer_rafdb",
        "efficientface_rafdb",
    ]
    with pytest.raises(ValueError, match="`method` must be one of hard, soft, distill"):
        default_recipe("ean", "easy")


def test_steps_change_the_rate_at_the_first_step_of_an_epoch():
    chosen = plain(schedule="steps", step_factor=0.5, step_epochs=2, epochs=6)
    expected = [1.0] * 6 + [0.5] * 6 + [0.25] * 6  # three steps an epoch
    np.testing.assert_allclose(rates(chosen, 3, 18), expected, rtol=1e-5)


def test_steps_longer_than_the_training_never_change_it():
    np.testing.assert_allclose(rates(plain(schedule="steps", step_epochs=30, epochs=3), 2, 6), 1.0, rtol=1e-6)


@pytest.mark.parametrize("warmup", [0, 2])
def test_cosine_rises_and_falls_to_nothing(warmup):
    chosen = plain(schedule="cosine", warmup_epochs=warmup, epochs=8)
    first, total = warmup * 3, 8 * 3
    expected = [
        step / first if step < first else 0.5 * (1 + math.cos(math.pi * (step - first) / (total - first)))
        for step in range(total + 1)
    ]
    np.testing.assert_allclose(rates(chosen, 3, total + 1), expected, atol=2e-6)
    assert expected[-1] == 0


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_other_schedules_leave_the_optimizer_its_rate(schedule):
    np.testing.assert_allclose(rates(plain(schedule=schedule, epochs=3), 2, 6), 1.0, rtol=1e-6)


def test_momentum_and_looking_ahead():
    np.testing.assert_allclose(rates(plain(momentum=0.5), 1, 3), [1, 1.5, 1.75], rtol=1e-6)
    np.testing.assert_allclose(rates(plain(momentum=0.5, nesterov=True), 1, 3), [1.5, 1.75, 1.875], rtol=1e-6)


def test_weight_decay_shrinks_by_rate_times_decay():
    optimizer = _optimizer(plain(weight_decay=0.1, learning_rate=0.5), 1)
    weight = keras.Variable(np.array([2.0], np.float32))
    optimizer.build([weight])
    optimizer.apply([np.zeros(1, np.float32)], [weight])
    np.testing.assert_allclose(weight.numpy(), 2 * (1 - 0.5 * 0.1), rtol=1e-6)


@pytest.mark.parametrize("name", ["efficientface_rafdb", "lfer_rafdb", "ldg"])
def test_the_papers_weight_decay_shrinks_as_in_pytorch(name):
    settings = recipe(name, schedule="constant")
    optimizer, weight = _optimizer(settings, 1), keras.Variable(np.array([2.0], np.float32))
    optimizer.build([weight])
    expected, velocity = 2.0, 0.0
    for _ in range(400):
        optimizer.apply([np.zeros(1, np.float32)], [weight])
        velocity = 0.9 * velocity + 1e-4 * expected  # the gradient is 0 but for the decay
        expected -= settings.learning_rate * velocity
    shrunk = 2 - expected
    np.testing.assert_allclose(2 - weight.numpy(), shrunk, rtol=0.05)  # the velocity had to grow first


def test_adam_is_adam():
    optimizer = _optimizer(recipe("lcnn_paper"), 10)
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert (float(optimizer.beta_1), float(optimizer.beta_2)) == (0.9, 0.999)
    # whatever the gradient, Adam's first steps are the rate
    np.testing.assert_allclose(rates(recipe("lcnn_paper"), 10, 3), 1e-3, rtol=1e-3)
    assert isinstance(_optimizer(recipe("ean_paper"), 10), keras.optimizers.SGD)


def test_the_average_reaches_as_far_back_as_it_says():
    optimizer = _optimizer(plain(average_epochs=2.0), 4)
    assert optimizer.use_ema
    # a mean over the last n steps has, on average, steps (n - 1) / 2 ago; an exponential one momentum / (1 - momentum)
    assert optimizer.ema_momentum / (1 - optimizer.ema_momentum) == pytest.approx(2.0 * 4)
    assert not _optimizer(plain(average_epochs=None), 4).use_ema


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("epochs=10", "epochs", 10),
        ("learning_rate=1e-3", "learning_rate", 0.001),
        ("schedule=steps", "schedule", "steps"),
        ("nesterov=True", "nesterov", True),
        ("nesterov=false", "nesterov", False),
        ("average_epochs=none", "average_epochs", None),
        ("average_epochs=2.5", "average_epochs", 2.5),
        ("augmentation=five_crop,flip", "augmentation", ("five_crop", "flip")),
        ("augmentation=", "augmentation", ()),
    ],
)
def test_changes_from_text(text, field, value):
    changes = parse_changes([text])
    assert changes == {field: value}
    assert type(changes[field]) is type(value)
    assert getattr(recipe("ean_paper", **changes), field) == value


@pytest.mark.parametrize("name", RECIPES)
def test_every_field_can_be_written_as_text(name):
    texts = {
        field: ",".join(value) if isinstance(value, list) else str(value)
        for field, value in recipe(name).to_dict().items()
    }
    assert TrainingRecipe(**parse_changes([f"{field}={text}" for field, text in texts.items()])) == recipe(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs", "FIELD=VALUE.*Received: 'epochs'"),
        ("lr=0.1", "FIELD one of name, source, epochs.*'lr=0.1'"),
        ("epochs=many", "`epochs` of a recipe must be of type int.*'epochs=many'"),
        ("epochs=1.5", "`epochs` of a recipe must be of type int"),
        ("learning_rate=fast", "`learning_rate` of a recipe must be of type float"),
        ("nesterov=yes", "`nesterov` of a recipe must be of type bool"),
        ("average_epochs=some", "`average_epochs` of a recipe must be of type float | None"),
    ],
)
def test_wrong_changes_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_changes([text])


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": -1.0},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"optimizer": "lion"},
        {"momentum": 1.0},
        {"weight_decay": -1e-4},
        {"schedule": "step"},
        {"warmup_epochs": 100},
        {"plateau_factor": 1.0},
        {"plateau_patience": 0},
        {"step_factor": 0.0},
        {"step_epochs": 0},
        {"augmentation": ("blur",)},
        {"mixup": -0.1},
        {"sampling": "weighted"},
        {"normalization": "imagenet"},
        {"label_smoothing": 1.0},
        {"loss": "mse"},
        {"combo_weight": -1.0},
        {"combo_alpha": 1.1},
        {"combo_beta": -0.1},
        {"alpha": 2.0},
        {"temperature": 0.0},
        {"average_epochs": 0.0},
        {"dtype_policy": "float16"},
    ],
    ids=str,
)
def test_values_out_of_range_are_named(changes):
    field = next(iter(changes))
    with pytest.raises(ValueError, match=rf"`{field}` of a recipe must be .+\. Received: {field}="):
        recipe("ean_paper", **changes)


def test_unknown_names_and_fields_are_refused():
    with pytest.raises(ValueError, match=r"`recipe` must be one of ean_paper, .*'sgd'"):
        recipe("sgd")
    with pytest.raises(ValueError, match=r"no field \['lr'\]; it has name, source, epochs"):
        recipe("ean_paper", lr=1.0)
