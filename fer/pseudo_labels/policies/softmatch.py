"""Accept every face, with less weight below the mean confidence (SoftMatch, Chen et al. 2023, arXiv:2301.10921)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from fer.pseudo_labels.policy import Evidence, Policy, Thresholds
from fer.pseudo_labels.weights import weigh_below_mean


class Options(Policy):
    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        return [0.0] * len(emotions)

    def weights(self, evidence: Evidence) -> Float[np.ndarray, " n"]:
        return weigh_below_mean(evidence)
