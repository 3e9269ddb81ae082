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


def honest(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax, at `temperature`, is the chance of each label, and labels drawn so."""
    generator = np.random.default_rng(seed)
    true = generator.normal(size=(n, 1, CLASSES)) * 2
    chances = np.exp(true[:, 0]) / np.exp(true[:, 0]).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1).clip(max=CLASSES - 1)
    return (true * temperature).astype(np.float32), labels


@given(LOGITS, TEMPERATURES)
def test_probabilities_are_at_least_0_and_sum_to_1(logits, temperature):
    probs = compute_probs(logits, temperature)
    assert probs.dtype == np.float32
    assert (probs >= 0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)


@given(LOGITS, TEMPERATURES)
def test_probabilities_are_the_mean_of_the_views_and_not_of_their_logits(logits, temperature):
    views = [compute_probs(logits[:, [view]], temperature) for view in range(logits.shape[1])]
    np.testing.assert_allclose(compute_probs(logits, temperature), np.mean(views, axis=0), atol=1e-6)


@given(LOGITS, TEMPERATURES)
def test_a_temperature_never_changes_what_one_view_says(logits, temperature):
    chosen = compute_probs(logits[:, :1], temperature).argmax(axis=1)
    highest = logits[:, 0].max(axis=1)
    assert (logits[np.arange(len(logits)), 0, chosen] >= highest - 1e-5).all()  # nearer ones may be equal in float32


def test_huge_logits_do_not_overflow():
    logits = np.array([[[1e30, -1e30, 0]]], dtype=np.float32)
    np.testing.assert_array_equal(compute_probs(logits, MIN_TEMPERATURE), [[1, 0, 0]])
    assert np.isfinite(fit_temperature(logits, np.array([1])))


def test_faces_beyond_the_first_slice_are_computed_too():
    logits = np.random.default_rng(0).normal(size=(CALIBRATION_CHUNK + 3, 1, 2)).astype(np.float32)
    np.testing.assert_array_equal(compute_probs(logits, 2.0)[-5:], compute_probs(logits[-5:], 2.0))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_overconfident_or_shy_logits_is_found(temperature):
    assert fit_temperature(*honest(20_000, temperature)) == pytest.approx(temperature, rel=0.03)


def test_fitting_calibrates_faces_that_were_not_fitted_on():
    logits, labels = honest(20_000, 3.0)
    temperature = fit_temperature(logits[:5000], labels[:5000])
    before = expected_calibration_error(compute_probs(logits[5000:], 1.0), labels[5000:], 15)
    after = expected_calibration_error(compute_probs(logits[5000:], temperature), labels[5000:], 15)
    assert before > 0.15
    assert after < 0.02


def test_without_faces_the_temperature_is_1():
    assert fit_temperature(np.zeros((0, 2, CLASSES), np.float32), np.zeros(0, np.int64)) == 1


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_a_fold_without_an_error_makes_nobody_certain(n):
    logits = np.zeros((n, 1, CLASSES), np.float32)
    logits[:, 0, 3] = 2
    temperature = fit_temperature(logits, np.full(n, 3))
    right = n + 1 / CLASSES  # of n + 1 faces, the made-up one counted
    assert compute_probs(logits, temperature)[0, 3] == pytest.approx(right / (n + 1), abs=1e-5)


def test_a_fold_of_one_emotion_that_is_never_recognised_gives_the_highest_temperature():
    logits = np.zeros((50, 1, CLASSES), np.float32)
    logits[:, 0, 3] = 2
    assert fit_temperature(logits, np.zeros(50, np.int64)) == pytest.approx(MAX_TEMPERATURE, rel=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_refused_with_its_row(value):
    logits, labels = honest(5, 1.0)
    logits[3, 0, 2] = value
    with pytest.raises(InputError, match="face 3 "):
        fit_temperature(logits, labels)


def test_no_face_is_calibrated_by_its_own_label():
    logits, labels = honest(40, 1.0)
    before = cross_fit_probs(logits, labels, seed=3)
    for row in range(40):
        changed = labels.copy()
        changed[row] = (labels[row] + 1) % CLASSES
        after = cross_fit_probs(logits, changed, seed=3)
        np.testing.assert_array_equal(after[row], before[row])
        assert (after != before).any()


def test_cross_fitting_repeats_with_its_seed_and_changes_with_it():
    logits, labels = honest(40, 1.0)
    np.testing.assert_array_equal(cross_fit_probs(logits, labels, seed=3), cross_fit_probs(logits, labels, seed=3))
    assert (cross_fit_probs(logits, labels, seed=3) != cross_fit_probs(logits, labels, seed=4)).any()


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_cross_fitting_takes_tiny_folds(n):
    logits, labels = honest(n, 1.0)
    assert np.isfinite(cross_fit_probs(logits, labels, seed=0)).all()
