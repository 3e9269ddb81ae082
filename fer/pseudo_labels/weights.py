"""The weight of each face in the loss, should it be accepted: the choices of `pseudo_label.weights`."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from fer.pseudo_labels.policy import Evidence


def weigh_alike(evidence: Evidence) -> Float[np.ndarray, " n"]:
    return np.ones(len(evidence.probs))


def weigh_by_confidence(evidence: Evidence) -> Float[np.ndarray, " n"]:
    return evidence.confidence


def weigh_below_mean(evidence: Evidence) -> Float[np.ndarray, " n"]:
    """Return exp(−(c − μ)² / 2σ²) for confidences c below the pool's mean μ, with its variance σ², and 1 above.

    This is equation 6 of SoftMatch (Chen et al. 2023, arXiv:2301.10921), which has moving averages over batches for μ
    and σ².
    """
    pool_confidence = evidence.confidence[evidence.pool]
    if not len(pool_confidence):
        return weigh_alike(evidence)
    shortfall = (pool_confidence.mean() - evidence.confidence).clip(min=0)
    return np.exp(-(shortfall**2) / (2 * max(float(pool_confidence.var()), 1e-12)))


WEIGHTS: dict[str, Callable[[Evidence], Float[np.ndarray, " n"]]] = {
    "none": weigh_alike,
    "confidence": weigh_by_confidence,
    "softmatch": weigh_below_mean,
}
