"""Accept the `faces` most confident faces of each emotion."""

from collections.abc import Sequence

from fer.core.schema import Count
from fer.pseudo_labels.policy import Evidence, Policy, Thresholds, kth_largest


class Options(Policy):
    faces: Count

    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        return [kth_largest(evidence.confidence[mask], self.faces) for mask in evidence.by_emotion(evidence.pool)]
