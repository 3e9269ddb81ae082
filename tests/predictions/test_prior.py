"""Corrected predictions have the class frequencies of the validation fold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.predictions.prior import apply_prior_factors, fit_prior_factors


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
