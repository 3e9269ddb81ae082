"""Follow the pool's mean confidence (FreeMatch, Wang et al. 2023, arXiv:2205.07246)."""

from collections.abc import Sequence

import numpy as np

from fer.pseudo_labels.policy import Evidence, Policy, Thresholds


class Options(Policy):
    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        """Return the mean confidence, lowered for emotions of little mean probability.

        The paper has moving averages over batches; these means are over the whole pool.
        """
        probs = evidence.probs[evidence.pool]
        if not len(probs):
            return np.zeros(len(emotions))
        mean = probs.mean(axis=0, dtype=np.float64)
        return probs.max(axis=1).mean(dtype=np.float64) * mean / mean.max()
