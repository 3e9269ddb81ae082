"""Confidence and the frequencies of emotions."""

import numpy as np
from jaxtyping import Float, Int

from fer.core.files import DECIMALS


def class_prior(labels: Int[np.ndarray, " n"], n_classes: int) -> Float[np.ndarray, " classes"]:
    """The share of each emotion among `labels`."""
    return np.bincount(labels, minlength=n_classes) / max(len(labels), 1)


def max_confidence(probs: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " n"]:
    """Probability of the likeliest emotion as it is written and compared with thresholds: float64, rounded to `DIGITS`.

    Unrounded, a float32 0.7 is 0.69999999 and would fall below a threshold of 0.7, and 0.7999999 would be printed as
    0.8 and yet refused.
    """
    return probs.max(axis=1).astype(np.float64).round(DECIMALS)
