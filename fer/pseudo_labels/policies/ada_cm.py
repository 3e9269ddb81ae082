"""Follow the confidence of correctly recognised faces of each emotion (Ada-CM, Li et al. 2022, arXiv:2203.12341)."""

from collections.abc import Sequence

from fer.core.schema import Fraction
from fer.pseudo_labels.policy import Evidence, Policy, Thresholds


class Options(Policy):
    factor: Fraction

    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        """Return `factor` times the mean confidence of the correct validation faces; 1 for an emotion without any.

        The paper takes training faces, in every epoch.
        """
        correct = evidence.valid & (evidence.predicted == evidence.labels)
        return [
            self.factor * float(evidence.confidence[mask].mean()) if mask.any() else 1.0
            for mask in evidence.by_emotion(correct)
        ]
