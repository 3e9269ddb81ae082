"""Lower the threshold of emotions that rarely exceed it (FlexMatch, Zhang et al. 2021, arXiv:2110.08263)."""

from collections.abc import Sequence

import numpy as np

from fer.core.schema import Fraction
from fer.pseudo_labels.policy import Evidence, Policy, Thresholds


class Options(Policy):
    threshold: Fraction

    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        """Return `threshold` · b / (2 − b), where b is an emotion's count relative to the largest (equations 5 to 12).

        Only predictions above the threshold are counted. While most faces are below it, their number is the largest.
        """
        is_above = evidence.confidence[evidence.pool] >= self.threshold
        counts = np.bincount(evidence.predicted[evidence.pool][is_above], minlength=len(emotions))
        relative = counts / max(counts.max(), (~is_above).sum(), 1)
        return self.threshold * relative / (2 - relative)
