"""Accept every face, with less weight below the mean confidence (SoftMatch, Chen et al. 2023, arXiv:2301.10921)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from fer.pseudo_labels.policy import Evidence, Policy, Thresholds


class Options(Policy):
    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        return [0.0] * len(emotions)

    def weights(self, evidence: Evidence) -> Float[np.ndarray, " n"]:
        """Return exp(−(c − μ)² / 2σ²) for confidences c below the pool's mean μ, with its variance σ², and 1 above.

        This is equation 6 of the paper, which has moving averages over batches for μ and σ².
        """
        pool_confidence = evidence.confidence[evidence.pool]
        if not len(pool_confidence):
            return super().weights(evidence)
        shortfall = (pool_confidence.mean() - evidence.confidence).clip(min=0)
        return np.exp(-(shortfall**2) / (2 * max(float(pool_confidence.var()), 1e-12)))
