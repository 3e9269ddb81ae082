"""Correct the predictions of a network to the class frequencies of the validation fold.

A network that learned from as many labels of each emotion takes rare emotions for frequent ones. One factor per class,
fitted on the validation fold, corrects that without training (Saerens et al. 2002, doi:10.1162/089976602753284446).
"""

import numpy as np
from jaxtyping import Float, Int

from fer.predictions.confidence import class_prior

N_ITERATIONS = 100  # the largest change of a factor is then below 1e-6 on FER-2013's validation fold


def fit_prior_factors(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " classes"]:
    """Return the factors by which the mean of the corrected `probs` equals the class frequencies of `labels`.

    Both are of the validation fold. A class that `labels` does not contain keeps the factor 1, like every class if
    there are no labels; the geometric mean of the other factors is 1.
    """
    factors = np.ones(probs.shape[1])
    prior = class_prior(labels, probs.shape[1])
    present = prior > 0
    for _ in range(N_ITERATIONS if len(labels) else 0):
        mean = apply_prior_factors(probs, factors).mean(axis=0, dtype=np.float64)
        factors[present] *= prior[present] / mean[present].clip(min=1e-12)
        factors[present] /= np.exp(np.log(factors[present]).mean())
    return factors


def apply_prior_factors(
    probs: Float[np.ndarray, "n classes"], factors: Float[np.ndarray, " classes"]
) -> Float[np.ndarray, "n classes"]:
    """Return the probabilities times `factors`, renormalised, as float32."""
    scaled = probs.astype(np.float64) * factors
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True).clip(min=1e-12), dtype=np.float32)
