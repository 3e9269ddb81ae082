"""Corrected predictions have the class frequencies of the validation fold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.predictions.prior import (
    MAX_FACTOR,
    apply_prior_factors,
    correct_to_prior,
    fit_prior_factors,
    uncorrected_emotions,
)


def draw(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    probs = generator.dirichlet(np.full(4, 0.5), n).astype(np.float32)
    return probs, generator.choice(4, n, p=[0.6, 0.3, 0.08, 0.02])


@given(st.integers(0, 1000))
def test_the_mean_of_the_corrected_predictions_is_the_prior(seed: int) -> None:
    probs, labels = draw(seed)
    corrected = apply_prior_factors(probs, fit_prior_factors(probs, labels))
    present = np.unique(labels)
    expected = np.bincount(labels, minlength=4) / len(labels)
    if len(present) == 4:
        np.testing.assert_allclose(corrected.mean(axis=0), expected, atol=1e-3)
    np.testing.assert_allclose(corrected.sum(axis=1), 1, atol=1e-5)


def test_predictions_that_have_the_prior_do_not_change() -> None:
    probs = np.repeat(np.eye(3, dtype=np.float32) * 0.7 + np.float32(0.1), 10, axis=0)
    labels = np.repeat(np.arange(3), 10)
    np.testing.assert_allclose(apply_prior_factors(probs, fit_prior_factors(probs, labels)), probs, atol=1e-6)


def test_an_absent_emotion_keeps_its_factor() -> None:
    probs, labels = draw(0)
    factors = fit_prior_factors(probs, np.where(labels == 3, 0, labels))
    assert factors[3] == 1
    assert np.log(factors[:3]).mean() == pytest.approx(0)
    assert (fit_prior_factors(probs[:0], labels[:0]) == 1).all()


def test_fewer_labels_than_classes_correct_nothing() -> None:
    probs, _ = draw(0)
    labels = np.arange(4)
    assert (fit_prior_factors(probs[:3], labels[:3]) == 1).all()
    assert (fit_prior_factors(probs[:4], labels) != 1).all()
    emotions = ["angry", "fear", "happy", "sad"]
    assert uncorrected_emotions(labels, emotions) == []
    assert uncorrected_emotions(np.array([0, 0, 2, 3]), emotions) == ["fear"]
    assert uncorrected_emotions(labels[:3], emotions) == emotions


@pytest.mark.parametrize("row", [(1, 0, 0, 0), (0.7, 0.1, 0.1, 0.1), (1 - 3e-30, 1e-30, 1e-30, 1e-30)])
def test_constant_predictions_have_finite_factors(row: tuple[float, ...]) -> None:
    probs, labels = np.tile(np.array(row, dtype=np.float32), (200, 1)), draw(0)[1]
    corrected, factors = correct_to_prior(probs, labels, np.arange(200) < 150, 0)
    assert (factors >= 1 / MAX_FACTOR).all()
    assert (factors <= MAX_FACTOR).all()
    np.testing.assert_allclose(corrected.sum(axis=1), 1, atol=1e-5)
    if row[1] == 0.1:
        np.testing.assert_allclose(corrected[-1], np.bincount(labels[:150], minlength=4) / 150, atol=1e-6)


def test_a_validation_face_is_corrected_by_the_other_half_alone() -> None:
    (probs, labels), valid = draw(0), np.arange(200) < 100
    corrected, factors = correct_to_prior(probs, labels, valid, 7)
    np.testing.assert_array_equal(corrected[~valid], apply_prior_factors(probs[~valid], factors))
    changed = correct_to_prior(probs, np.where(np.arange(200) == 3, 3, labels), valid, 7)[0]
    differs = (corrected != changed).any(axis=1)
    assert labels[3] != 3
    assert not differs[3]
    assert differs[valid].sum() == 50, "those of the other half"
    assert differs[~valid].all()


def test_cross_fitted_metrics_of_validation_are_not_too_good() -> None:
    accuracies = []
    for seed in range(200):  # 20 random predictions of 4 classes, which nothing can correct
        generator = np.random.default_rng(seed)
        probs = generator.dirichlet(np.full(4, 5.0), 20).astype(np.float32)
        labels, valid = generator.integers(0, 4, 20), np.ones(20, dtype=bool)
        cross_fitted, factors = correct_to_prior(probs, labels, valid, seed)
        fitted = apply_prior_factors(probs, factors)
        accuracies.append([(corrected.argmax(axis=1) == labels).mean() for corrected in (cross_fitted, fitted)])
    cross_fitted_accuracy, fitted_accuracy = np.mean(accuracies, axis=0)
    assert cross_fitted_accuracy < 0.26 < 0.29 < fitted_accuracy


def test_only_labels_of_validation_faces_are_read() -> None:
    (probs, labels), valid = draw(0), np.arange(200) < 100
    hidden = np.where(valid, labels, -1)
    for result, expected in zip(
        correct_to_prior(probs, hidden, valid, 0), correct_to_prior(probs, labels, valid, 0), strict=True
    ):
        np.testing.assert_array_equal(result, expected)
