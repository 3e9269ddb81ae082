"""The estimated precision is unbiased, depends on validation only, and warns if the pool is different."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.core.labels import EMOTIONS
from fer.predictions import metrics
from fer.pseudo_labels import estimates
from fer.pseudo_labels.policies import fixed
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import Selection, select, thresholds

SEVEN = EMOTIONS[:7]
FIELDS = tuple(Evidence.__dataclass_fields__)


def calibrated_evidence(valid: int, pool: int, seed: int = 0, spread: float = 0.3) -> Evidence:
    """Return evidence with perfectly calibrated probabilities: each label is drawn from them."""
    random = np.random.default_rng(seed)
    probs = random.dirichlet(np.full(7, spread), valid + pool).astype(np.float32)
    labels = (probs.cumsum(axis=1) > random.random((valid + pool, 1))).argmax(axis=1)
    is_valid = np.arange(valid + pool) < valid
    return Evidence(probs, np.where(is_valid, labels, -1), is_valid, ~is_valid, np.ones(valid + pool, dtype=bool))


def certain_evidence(predicted: list[int], labels: list[int], valid: int) -> Evidence:
    """Return evidence with predictions of confidence 1; the first `valid` faces are validation faces."""
    is_valid = np.arange(len(predicted)) < valid
    probs = np.eye(7, dtype=np.float32)[predicted]
    return Evidence(probs, np.array(labels), is_valid, ~is_valid, np.ones(len(predicted), dtype=bool))


def make_estimate(evidence: Evidence, threshold: float = 0.6) -> tuple[dict, Selection]:
    policy = fixed.Options(threshold=threshold)
    selection = select(evidence, policy, SEVEN)
    return estimates.estimate_precision(evidence, selection, thresholds(evidence, policy, SEVEN), SEVEN), selection


def concatenate(first: Evidence, second: Evidence) -> Evidence:
    return Evidence(*(np.concatenate([getattr(part, name) for part in (first, second)]) for name in FIELDS))


def test_the_interval_contains_the_expected_precision_19_times_of_20() -> None:
    n_contained, errors = 0, []
    for seed in range(200):
        evidence = calibrated_evidence(300, 3000, seed)
        estimate, selection = make_estimate(evidence)
        expected = evidence.probs.max(axis=1)[selection.accepted].mean()
        interval = estimate["estimated_precision_interval"]
        n_contained += interval["low"] <= expected <= interval["high"]
        errors.append(estimate["estimated_precision"] - expected)
    assert 180 <= n_contained <= 199
    assert abs(np.mean(errors)) < 0.005


def test_emotions_are_weighted_by_their_accepted_faces() -> None:
    # In validation 3 of 4 happy and 1 of 2 sad predictions are correct; the pool has 1 happy and 3 sad ones.
    evidence = certain_evidence([3, 3, 3, 3, 4, 4, 3, 4, 4, 4], [3, 3, 3, 0, 4, 0] + [-1] * 4, 6)
    estimate, _ = make_estimate(evidence)
    assert estimate["estimated_precision"] == pytest.approx(0.25 * 0.75 + 0.75 * 0.5)
    assert estimate["estimated_from"] == 6
    assert estimate["share_without_estimate"] == 0


def test_the_interval_of_a_single_emotion_is_wilsons() -> None:
    estimate, _ = make_estimate(certain_evidence([3] * 10 + [3], [3] * 7 + [0] * 3 + [-1], 10))
    interval = metrics.wilson_interval(7, 10)
    assert estimate["estimated_precision_interval"] == pytest.approx(interval)
    assert estimate["per_emotion"]["happy"]["estimated_precision_interval"] == interval


def test_only_validation_faces_that_would_be_accepted_are_counted() -> None:
    evidence = calibrated_evidence(300, 300)
    estimate, _ = make_estimate(evidence)
    is_counted = evidence.valid & (evidence.probs.max(axis=1) >= 0.6)
    other_labels = np.where(is_counted, evidence.labels, (evidence.labels + 1) % 7)
    assert make_estimate(replace(evidence, labels=other_labels))[0] == estimate
    agreed = evidence.agreed.copy()
    agreed[np.flatnonzero(is_counted)[:20]] = False
    assert make_estimate(replace(evidence, agreed=agreed))[0]["estimated_from"] == estimate["estimated_from"] - 20


def test_the_order_of_the_faces_does_not_matter() -> None:
    evidence = calibrated_evidence(200, 300)
    order = np.random.default_rng(1).permutation(500)
    permuted = Evidence(*(getattr(evidence, name)[order] for name in FIELDS))
    assert make_estimate(permuted)[0] == make_estimate(evidence)[0]
    assert estimates.measure_shift(permuted) == pytest.approx(estimates.measure_shift(evidence))


def test_emotions_without_validation_faces_are_left_out_and_counted() -> None:
    evidence = certain_evidence([3] * 10 + [3, 3, 3, 4], [3] * 10 + [-1] * 4, 10)
    estimate, _ = make_estimate(evidence)
    assert estimate["share_without_estimate"] == 0.25
    assert estimate["per_emotion"]["sad"] == {"estimated_from": 0}
    assert estimate["estimated_precision"] == 1
    (line,) = estimates.format_estimate(estimate, estimates.measure_shift(evidence))
    assert line.startswith(
        "estimated precision from 10 validation faces: 100 % (72 to 100), without 25 % of the accepted"
    )


def test_without_comparable_validation_faces_there_is_no_estimate() -> None:
    evidence = certain_evidence([3] * 10 + [4, 4], [3] * 10 + [-1] * 2, 10)
    estimate, _ = make_estimate(evidence)
    assert (estimate["estimated_from"], estimate["share_without_estimate"]) == (0, 1)
    assert "estimated_precision" not in estimate
    (line,) = estimates.format_estimate(estimate, estimates.measure_shift(evidence))
    assert line.startswith("no estimated precision")


def test_nothing_is_estimated_if_nothing_is_accepted() -> None:
    for evidence in (calibrated_evidence(50, 50), calibrated_evidence(50, 0)):
        estimate, _ = make_estimate(evidence, threshold=1.0)
        assert "estimated_precision" not in estimate
        assert estimates.format_estimate(estimate, estimates.measure_shift(evidence)) == []
    assert estimates.measure_shift(calibrated_evidence(50, 0)) == {}


def test_a_pool_like_validation_is_not_shifted() -> None:
    for seed in range(30):
        assert not any(estimates.measure_shift(calibrated_evidence(n, 3000, seed))["shifted"] for n in (50, 400, 3000))


def test_a_pool_unlike_validation_is_shifted_and_warned_of() -> None:
    valid, pool = calibrated_evidence(300, 0), calibrated_evidence(0, 3000, spread=0.8)
    evidence = concatenate(valid, pool)
    shift = estimates.measure_shift(evidence)
    assert shift["shifted"]
    assert shift["statistic"] == pytest.approx(shift["share_of_valid_above"] - shift["share_of_pool_above"])
    line, warning = estimates.format_estimate(make_estimate(evidence, 0.3)[0], shift)
    assert line.startswith("estimated precision")
    assert warning.startswith("warning: the pool is unlike validation")
    few_valid = Evidence(*(getattr(evidence, name)[296:] for name in FIELDS))
    assert not estimates.measure_shift(few_valid)["shifted"], "four validation faces are too few to detect it"


def test_a_small_difference_is_no_shift_however_significant() -> None:
    valid, pool = calibrated_evidence(50_000, 0), calibrated_evidence(0, 50_000, seed=1, spread=0.33)
    evidence = concatenate(valid, pool)
    shift = estimates.measure_shift(evidence)
    assert shift["p_value"] < estimates.SHIFT_P_VALUE
    assert not shift["shifted"]


@pytest.mark.parametrize(
    "evidence",
    [
        calibrated_evidence(100, 1),
        calibrated_evidence(1, 100),
        certain_evidence([3] * 100, [3] * 50 + [-1] * 50, 50),
        certain_evidence([0, 1, 2] * 30, [0, 1, 2] * 20 + [-1] * 30, 60),
        Evidence(
            np.full((90, 7), 1 / 7, dtype=np.float32),
            np.arange(90) % 7,
            np.arange(90) < 40,
            np.arange(90) >= 40,
            np.ones(90, dtype=bool),
        ),
    ],
    ids=["a pool of one", "one validation face", "one emotion", "all certain", "uniform"],
)
@pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])
def test_unusual_evidence_gives_values_that_json_can_hold(evidence: Evidence, threshold: float) -> None:
    estimate, shift = make_estimate(evidence, threshold)[0], estimates.measure_shift(evidence)
    json.dumps([estimate, shift], allow_nan=False)
    assert not shift["shifted"]
    assert len(estimates.format_estimate(estimate, shift)) <= 1


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_the_interval_contains_the_estimate_and_stays_in_0_to_1(faces: list[tuple[int, int, bool]]) -> None:
    faces = sorted(faces, key=lambda face: not face[2])
    valid = sum(is_valid for _, _, is_valid in faces)
    estimate, _ = make_estimate(
        certain_evidence([predicted for predicted, _, _ in faces], [label for _, label, _ in faces], valid)
    )
    assert 0 <= estimate.get("share_without_estimate", 0) <= 1
    if "estimated_precision" in estimate:
        interval = estimate["estimated_precision_interval"]
        assert 0 <= interval["low"] <= estimate["estimated_precision"] <= interval["high"] <= 1
