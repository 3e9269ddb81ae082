"""Metrics of predictions and pseudo-labels."""

import json
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from fer.predictions.metrics import (
    COVERAGE_THRESHOLDS,
    audit_pseudo_labels,
    compute_metrics,
    confusion_matrix,
    coverage_curve,
    expected_calibration_error,
    reliability_bins,
    wilson_interval,
)
from fer.pseudo_labels.policies import fixed
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import select

EMOTIONS = ["angry", "happy", "sad", "neutral"]
SEEDS = st.integers(0, 2**32 - 1)


def calibrated_faces(n: int, seed: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, and labels drawn from them."""
    generator = np.random.default_rng(seed)
    probs = generator.dirichlet([0.5] * classes, n).astype(np.float32)
    labels = (probs.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1).clip(max=classes - 1)
    return probs, labels


@given(SEEDS, st.integers(1, 40))
def test_metrics_agree_with_scikit_learn(seed, n):
    probs, labels = calibrated_faces(n, seed)
    predicted, present = probs.argmax(axis=1), np.unique(labels)
    results = compute_metrics(probs, labels, EMOTIONS, bins=10)
    matrix = sklearn.metrics.confusion_matrix(labels, predicted, labels=range(4))
    np.testing.assert_array_equal(confusion_matrix(probs, labels), matrix)
    assert results["n"] == n
    assert results["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))
    f1 = sklearn.metrics.f1_score(labels, predicted, labels=present, average="macro")
    assert results["macro_f1"] == pytest.approx(f1)
    recall = sklearn.metrics.recall_score(labels, predicted, labels=present, average="macro")
    assert results["balanced_accuracy"] == pytest.approx(recall)
    by_emotion = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(4), zero_division=np.nan
    )
    for emotion, precision, recall, f1, support in zip(EMOTIONS, *by_emotion, strict=True):
        expected = {"precision": precision, "recall": recall, "f1": f1}
        defined = {name: value for name, value in expected.items() if not math.isnan(value)}
        assert results["per_emotion"][emotion] == pytest.approx(defined | {"support": support})


@given(SEEDS, st.integers(0, 40))
def test_metrics_are_json_without_nan(seed, n):
    probs, labels = calibrated_faces(n, seed)
    truth = np.where(np.arange(n) % 3 == 0, -1, labels)
    accepted = probs.max(axis=1) > 0.7
    for content in (
        compute_metrics(probs, labels, EMOTIONS, bins=10),
        audit_pseudo_labels(probs, accepted, truth, EMOTIONS),
    ):
        json.dumps(content, allow_nan=False)


def test_the_metrics_of_no_faces_are_empty():
    probs, labels = calibrated_faces(0, 0)
    assert compute_metrics(probs, labels, EMOTIONS, bins=10) == {"n": 0}
    assert audit_pseudo_labels(probs, labels > 0, labels, EMOTIONS) == {"n": 0}
    assert len(reliability_bins(probs, labels, bins=10)) == 0
    assert len(coverage_curve(probs, labels)) == 0


def test_an_emotion_without_labels_and_predictions_has_only_its_support():
    probs = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], dtype=np.float32)
    per_emotion = compute_metrics(probs, np.array([0, 0]), EMOTIONS, bins=10)["per_emotion"]
    assert per_emotion["sad"] == {"support": 0}
    assert per_emotion["happy"] == {"precision": 0, "f1": 0, "support": 0}


def test_the_calibration_error_is_small_only_for_calibrated_probabilities():
    probs, labels = calibrated_faces(50_000, 0)
    sharper = probs**3 / (probs**3).sum(axis=1, keepdims=True)
    assert expected_calibration_error(probs, labels, bins=15) < 0.01
    assert expected_calibration_error(sharper, labels, bins=15) > 0.1


def test_the_calibration_error_of_a_worked_example():
    # (0.5, 1]: confidences 0.6, 0.8, 1.0 of which two are correct; (0, 0.5]: 0.4, wrong
    probs = np.array([[0.6, 0.4, 0], [0.2, 0.8, 0], [0, 0, 1], [0.4, 0.3, 0.3]])
    labels = np.array([0, 1, 0, 2])
    table = reliability_bins(probs, labels, bins=2)
    assert table["n"].tolist() == [1, 3]
    assert table["low"].tolist() == [0, 0.5]
    assert table["high"].tolist() == [0.5, 1]
    assert table["confidence"].tolist() == pytest.approx([0.4, 0.8])
    assert table["accuracy"].tolist() == pytest.approx([0, 2 / 3])
    assert expected_calibration_error(probs, labels, bins=2) == pytest.approx((0.4 + 3 * (0.8 - 2 / 3)) / 4)


@given(SEEDS, st.integers(1, 40), st.integers(2, 20))
def test_every_face_is_in_one_reliability_bin(seed, n, bins):
    probs, labels = calibrated_faces(n, seed)
    table = reliability_bins(probs, labels, bins)
    assert table["n"].sum() == n
    assert (table["confidence"] <= table["high"] + 1e-6).all()
    assert (table["confidence"] >= table["low"] - 1e-6).all()
    assert np.average(table["accuracy"], weights=table["n"]) == pytest.approx((probs.argmax(axis=1) == labels).mean())


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_contains_the_proportion_and_stays_in_0_to_1(case):
    hits, n = case
    interval = wilson_interval(hits, n)
    assert 0 <= interval["low"] <= hits / n <= interval["high"] <= 1


def test_wilsons_interval_of_a_worked_example():
    # (0.9 + z²/20 ± z·√(0.9·0.1/10 + z²/400)) / (1 + z²/10) with z = 1.959964
    assert wilson_interval(9, 10) == pytest.approx({"low": 0.595850, "high": 0.982124}, abs=1e-6)


def test_wilsons_interval_contains_the_truth_in_95_of_100_samples():
    n, share = 80, 0.9
    intervals = [wilson_interval(hits, n) for hits in range(n + 1)]
    samples = np.random.default_rng(0).binomial(n, share, 4000)
    coverage = np.mean([intervals[hits]["low"] <= share <= intervals[hits]["high"] for hits in samples])
    assert 0.93 < coverage < 0.98


def test_the_audit_measures_coverage_and_precision():
    probs = np.eye(4)[[0, 0, 0, 1, 1, 2]]
    accepted = np.array([True, True, True, True, False, False])
    truth = np.array([0, 1, -1, 1, 1, 0])
    results = audit_pseudo_labels(probs, accepted, truth, EMOTIONS)
    assert (results["n"], results["accepted"], results["known"]) == (6, 4, 3)
    assert results["coverage"] == pytest.approx(4 / 6)
    assert results["precision"] == pytest.approx(2 / 3)
    assert results["precision_interval"] == wilson_interval(2, 3)
    per_emotion = results["per_emotion"]
    assert per_emotion["angry"] == {
        "n": 3,
        "accepted": 3,
        "known": 2,
        "coverage": 1,
        "precision": 0.5,
        "precision_interval": wilson_interval(1, 2),
    }
    assert per_emotion["happy"]["coverage"] == 0.5
    assert per_emotion["sad"] == {"n": 1, "accepted": 0, "known": 0, "coverage": 0}
    assert per_emotion["neutral"] == {"n": 0, "accepted": 0, "known": 0}


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(COVERAGE_THRESHOLDS))
def test_the_coverage_curve_agrees_with_selection_at_each_threshold(seed, threshold):
    probs, labels = calibrated_faces(30, seed)
    truth = np.where(np.arange(30) % 4 == 0, -1, labels)
    row = coverage_curve(probs, truth).set_index("threshold").loc[threshold]
    pool = np.ones(30, dtype=bool)
    evidence = Evidence(probs, labels, valid=~pool, pool=pool, agreed=pool)
    selection = select(evidence, fixed.Options(threshold=threshold), EMOTIONS)
    results = audit_pseudo_labels(probs, selection.accepted, truth, EMOTIONS)
    assert row["coverage"] == pytest.approx(results["coverage"])
    if "precision" in results:
        assert row["precision"] == pytest.approx(results["precision"])
        assert row["low"] == pytest.approx(results["precision_interval"]["low"])
    else:
        assert math.isnan(row["precision"])


def test_coverage_falls_as_the_threshold_rises_from_30_to_99_hundredths():
    curve = coverage_curve(*calibrated_faces(500, 0))
    assert curve["coverage"].is_monotonic_decreasing
    assert curve["threshold"].iloc[[0, -1]].tolist() == [0.3, 0.99]
    assert len(curve) == 70
