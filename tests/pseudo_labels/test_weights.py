"""Laws of the weights of accepted faces, for every policy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.pseudo_labels.policies import softmatch
from fer.pseudo_labels.policy import Evidence, Policy
from fer.pseudo_labels.selection import Selection, select
from fer.pseudo_labels.weights import weigh_below_mean
from tests.pseudo_labels.cases import (
    ANY_POLICY,
    ANY_WEIGHTS,
    EMOTIONS,
    any_evidence,
    fixed_policy,
    make_evidence,
    probs_of,
)

THRESHOLD_POLICIES = ANY_POLICY.filter(lambda policy: not isinstance(policy, softmatch.Options))


@given(any_evidence(), ANY_POLICY, ANY_WEIGHTS)
def test_weights_change_no_decision_and_lie_between_0_and_1(evidence: Evidence, policy: Policy, weights: str) -> None:
    default, selection = select(evidence, policy, EMOTIONS), select(evidence, policy, EMOTIONS, weights)
    for field in set(Selection.__dataclass_fields__) - {"weight"}:
        np.testing.assert_array_equal(getattr(selection, field), getattr(default, field))
    assert ((selection.weight >= 0) & (selection.weight <= 1)).all()
    assert (selection.weight[~selection.accepted] == 0).all()


@given(any_evidence(), THRESHOLD_POLICIES)
def test_accepted_faces_weigh_1_or_their_confidence(evidence: Evidence, policy: Policy) -> None:
    alike, by_confidence = (select(evidence, policy, EMOTIONS, weights) for weights in ("none", "confidence"))
    np.testing.assert_array_equal(alike.weight, alike.accepted)
    expected = np.where(evidence.pool, by_confidence.confidence, 0)[by_confidence.accepted]
    np.testing.assert_array_equal(by_confidence.weight[by_confidence.accepted], expected.astype(np.float32))


@given(any_evidence(), THRESHOLD_POLICIES)
def test_accepted_faces_weigh_as_softmatch_weighs_them(evidence: Evidence, policy: Policy) -> None:
    selection, reference = (
        select(evidence, policy, EMOTIONS, "softmatch"),
        select(evidence, softmatch.Options(), EMOTIONS),
    )
    np.testing.assert_array_equal(selection.weight, np.where(selection.accepted, reference.weight, 0))


@given(any_evidence(), ANY_WEIGHTS)
def test_the_policy_softmatch_always_has_its_own_weights(evidence: Evidence, weights: str) -> None:
    selection = select(evidence, softmatch.Options(), EMOTIONS, weights)
    expected = np.where(selection.accepted, weigh_below_mean(evidence), 0).astype(np.float32)
    np.testing.assert_array_equal(selection.weight, expected)


@given(any_evidence(), st.sampled_from(["confidence", "softmatch"]))
def test_a_more_confident_face_never_weighs_less(evidence: Evidence, weights: str) -> None:
    selection = select(evidence, fixed_policy(0.0), EMOTIONS, weights)
    order = np.argsort(selection.confidence[selection.accepted], kind="stable")
    assert (np.diff(selection.weight[selection.accepted][order]) >= 0).all()


def test_softmatch_takes_mean_and_variance_of_the_whole_pool_not_of_the_accepted_faces() -> None:
    confidences = np.array([0.3, 0.3, 0.9, 0.9, 0.55])
    selection = select(make_evidence(probs_of("angry", *confidences)), fixed_policy(0.5), EMOTIONS, "softmatch")
    expected = np.exp(-((confidences.mean() - 0.55) ** 2) / 2 / confidences.var())
    np.testing.assert_allclose(selection.weight, [0, 0, 1, 1, expected], atol=1e-6)


@pytest.mark.parametrize(("weights", "expected"), [("none", 1), ("confidence", 0.7), ("softmatch", 1)])
def test_a_pool_of_equal_confidences_has_equal_weights(weights: str, expected: float) -> None:
    selection = select(make_evidence(probs_of("sad", 0.7, 0.7, 0.7)), fixed_policy(0.5), EMOTIONS, weights)
    np.testing.assert_allclose(selection.weight, expected, rtol=1e-6)
