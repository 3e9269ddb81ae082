"""Accept the faces above a threshold that does not depend on the data."""

from collections.abc import Sequence

from fer.core.labels import Emotion
from fer.core.schema import Fraction
from fer.pseudo_labels.policy import Evidence, Policy, Thresholds


class Options(Policy):
    threshold: Fraction | dict[Emotion, Fraction]

    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        if isinstance(self.threshold, dict):
            return [self.threshold[emotion] for emotion in emotions]  # type: ignore[index]
        return [self.threshold] * len(emotions)
