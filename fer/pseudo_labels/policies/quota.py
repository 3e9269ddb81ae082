"""Accept a share of the pool, the most confident faces of each emotion, in the proportions of the validation fold."""

from collections.abc import Sequence

from fer.core.schema import Fraction
from fer.predictions.confidence import class_prior
from fer.pseudo_labels.policy import Evidence, Policy, Thresholds, kth_largest


class Options(Policy):
    share: Fraction

    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        expected = self.share * evidence.pool.sum() * class_prior(evidence.labels[evidence.valid], len(emotions))
        return [
            kth_largest(evidence.confidence[mask], round(count))
            for mask, count in zip(evidence.by_emotion(evidence.pool), expected, strict=True)
        ]
