"""Accept the faces above a threshold that does not depend on the data."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from fer.core.labels import Emotion
from fer.core.schema import Fraction
from fer.pseudo_labels.policy import Evidence, Policy


class Options(Policy):
    threshold: Fraction | dict[Emotion, Fraction]

    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Float[np.ndarray, " classes"]:
        if isinstance(self.threshold, dict):
            return np.array([self.threshold[emotion] for emotion in emotions])  # type: ignore[index]
        return np.full(len(emotions), self.threshold)
