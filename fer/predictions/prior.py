"""Correct the predictions of a network to the class frequencies of the validation fold.

A network that learned from as many labels of each emotion takes rare emotions for frequent ones. One factor per class,
fitted on the validation fold, corrects that without training (Saerens et al. 2002, doi:10.1162/089976602753284446).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from fer.predictions.calibration import split_for_cross_fit
from fer.predictions.confidence import class_prior

N_ITERATIONS = 100  # the largest change of a factor is then below 1e-6 on FER-2013's validation fold
MAX_FACTOR = 1000.0  # and 1 / MAX_FACTOR the smallest, for classes that are never or always predicted


def fit_prior_factors(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " classes"]:
    """Return the factors by which the mean of the corrected `probs` equals the class frequencies of `labels`.

    Both are of the validation fold. A class that `labels` does not contain keeps the factor 1, like every class if
    there are fewer labels than classes; the geometric mean of the other factors is 1.
    """
    factors = np.ones(probs.shape[1])
    prior = class_prior(labels, probs.shape[1])
    present = prior > 0
    for _ in range(N_ITERATIONS if len(labels) >= len(factors) else 0):
        mean = apply_prior_factors(probs, factors).mean(axis=0, dtype=np.float64)
        factors[present] *= prior[present] / mean[present].clip(min=1e-12)
        factors[present] /= np.exp(np.log(factors[present]).mean())
        factors = factors.clip(1 / MAX_FACTOR, MAX_FACTOR)
    return factors


def apply_prior_factors(
    probs: Float[np.ndarray, "n classes"], factors: Float[np.ndarray, " classes"]
) -> Float[np.ndarray, "n classes"]:
    """Return the probabilities times `factors`, renormalised, as float32."""
    scaled = probs.astype(np.float64) * factors
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True).clip(min=1e-12), dtype=np.float32)


def correct_to_prior(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], valid: Bool[np.ndarray, " n"], seed: int
) -> tuple[Float[np.ndarray, "n classes"], Float[np.ndarray, " classes"]]:
    """Return `probs` corrected to the class frequencies of the `valid` faces, and the factors fitted on these.

    The probabilities of `valid` faces are cross-fitted, as in `calibrate_ensemble`: each half is corrected by the
    factors fitted on the other half. No other labels are read.
    """
    factors = fit_prior_factors(probs[valid], labels[valid])
    corrected = apply_prior_factors(probs, factors)
    valid_rows = np.flatnonzero(valid)
    for half, fit_half in split_for_cross_fit(len(valid_rows), seed):
        rows, fit_rows = valid_rows[half], valid_rows[fit_half]
        corrected[rows] = apply_prior_factors(probs[rows], fit_prior_factors(probs[fit_rows], labels[fit_rows]))
    return corrected, factors


def uncorrected_emotions(labels: Int[np.ndarray, " n"], emotions: Sequence[str]) -> list[str]:
    """Return the emotions whose factor `fit_prior_factors` leaves at 1, for want of labels."""
    counts = np.bincount(labels, minlength=len(emotions))
    return [name for name, count in zip(emotions, counts, strict=True) if not count or len(labels) < len(emotions)]
