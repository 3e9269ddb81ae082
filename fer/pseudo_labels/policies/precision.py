"""Accept the faces above the threshold that reaches a target precision on the validation faces of each emotion."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from fer.core.schema import Fraction
from fer.pseudo_labels.policy import Evidence, Policy, Thresholds


class Options(Policy):
    target: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    fallback: Fraction

    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        correct = evidence.predicted == evidence.labels
        return [
            self.find_threshold(evidence.confidence[mask], correct[mask])
            for mask in evidence.by_emotion(evidence.valid)
        ]

    def find_threshold(self, confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> float:
        """Return the lowest threshold above which a lower bound of the precision reaches `target`.

        The bound is one-sided (Clopper & Pearson 1934) and holds for each threshold by itself, so the lowest of many is
        slightly optimistic. `fallback` is returned if no threshold reaches the target, as with few faces.
        """
        from scipy.stats import beta  # takes a second, which reading params.yaml must not take

        order = np.argsort(-confidence, kind="stable")
        counts = np.arange(1, len(confidence) + 1)
        hits = correct[order].cumsum()
        low = np.where(hits > 0, beta.ppf(1 - self.confidence, hits.clip(min=1), counts - hits + 1), 0.0)
        is_last_of_equals = np.append(confidence[order][1:] < confidence[order][:-1], True)[: len(confidence)]
        enough = np.flatnonzero((low >= self.target) & is_last_of_equals)
        return float(confidence[order][enough[-1]]) if len(enough) else self.fallback

    def format_note(self, thresholds: Float[np.ndarray, " classes"], emotions: Sequence[str]) -> str | None:
        names = [name for name, threshold in zip(emotions, thresholds, strict=True) if threshold == self.fallback]
        if not names:
            return None
        return (
            f"no threshold reaches {self.target:.0%} precision on validation for {', '.join(names)}; "
            f"using the fallback, {self.fallback:g}"
        )
