"""The evidence for policies, and the alignment of its distribution."""

import numpy as np
from hypothesis import given

from fer.pseudo_labels.policy import Evidence, align_distribution, collect_evidence
from tests.pseudo_labels.cases import any_evidence


@given(any_evidence())
def test_alignment_keeps_probabilities_and_moves_the_pool_towards_the_target(evidence: Evidence) -> None:
    target = np.array([0.4, 0.3, 0.2, 0.1])
    result = align_distribution(evidence.probs, evidence.pool, target)
    np.testing.assert_allclose(result.sum(axis=1), 1, atol=1e-5)
    if evidence.pool.any():
        distance = np.abs(evidence.probs[evidence.pool].mean(axis=0) - target).sum()
        assert np.abs(result[evidence.pool].mean(axis=0) - target).sum() <= distance + 1e-5


def test_evidence_is_aligned_to_the_validation_fold_or_evenly() -> None:
    probs = np.array([[0.7, 0.1, 0.1, 0.1], [0.6, 0.2, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]], dtype=np.float32)
    fold = np.array(["unlabelled", "unlabelled", "valid"], dtype=object)
    labels = np.array([-1, -1, 1])
    none, valid, uniform = (
        collect_evidence(probs, labels, fold, np.ones(3, bool), alignment).probs
        for alignment in ("none", "valid", "uniform")
    )
    np.testing.assert_array_equal(none, probs)
    np.testing.assert_allclose(valid[:2], [[0, 1, 0, 0]] * 2)
    assert uniform[0].max() < 0.5
