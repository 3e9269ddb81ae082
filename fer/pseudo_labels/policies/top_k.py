"""Accept the `faces` most confident faces of each emotion."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from fer.core.schema import Count
from fer.pseudo_labels.policy import Evidence, Policy, kth_largest


class Options(Policy):
    faces: Count

    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Float[np.ndarray, " classes"]:
        return np.array(
            [kth_largest(evidence.confidence[mask], self.faces) for mask in evidence.by_emotion(evidence.pool)]
        )
