"""The training loop, on a small set that a network can learn."""

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fer.nn.weights import normalize_faces
from fer.runtime.errors import InputError
from fer.training import loop
from fer.training.examples import LabelledSet
from fer.training.optim import learning_rate_factor, make_optimizer
from fer.training.params import (
    SGD,
    AdaptiveOptimizer,
    PlateauSchedule,
    Recipe,
    RestartSchedule,
    SmoothSchedule,
    StepSchedule,
    Transforms,
)
from fer.training.step import balanced_class_weights

TRANSFORMS = Transforms(
    flip=0.5,
    rotation_degrees=5.0,
    shift=0.05,
    zoom=0.05,
    shear_degrees=2.0,
    brightness=0.1,
    contrast=0.1,
    erasing=0.1,
    erased_area=0.2,
    camera=None,
)
ADAMW = AdaptiveOptimizer(kind="adamw", lr=0.01, weight_decay=0.01)
RECIPE = Recipe(
    epochs=4,
    batch=16,
    optimizer=ADAMW,
    schedule=SmoothSchedule(kind="one_cycle", warmup=0.25),
    targets="labels",
    dropout=0.2,
    label_smoothing=0.1,
    mixup=0.0,
    class_weights="none",
    ema=0.5,
    patience=None,
    transfer=None,
)
SGD = SGD(kind="sgd", lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.0)
OPTIMIZERS = {
    "sgd": SGD.model_copy(update={"nesterov": False}),
    "sgd without momentum": SGD.model_copy(update={"nesterov": False, "momentum": 0.0}),
    "nesterov": SGD,
    "adadelta": AdaptiveOptimizer(kind="adadelta", lr=1.0, weight_decay=0.0),
} | {kind: AdaptiveOptimizer(kind=kind, lr=0.01, weight_decay=0.01) for kind in ("adam", "adamw", "rmsprop", "adagrad")}
SCHEDULES = {kind: SmoothSchedule(kind=kind, warmup=0.1) for kind in ("constant", "cosine", "one_cycle")} | {
    "step": StepSchedule(kind="step", warmup=0.1, every=0.3, factor=0.1),
    "restarts": RestartSchedule(kind="restarts", warmup=0.1, cycles=2),
    "plateau": PlateauSchedule(kind="plateau", factor=0.1, patience=1),
}
CHANGED_RECIPE = {
    "epochs": 3,
    "batch": 8,
    "optimizer": SGD,
    "schedule": SCHEDULES["cosine"],
    "dropout": 0.4,
    "label_smoothing": 0.0,
    "mixup": 0.4,
    "class_weights": "balanced",
    "ema": 0.9,
    "patience": 1,
}


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the network is too small for more
    yield
    torch.set_num_threads(threads)


def make_faces(n: int, seed: int) -> LabelledSet:
    """Return three classes, a bright stripe left, centre or bottom; half of the faces are of the first class."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(n) * 4 // n
    labels[labels == 3] = 0
    pixels = generator.integers(0, 120, (n, 16, 16), dtype=np.uint8)
    for face, emotion in zip(pixels, labels, strict=True):
        stripe = (face[:, :4], face[:, 6:10], face[12:])[emotion]
        stripe += np.uint8(100)
    return LabelledSet(pixels, np.eye(3, dtype=np.float32)[labels], np.ones(n, dtype=np.float32))


def small_network(dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(64, 3),
    )


def train(
    train_set: LabelledSet | None = None,
    transforms: Transforms = TRANSFORMS,
    steps: int = 40,
    seed: int = 0,
    logit_adjustment: float = 0.0,
    **changes: Any,
) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Train a small network, and return its weights and learning curve."""
    recipe = RECIPE.model_copy(update=changes)
    network = small_network(recipe.dropout)
    curve = loop.train_phase(
        network,
        make_faces(96, 0) if train_set is None else train_set,
        make_faces(60, 1),
        recipe=recipe,
        transforms=transforms,
        steps=steps,
        seed=seed,
        precision="fp32",
        name="small",
        logit_adjustment=logit_adjustment,
    )
    return network.state_dict(), curve


def are_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


def test_training_improves_loss_and_accuracy() -> None:
    _, curve = train(steps=120, epochs=6)
    assert curve[-1]["valid_accuracy"] > 0.9
    assert curve[-1]["train_loss"] < curve[0]["train_loss"]


def test_the_seed_determines_the_weights() -> None:
    assert are_equal(train()[0], train()[0])
    assert not are_equal(train()[0], train(seed=1)[0])


@pytest.mark.parametrize("name", CHANGED_RECIPE)
def test_every_recipe_parameter_has_an_effect(name: str) -> None:
    if name == "patience":  # acts if an epoch brings no improvement
        assert len(train(steps=40, epochs=20, patience=1)[1]) < 20
    else:
        assert not are_equal(train()[0], train(**{name: CHANGED_RECIPE[name]})[0])


@pytest.mark.parametrize("name", sorted(set(Transforms.model_fields) - {"camera"}))
def test_every_transform_has_an_effect(name: str) -> None:
    assert not are_equal(train()[0], train(transforms=TRANSFORMS.model_copy(update={name: 0.0}))[0])


def test_every_optimizer_lowers_the_loss_and_gives_different_weights() -> None:
    weights_by_name = {}
    for name, optimizer in OPTIMIZERS.items():
        weights, curve = train(optimizer=optimizer, schedule=SCHEDULES["constant"], steps=120)
        assert curve[-1]["train_loss"] < curve[0]["train_loss"], name
        weights_by_name[name] = weights
    assert not any(are_equal(first, second) for first, second in combinations(weights_by_name.values(), 2))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_and_learning_rate_have_an_effect(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    for changes in ({"weight_decay": 0.1}, {"lr": optimizer.lr / 2}):
        assert not are_equal(train(optimizer=optimizer)[0], train(optimizer=optimizer.model_copy(update=changes))[0])


def test_schedules_differ_and_all_their_parameters_have_an_effect() -> None:
    values = {"warmup": 0.3, "every": 0.2, "factor": 0.5, "cycles": 3, "patience": 2}
    rates = {}
    for name, schedule in SCHEDULES.items():
        for key in ["kind", *(set(type(schedule).model_fields) - {"kind"})]:
            changed = schedule.model_copy(update={key: values[key]}) if key in values else schedule
            curve = train(schedule=changed, optimizer=ADAMW.model_copy(update={"lr": 0.5}), steps=60, epochs=12)[1]
            rates[name, key] = tuple(row["learning_rate"] for row in curve)
    assert len(set(rates.values())) == len(rates)


@pytest.mark.parametrize(("adjustment", "expected"), [(0.0, [0.5, 0.25, 0.25]), (1.0, [1 / 3] * 3)])
def test_logit_adjustment_keeps_a_network_from_learning_the_frequencies(
    adjustment: float, expected: list[float]
) -> None:
    labels = make_faces(96, 0)
    black = LabelledSet(np.zeros_like(labels.pixels), labels.targets, labels.weights)  # tells nothing of the label
    options = {"batch": 96, "steps": 120, "epochs": 1, "dropout": 0.0, "label_smoothing": 0.0, "ema": 0.95}
    weights, _ = train(black, logit_adjustment=adjustment, **options)
    network = small_network().eval()
    network.load_state_dict(weights)
    probs = network(normalize_faces(torch.zeros(1, 16, 16))).softmax(dim=1)[0]
    np.testing.assert_allclose(probs.detach(), expected, atol=0.03)


def test_faces_of_weight_zero_are_ignored_and_soft_targets_have_an_effect() -> None:
    faces = make_faces(96, 0)
    wrong = LabelledSet(faces.pixels, np.roll(faces.targets, 1, axis=1), np.zeros(96, dtype=np.float32))
    assert are_equal(train(faces + wrong)[0], train(faces + LabelledSet(faces.pixels, faces.targets, wrong.weights))[0])
    soft = LabelledSet(faces.pixels, 0.6 * faces.targets + np.float32(0.4 / 3), faces.weights)
    assert not are_equal(train(faces)[0], train(soft)[0])


def test_the_weights_are_those_of_the_best_epoch() -> None:
    weights, curve = train(steps=60, epochs=12)
    network = small_network()
    network.load_state_dict(weights)
    best_accuracy = max(row["valid_accuracy"] for row in curve)
    valid_set = make_faces(60, 1)
    assert loop.validate(network, torch.from_numpy(valid_set.pixels), valid_set.targets, "fp32")[1] == best_accuracy


def test_the_steps_do_not_depend_on_the_number_of_faces() -> None:
    rates = []
    for n in (40, 96, 400):
        curve = train(make_faces(n, 0), steps=41, epochs=4)[1]
        rates.append([row["learning_rate"] for row in curve])
    assert rates[0] == rates[1] == rates[2]


def test_a_training_loss_that_is_not_finite_is_reported() -> None:
    faces = make_faces(96, 0)
    infinite = LabelledSet(faces.pixels, faces.targets, np.full(96, np.inf, dtype=np.float32))
    with pytest.raises(InputError, match=r"the loss of small is (inf|nan) in epoch 1; lower train\.optimizer\.lr"):
        train(infinite)


def test_a_validation_loss_that_is_not_finite_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "validate", lambda *_: (math.nan, 0.5))
    with pytest.raises(InputError, match=r"the validation loss of small is nan in epoch 1; lower train\.optimizer\.lr"):
        train()


def test_an_empty_training_or_validation_set_is_reported() -> None:
    empty_set = LabelledSet(*(array[:0] for array in make_faces(4, 0).arrays()))
    with pytest.raises(InputError, match="small: there are no training faces"):
        train(empty_set)
    options = {"transforms": TRANSFORMS, "steps": 4, "seed": 0, "precision": "fp32"}
    with pytest.raises(InputError, match="small: there are no validation faces"):
        loop.train_phase(small_network(), make_faces(4, 0), empty_set, recipe=RECIPE, name="small", **options)


def test_with_mixup_the_accuracy_counts_the_dominant_face() -> None:
    _, curve = train(steps=400, epochs=4, mixup=1.0)
    assert curve[-1]["train_accuracy"] > 0.85


def test_the_step_count_follows_from_faces_epochs_and_batch() -> None:
    assert loop.count_steps(160, RECIPE) == 40
    assert loop.count_steps(240, RECIPE) == 60
    assert loop.count_steps(1, RECIPE) == RECIPE.epochs


@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle", "step", "restarts"])
@given(warmup=st.floats(0, 0.9), progress=st.floats(0, 1))
def test_the_learning_rate_rises_to_its_full_value_and_not_beyond(name: str, warmup: float, progress: float) -> None:
    schedule = SCHEDULES[name].model_copy(update={"warmup": warmup} | ({"every": 1.0} if name == "step" else {}))
    assert 0 <= learning_rate_factor(schedule, progress) <= 1
    assert learning_rate_factor(schedule, warmup) == 1
    if progress < warmup:
        assert learning_rate_factor(schedule, progress) < 1


def test_schedules_end_as_in_their_papers() -> None:
    ends = {name: learning_rate_factor(SCHEDULES[name], 1.0) for name in ("constant", "cosine", "one_cycle")}
    assert ends == {"constant": 1.0, "cosine": 0.0, "one_cycle": pytest.approx(1e-4)}
    steps = [learning_rate_factor(SCHEDULES["step"], progress) for progress in (0.29, 0.31, 0.61, 0.91)]
    assert steps == pytest.approx([1, 0.1, 0.01, 0.001])
    restart = 0.1 + 0.9 / 2  # the second of two cycles begins
    rates = [learning_rate_factor(SCHEDULES["restarts"], restart + offset) for offset in (-1e-6, 1e-6)]
    assert rates == [pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-4)]


def test_a_plateau_schedule_lowers_the_rate_if_the_validation_loss_stays() -> None:
    slow_optimizer = AdaptiveOptimizer(kind="adamw", lr=1e-6, weight_decay=0.0)
    curve = train(optimizer=slow_optimizer, schedule=SCHEDULES["plateau"], ema=0.0, steps=240, epochs=24)[1]
    rates = [row["learning_rate"] for row in curve]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[-1] == pytest.approx(1e-8)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 6 + [1] * 3 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = balanced_class_weights(torch.eye(4)[torch.from_numpy(labels)])
    np.testing.assert_allclose(weights[:3] * 4 / 3, expected, rtol=1e-6)
    assert weights[3] == 0


def test_biases_and_norms_are_not_decayed() -> None:
    network = small_network()
    matrices, vectors = make_optimizer(network, ADAMW).param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.01, 0)
    assert sum(p.numel() for p in matrices["params"]) == 4 * 9 + 64 * 3
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(network.parameters()))
