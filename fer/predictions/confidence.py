"""Confidence of predictions and frequencies of classes."""

import numpy as np
from jaxtyping import Float, Int

from fer.core.files import DECIMALS


def class_prior(labels: Int[np.ndarray, " n"], n_classes: int) -> Float[np.ndarray, " classes"]:
    """Return the share of each class among `labels`."""
    return np.bincount(labels, minlength=n_classes) / max(len(labels), 1)


def max_confidence(probs: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " n"]:
    """Return the probability of the likeliest emotion as float64, rounded to `DECIMALS` as in every written file.

    Unrounded, a float32 0.7 is 0.69999999 and falls below a threshold of 0.7, and 0.7999999 is written as 0.8 but
    rejected by a threshold of 0.8.
    """
    return probs.max(axis=1).astype(np.float64).round(DECIMALS)
