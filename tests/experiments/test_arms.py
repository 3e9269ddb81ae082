"""The pseudo-targets of each method of the benchmark."""

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

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
N = 600
RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.full(7, 0.15), N).astype(np.float32)
TRUTH = np.where(RNG.random(N) < 0.7, PROBS.argmax(axis=1), RNG.integers(0, 7, N))
POOL = np.arange(N) >= 200
EVIDENCE = Evidence(PROBS, np.where(POOL, -1, TRUTH), ~POOL, POOL, np.ones(N, dtype=bool))


def call_make_targets(
    method: str, truth: np.ndarray = TRUTH, seed: int = 0, labels: str = "soft", weights: str = "none"
) -> PseudoTargets:
    pseudo_label = PARAMS.pseudo_label.model_copy(update={"weights": weights})
    retrain = PARAMS.retrain.model_copy(update={"labels": labels, "weight": 0.5})
    return make_targets(method, EVIDENCE, truth, pseudo_label, retrain, PARAMS.emotions, seed)


@pytest.mark.parametrize("method", METHODS)
def test_only_the_pool_has_weights_and_targets_are_probabilities(method: str) -> None:
    pseudo_targets = call_make_targets(method)
    assert not pseudo_targets.weights[~POOL].any()
    np.testing.assert_allclose(pseudo_targets.targets.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {TRUE_LABELS}))
def test_only_true_labels_depend_on_the_truth(method: str) -> None:
    expected, actual = call_make_targets(method), call_make_targets(method, truth=np.zeros(N, dtype=np.int64))
    np.testing.assert_array_equal(actual.weights, expected.weights)
    np.testing.assert_array_equal(actual.targets, expected.targets)


def test_true_labels_are_learnt_where_they_are_known() -> None:
    truth = np.where(np.arange(N) % 2, TRUTH, -1)
    pseudo_targets = call_make_targets(TRUE_LABELS, truth)
    mask = pseudo_targets.weights > 0
    np.testing.assert_array_equal(mask, POOL & (truth >= 0))
    np.testing.assert_array_equal(pseudo_targets.targets.argmax(axis=1)[mask], truth[mask])


def test_random_labels_have_the_class_prior_of_validation_and_depend_on_the_seed() -> None:
    labels, again, other_labels = (
        call_make_targets(RANDOM_LABELS, seed=seed).targets.argmax(axis=1) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(labels, again)
    assert (labels != other_labels).any()
    prior, expected = (np.bincount(values, minlength=7) / len(values) for values in (labels, TRUTH[~POOL]))
    assert np.abs(prior - expected).max() < 0.06


@pytest.mark.parametrize("method", [NO_POOL, *(method for method in METHODS if method.startswith(ONLINE_PREFIX))])
def test_methods_without_pseudo_labels_have_no_weights(method: str) -> None:
    assert not call_make_targets(method).weights.any()


def test_plain_pseudo_labels_are_hard_and_have_a_threshold_of_0_95_and_no_weights() -> None:
    pseudo_targets = call_make_targets(FIXED_95, weights="confidence")
    np.testing.assert_array_equal(pseudo_targets.weights, 0.5 * (POOL & (PROBS.max(axis=1).round(6) >= 0.95)))
    assert set(np.unique(pseudo_targets.targets)) == {0, 1}


@pytest.mark.parametrize("method", POLICIES)
@pytest.mark.parametrize("weights", ["none", "confidence"])
def test_a_policy_follows_its_selection_and_the_params_of_retrain(method: str, weights: str) -> None:
    selection = select(EVIDENCE, getattr(PARAMS.pseudo_label.policies, method), PARAMS.emotions, weights)
    np.testing.assert_allclose(call_make_targets(method, weights=weights).weights, 0.5 * selection.weight)
    np.testing.assert_array_equal(call_make_targets(method).targets, PROBS)
    assert set(np.unique(call_make_targets(method, labels="hard").targets)) == {0, 1}
