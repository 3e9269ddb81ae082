"""What the training loop promises, on a small set that a network can learn."""

import math
from collections.abc import Iterator
from copy import deepcopy
from itertools import combinations, islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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

TRANSFORMS = Transforms(
    flip=0.5, rotation_degrees=5.0, shift=0.05, zoom=0.05, shear_degrees=2.0, brightness=0.1, contrast=0.1, erasing=0.1
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
OTHER = {
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
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the network is too small to share
    yield
    torch.set_num_threads(threads)


def examples(n: int, seed: int) -> LabelledSet:
    """Three emotions: a bright stripe left, in the middle or below; the first is as common as both others."""
    random = np.random.default_rng(seed)
    label = random.permutation(n) * 4 // n
    label[label == 3] = 0
    pixels = random.integers(0, 120, (n, 16, 16), dtype=np.uint8)
    for face, emotion in zip(pixels, label, strict=True):
        stripe = (face[:, :4], face[:, 6:10], face[12:])[emotion]
        stripe += np.uint8(100)
    return LabelledSet(pixels, np.eye(3, dtype=np.float32)[label], np.ones(n, dtype=np.float32))


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


def trained(
    train: LabelledSet | None = None,
    transforms: Transforms = TRANSFORMS,
    steps: int = 40,
    seed: int = 0,
    **changes: Any,
) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    recipe = RECIPE.model_copy(update=changes)
    network = small_network(recipe.dropout)
    curve = loop.train_phase(
        network,
        examples(96, 0) if train is None else train,
        examples(60, 1),
        recipe=recipe,
        transforms=transforms,
        steps=steps,
        seed=seed,
        precision="fp32",
        name="small",
    )
    return network.state_dict(), curve


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_it_learns() -> None:
    _, curve = trained(steps=120, epochs=6)
    assert curve[-1]["valid_accuracy"] > 0.9
    assert curve[-1]["train_loss"] < curve[0]["train_loss"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    assert same(trained()[0], trained()[0])
    assert not same(trained()[0], trained(seed=1)[0])


@pytest.mark.parametrize("name", OTHER)
def test_no_parameter_of_the_recipe_is_dead(name: str) -> None:
    first, _ = trained()
    other, other_curve = trained(**{name: OTHER[name]})
    if name == "patience":  # acts where an epoch does not improve
        other_curve = trained(steps=40, epochs=20, patience=1)[1]
        assert len(other_curve) < 20
    else:
        assert not same(first, other)


@pytest.mark.parametrize("name", Transforms.model_fields)
def test_no_transform_is_dead(name: str) -> None:
    assert not same(trained()[0], trained(transforms=TRANSFORMS.model_copy(update={name: 0.0}))[0])


def test_every_optimizer_learns_in_its_own_way() -> None:
    ends = {}
    for name, optimizer in OPTIMIZERS.items():
        weights, curve = trained(optimizer=optimizer, schedule=SCHEDULES["constant"], steps=120)
        assert curve[-1]["train_loss"] < curve[0]["train_loss"], name
        ends[name] = weights
    assert not [(one, two) for one, two in combinations(ends, 2) if same(ends[one], ends[two])]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_and_the_learning_rate_act(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    for changes in ({"weight_decay": 0.1}, {"lr": optimizer.lr / 2}):
        assert not same(trained(optimizer=optimizer)[0], trained(optimizer=optimizer.model_copy(update=changes))[0])


def test_every_schedule_goes_its_own_way_and_no_number_of_it_is_dead() -> None:
    other = {"warmup": 0.3, "every": 0.2, "factor": 0.5, "cycles": 3, "patience": 2}
    rates = {}
    for name, schedule in SCHEDULES.items():
        for key in ["kind", *(set(type(schedule).model_fields) - {"kind"})]:
            changed = schedule.model_copy(update={key: other[key]}) if key in other else schedule
            curve = trained(schedule=changed, optimizer=ADAMW.model_copy(update={"lr": 0.5}), steps=60, epochs=12)[1]
            rates[name, key] = tuple(row["learning_rate"] for row in curve)
    assert len(set(rates.values())) == len(rates)


def test_a_weight_of_zero_hides_a_face_and_targets_may_be_soft() -> None:
    faces = examples(96, 0)
    wrong = LabelledSet(faces.pixels, np.roll(faces.targets, 1, axis=1), np.zeros(96, dtype=np.float32))
    assert same(trained(faces + wrong)[0], trained(faces + LabelledSet(faces.pixels, faces.targets, wrong.weights))[0])
    soft = LabelledSet(faces.pixels, 0.6 * faces.targets + np.float32(0.4 / 3), faces.weights)
    assert not same(trained(faces)[0], trained(soft)[0])


def test_the_best_epochs_weights_are_kept() -> None:
    weights, curve = trained(steps=60, epochs=12)
    network = small_network()
    network.load_state_dict(weights)
    best = max(row["valid_accuracy"] for row in curve)
    assert loop.validate(network, examples(60, 1), "fp32")[1] == best


def test_the_steps_do_not_depend_on_the_number_of_faces() -> None:
    taken = []
    for n in (40, 96, 400):
        curve = trained(examples(n, 0), steps=41, epochs=4)[1]
        taken.append([row["learning_rate"] for row in curve])
    assert taken[0] == taken[1] == taken[2]


def test_a_loss_that_is_no_number_stops_with_what_to_do() -> None:
    faces = examples(96, 0)
    broken = LabelledSet(faces.pixels, faces.targets, np.full(96, np.inf, dtype=np.float32))
    with pytest.raises(InputError, match=r"the loss of small is (inf|nan) in epoch 1; lower train\.optimizer\.lr"):
        trained(broken)


def test_a_validation_loss_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "validate", lambda *_: (math.nan, 0.5))
    with pytest.raises(InputError, match=r"the validation loss of small is nan in epoch 1; lower train\.optimizer\.lr"):
        trained()


def test_no_faces_to_learn_from_or_to_validate_on_are_told() -> None:
    with pytest.raises(InputError, match="small: there are no training faces"):
        trained(LabelledSet(*(getattr(examples(4, 0), key)[:0] for key in ("pixels", "targets", "weights"))))
    few, options = examples(4, 0), {"transforms": TRANSFORMS, "steps": 4, "seed": 0, "precision": "fp32"}
    none = LabelledSet(few.pixels[:0], few.targets[:0], few.weights[:0])
    with pytest.raises(InputError, match="small: there are no validation faces"):
        loop.train_phase(small_network(), few, none, recipe=RECIPE, name="small", **options)


def test_with_mixup_the_accuracy_told_is_that_of_the_face_that_shows_most() -> None:
    _, curve = trained(steps=400, epochs=4, mixup=1.0)
    assert curve[-1]["train_accuracy"] > 0.85


def test_steps_follow_from_faces_epochs_and_batch() -> None:
    assert loop.count_steps(160, RECIPE) == 40
    assert loop.count_steps(240, RECIPE) == 60
    assert loop.count_steps(1, RECIPE) == RECIPE.epochs


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 1000))
def test_every_face_is_seen_once_before_any_comes_again(n: int, batch: int, seed: int) -> None:
    rows = np.concatenate(list(islice(loop.shuffled_batches(n, batch, seed), math.ceil(3 * n / batch))))
    for start in range(0, 3 * n, n):
        assert sorted(rows[start : start + n]) == list(range(n))


@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle", "step", "restarts"])
@given(warmup=st.floats(0, 0.9), done=st.floats(0, 1))
def test_the_learning_rate_rises_to_its_full_value_and_never_beyond(name: str, warmup: float, done: float) -> None:
    schedule = SCHEDULES[name].model_copy(update={"warmup": warmup} | ({"every": 1.0} if name == "step" else {}))
    assert 0 <= learning_rate_factor(schedule, done) <= 1
    assert learning_rate_factor(schedule, warmup) == 1
    if done < warmup:
        assert learning_rate_factor(schedule, done) < 1


def test_schedules_end_where_their_sources_say() -> None:
    ends = {name: learning_rate_factor(SCHEDULES[name], 1.0) for name in ("constant", "cosine", "one_cycle")}
    assert ends == {"constant": 1.0, "cosine": 0.0, "one_cycle": pytest.approx(1e-4)}
    steps = [learning_rate_factor(SCHEDULES["step"], done) for done in (0.29, 0.31, 0.61, 0.91)]
    assert steps == pytest.approx([1, 0.1, 0.01, 0.001])
    middle = 0.1 + 0.9 / 2  # the second of two cycles begins
    before, after = (learning_rate_factor(SCHEDULES["restarts"], middle + step) for step in (-1e-6, 1e-6))
    assert (before, after) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-4))


def test_a_plateau_lowers_the_rate_where_the_validation_loss_stays() -> None:
    stuck = AdaptiveOptimizer(kind="adamw", lr=1e-6, weight_decay=0.0)
    curve = trained(optimizer=stuck, schedule=SCHEDULES["plateau"], ema=0.0, steps=240, epochs=24)[1]
    rates = [row["learning_rate"] for row in curve]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[-1] == pytest.approx(1e-8)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    label = np.array([0] * 6 + [1] * 3 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=label)
    ours = loop.balanced_class_weights(torch.eye(4)[torch.from_numpy(label)])
    np.testing.assert_allclose(ours[:3] * 4 / 3, expected, rtol=1e-6)
    assert ours[3] == 0


def test_biases_and_norms_are_not_decayed() -> None:
    network = small_network()
    decayed, free = make_optimizer(network, ADAMW).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0)
    assert sum(p.numel() for p in decayed["params"]) == 4 * 9 + 64 * 3
    assert len(decayed["params"]) + len(free["params"]) == len(list(network.parameters()))


def test_only_long_runs_on_a_gpu_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    network, faster, gpu, cpu = small_network(), small_network(), torch.device("cuda"), torch.device("cpu")
    monkeypatch.setattr(torch, "compile", lambda network, mode: faster)
    long, short = loop.MIN_STEPS_TO_COMPILE, loop.MIN_STEPS_TO_COMPILE - 1
    assert loop.compile_network(network, gpu, long) is faster
    assert loop.compile_network(network, gpu, short) is loop.compile_network(network, cpu, long) is network


def test_a_compiled_network_is_trained_as_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured whole and run without a code generator: no line of the loop may depend on how the network is called."""
    plain, plain_curve = trained(dropout=0.0)
    monkeypatch.setattr(
        loop,
        "compile_network",
        lambda network, where, steps: torch.compile(network, backend="aot_eager", fullgraph=True),
    )
    whole, curve = trained(dropout=0.0)
    assert curve[-1] == pytest.approx(plain_curve[-1], rel=1e-4)
    for name, weights in whole.items():
        torch.testing.assert_close(weights, plain[name], rtol=1e-3, atol=1e-4)


def test_averaged_weights_are_those_of_torchs_own_average() -> None:
    network = small_network()
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    ours = deepcopy(network)
    for step in range(5):
        network(torch.rand(8, 1, 16, 16)).sum().backward()  # moves batch norm's statistics
        with torch.no_grad():
            for weights in network.parameters():
                weights -= 0.1 * weights.grad
        theirs.update_parameters(network)
        loop.update_ema(ours, network, 0.9 if step else 0.0)
    for (name, weights), expected in zip(ours.named_parameters(), theirs.module.parameters(), strict=True):
        assert torch.equal(weights, expected), name
    assert torch.equal(ours[1].running_var, theirs.module[1].running_var)
    assert not torch.equal(ours[1].running_var, network[1].running_var)
