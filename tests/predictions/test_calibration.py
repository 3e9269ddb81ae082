"""Temperature scaling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fer.predictions.calibration import (
    CALIBRATION_CHUNK,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    compute_probs,
    cross_fit_probs,
    fit_temperature,
)
from fer.predictions.metrics import expected_calibration_error
from fer.runtime.errors import InputError

CLASSES = 7
LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.integers(1, 3), st.just(CLASSES)),
    elements=st.floats(-60, 60, width=32),
)
TEMPERATURES = st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE)


def calibrated_logits(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits whose softmax at `temperature` is the probability of each label, and labels drawn from it."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, 1, CLASSES)) * 2
    probs = np.exp(logits[:, 0]) / np.exp(logits[:, 0]).sum(axis=1, keepdims=True)
    labels = (probs.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1).clip(max=CLASSES - 1)
    return (logits * temperature).astype(np.float32), labels


@given(LOGITS, TEMPERATURES)
def test_probabilities_are_at_least_0_and_sum_to_1(logits, temperature):
    probs = compute_probs(logits, temperature)
    assert probs.dtype == np.float32
    assert (probs >= 0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)


@given(LOGITS, TEMPERATURES)
def test_views_are_averaged_as_probabilities_not_as_logits(logits, temperature):
    views = [compute_probs(logits[:, [view]], temperature) for view in range(logits.shape[1])]
    np.testing.assert_allclose(compute_probs(logits, temperature), np.mean(views, axis=0), atol=1e-6)


@given(LOGITS, TEMPERATURES)
def test_the_temperature_never_changes_the_prediction_of_one_view(logits, temperature):
    predicted = compute_probs(logits[:, :1], temperature).argmax(axis=1)
    highest = logits[:, 0].max(axis=1)
    assert (
        logits[np.arange(len(logits)), 0, predicted] >= highest - 1e-5
    ).all()  # closer logits may have equal float32 probabilities


def test_huge_logits_do_not_overflow():
    logits = np.array([[[1e30, -1e30, 0]]], dtype=np.float32)
    np.testing.assert_array_equal(compute_probs(logits, MIN_TEMPERATURE), [[1, 0, 0]])
    assert np.isfinite(fit_temperature(logits, np.array([1])))


def test_faces_after_the_first_chunk_are_computed():
    logits = np.random.default_rng(0).normal(size=(CALIBRATION_CHUNK + 3, 1, 2)).astype(np.float32)
    np.testing.assert_array_equal(compute_probs(logits, 2.0)[-5:], compute_probs(logits[-5:], 2.0))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_over_and_underconfident_logits_is_recovered(temperature):
    assert fit_temperature(*calibrated_logits(20_000, temperature)) == pytest.approx(temperature, rel=0.03)


def test_the_fitted_temperature_calibrates_other_faces():
    logits, labels = calibrated_logits(20_000, 3.0)
    temperature = fit_temperature(logits[:5000], labels[:5000])
    uncalibrated = expected_calibration_error(compute_probs(logits[5000:], 1.0), labels[5000:], 15)
    calibrated = expected_calibration_error(compute_probs(logits[5000:], temperature), labels[5000:], 15)
    assert uncalibrated > 0.15
    assert calibrated < 0.02


def test_without_faces_the_temperature_is_1():
    assert fit_temperature(np.zeros((0, 2, CLASSES), np.float32), np.zeros(0, np.int64)) == 1


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_a_fold_without_errors_gives_no_certainty(n):
    logits = np.zeros((n, 1, CLASSES), np.float32)
    logits[:, 0, 3] = 2
    temperature = fit_temperature(logits, np.full(n, 3))
    hits = n + 1 / CLASSES  # of n + 1 faces, including the pseudo-observation
    assert compute_probs(logits, temperature)[0, 3] == pytest.approx(hits / (n + 1), abs=1e-5)


def test_a_fold_without_hits_gives_the_highest_temperature():
    logits = np.zeros((50, 1, CLASSES), np.float32)
    logits[:, 0, 3] = 2
    assert fit_temperature(logits, np.zeros(50, np.int64)) == pytest.approx(MAX_TEMPERATURE, rel=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_reported_with_their_row(value):
    logits, labels = calibrated_logits(5, 1.0)
    logits[3, 0, 2] = value
    with pytest.raises(InputError, match="face 3 "):
        fit_temperature(logits, labels)


def test_cross_fitting_uses_no_face_for_itself():
    logits, labels = calibrated_logits(40, 1.0)
    original = cross_fit_probs(logits, labels, seed=3)
    for row in range(40):
        changed_labels = labels.copy()
        changed_labels[row] = (labels[row] + 1) % CLASSES
        changed_probs = cross_fit_probs(logits, changed_labels, seed=3)
        np.testing.assert_array_equal(changed_probs[row], original[row])
        assert (changed_probs != original).any()


def test_cross_fitting_depends_on_the_seed_only():
    logits, labels = calibrated_logits(40, 1.0)
    np.testing.assert_array_equal(cross_fit_probs(logits, labels, seed=3), cross_fit_probs(logits, labels, seed=3))
    assert (cross_fit_probs(logits, labels, seed=3) != cross_fit_probs(logits, labels, seed=4)).any()


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_cross_fitting_works_on_tiny_folds(n):
    logits, labels = calibrated_logits(n, 1.0)
    assert np.isfinite(cross_fit_probs(logits, labels, seed=0)).all()
