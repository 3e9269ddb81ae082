"""What each arm of the benchmark gives a student of the pool."""

from pathlib import Path

import numpy as np
import pytest

from fer.experiments.arms import (
    FIXED_95,
    METHODS,
    NO_POOL,
    ONLINE_PREFIX,
    RANDOM_LABELS,
    TRUE_LABELS,
    PseudoTargets,
    make_targets,
)
from fer.params import load_params
from fer.pseudo_labels.params import POLICIES
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import select

CHOSEN = load_params(Path(__file__).parents[2] / "params.yaml")
N = 600
RANDOMLY = np.random.default_rng(0)
PROBS = RANDOMLY.dirichlet(np.full(7, 0.15), N).astype(np.float32)
TRUTH = np.where(RANDOMLY.random(N) < 0.7, PROBS.argmax(axis=1), RANDOMLY.integers(0, 7, N))
POOL = np.arange(N) >= 200
SAID = Evidence(PROBS, np.where(POOL, -1, TRUTH), ~POOL, POOL, np.ones(N, dtype=bool))


def given(arm: str, truth: np.ndarray = TRUTH, seed: int = 0, labels: str = "soft") -> PseudoTargets:
    retrain = CHOSEN.retrain.model_copy(update={"labels": labels, "weight": 0.5})
    return make_targets(arm, SAID, truth, CHOSEN.pseudo_label, retrain, CHOSEN.emotions, seed)


@pytest.mark.parametrize("arm", METHODS)
def test_only_the_pool_is_learnt_and_targets_are_probabilities(arm: str) -> None:
    found = given(arm)
    assert not found.weights[~POOL].any()
    np.testing.assert_allclose(found.targets.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("arm", sorted(set(METHODS) - {TRUE_LABELS}))
def test_the_truth_is_read_by_true_labels_alone(arm: str) -> None:
    one, other = given(arm), given(arm, truth=np.zeros(N, dtype=np.int64))
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.targets, other.targets)


def test_true_labels_are_those_that_are_known() -> None:
    truth = np.where(np.arange(N) % 2, TRUTH, -1)
    found = given(TRUE_LABELS, truth)
    np.testing.assert_array_equal(found.weights > 0, POOL & (truth >= 0))
    np.testing.assert_array_equal(found.targets.argmax(axis=1)[found.weights > 0], truth[found.weights > 0])


def test_random_labels_are_as_frequent_as_in_validation_and_follow_the_seed() -> None:
    one, again, other = (given(RANDOM_LABELS, seed=seed).targets.argmax(axis=1) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    shares, wanted = (np.bincount(labels, minlength=7) / len(labels) for labels in (one, TRUTH[~POOL]))
    assert np.abs(shares - wanted).max() < 0.06


@pytest.mark.parametrize("arm", [NO_POOL, *(arm for arm in METHODS if arm.startswith(ONLINE_PREFIX))])
def test_without_the_teachers_labels_nothing_is_given(arm: str) -> None:
    assert not given(arm).weights.any()


def test_plain_pseudo_labels_are_hard_from_95_hundredths_on() -> None:
    found = given(FIXED_95)
    np.testing.assert_array_equal(found.weights > 0, POOL & (PROBS.max(axis=1).round(6) >= 0.95))
    assert set(np.unique(found.targets)) == {0, 1}


@pytest.mark.parametrize("arm", POLICIES)
def test_a_policy_gives_what_it_selects_by_the_rules_of_retrain(arm: str) -> None:
    chosen = select(SAID, getattr(CHOSEN.pseudo_label.policies, arm), CHOSEN.emotions)
    np.testing.assert_allclose(given(arm).weights, 0.5 * chosen.weight)
    np.testing.assert_array_equal(given(arm).targets, PROBS)
    assert set(np.unique(given(arm, labels="hard").targets)) == {0, 1}
