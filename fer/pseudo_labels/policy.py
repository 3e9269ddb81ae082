"""The evidence from which a policy decides."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from fer.core.labels import target_prior
from fer.predictions.confidence import class_prior

UNREACHABLE_THRESHOLD = 1.1  # a threshold that no confidence reaches


@dataclass(frozen=True)
class Evidence:
    """What the teachers say of every face, and what is known of the faces."""

    probs: Float[np.ndarray, "n classes"]  # calibrated; of validation faces cross-fitted
    labels: Int[np.ndarray, " n"]  # read on validation faces alone
    valid: Bool[np.ndarray, " n"]
    pool: Bool[np.ndarray, " n"]  # the unlabelled faces
    agreed: Bool[np.ndarray, " n"]  # by all whose agreement is asked for


def collect_evidence(
    ensemble_probs: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    fold: Shaped[np.ndarray, " n"],
    agreed: Bool[np.ndarray, " n"],
    alignment: str,
) -> Evidence:
    """The evidence in the teachers' vote, with the pool's emotions made as frequent as `alignment` has them."""
    valid, pool = fold == "valid", fold == "unlabelled"
    wanted = target_prior(alignment, class_prior(labels[valid], ensemble_probs.shape[1]))
    probs = ensemble_probs if wanted is None else align_distribution(ensemble_probs, pool, wanted)
    return Evidence(probs, labels, valid, pool, agreed)


def softmatch_weights(
    confidence: Float[np.ndarray, " n"], pool_confidence: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " n"]:
    """exp(−(c − μ)² / 2σ²) of confidences c below the pool's mean μ, with its variance σ², and 1 above (SoftMatch).

    Chen et al. 2023, arXiv:2301.10921, equation 6; theirs are moving averages over batches.
    """
    if not len(pool_confidence):
        return np.ones(len(confidence))
    short = (pool_confidence.mean() - confidence).clip(min=0)
    return np.exp(-(short**2) / (2 * max(float(pool_confidence.var()), 1e-12)))


def align_distribution(
    probs: Float[np.ndarray, "n classes"], pool: Bool[np.ndarray, " n"], target_prior: Float[np.ndarray, " classes"]
) -> Float[np.ndarray, "n classes"]:
    """The probabilities times `target_prior` over their mean on the pool, so that the pool's emotions are about as wanted.

    Distribution alignment (Berthelot et al. 2020, arXiv:1911.09785).
    """
    if not pool.any():
        return probs
    weighed = probs.clip(min=1e-12) * (target_prior / probs[pool].mean(axis=0, dtype=np.float64).clip(min=1e-12))
    return (weighed / weighed.sum(axis=1, keepdims=True)).astype(np.float32)
