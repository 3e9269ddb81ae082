"""The evidence from which policies decide, and the base class of policies."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from fer.core.labels import target_prior
from fer.core.schema import Section
from fer.predictions.confidence import class_prior, max_confidence

UNREACHABLE_THRESHOLD = 1.1  # above every confidence

Thresholds = Sequence[float] | Float[np.ndarray, " classes"]


@dataclass(frozen=True)
class Evidence:
    """The teachers' probabilities of every face, and the facts about the faces that a policy may read."""

    probs: Float[np.ndarray, "n classes"]  # calibrated; cross-fitted on validation faces
    labels: Int[np.ndarray, " n"]  # read on validation faces only
    valid: Bool[np.ndarray, " n"]
    pool: Bool[np.ndarray, " n"]  # the unlabelled faces
    agreed: Bool[np.ndarray, " n"]  # by the networks and views that `pseudo_label.agreement` names

    @cached_property
    def predicted(self) -> Int[np.ndarray, " n"]:
        """The index of the likeliest emotion; the first of equals."""
        return self.probs.argmax(axis=1)

    @cached_property
    def confidence(self) -> Float[np.ndarray, " n"]:
        return max_confidence(self.probs)

    def by_emotion(self, mask: Bool[np.ndarray, " n"]) -> list[Bool[np.ndarray, " n"]]:
        """Return, for each emotion, the faces of `mask` that are predicted as that emotion."""
        return [mask & (self.predicted == code) for code in range(self.probs.shape[1])]


class Policy(Section, ABC):
    """A rule that decides which faces of the pool are accepted. Its fields are its row in `pseudo_label.policies`.

    A policy depends on probabilities, never on logits. It comes down to one threshold per emotion, so every decision
    can be checked against the numbers that are written beside it.
    """

    @abstractmethod
    def thresholds(self, evidence: Evidence, emotions: Sequence[str]) -> Thresholds:
        """Return the confidence that a face needs to be accepted as each emotion; above 1 accepts none."""

    def weights(self, evidence: Evidence) -> Float[np.ndarray, " n"] | None:
        """Return the weight of each face in the loss, should it be accepted, in 0..1; None: `pseudo_label.weights`."""
        return None

    def format_note(self, thresholds: Float[np.ndarray, " classes"], emotions: Sequence[str]) -> str | None:
        """Return one line that the user should know about these thresholds, if there is any."""
        return None


def collect_evidence(
    ensemble_probs: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    fold: Shaped[np.ndarray, " n"],
    agreed: Bool[np.ndarray, " n"] | None = None,
    alignment: str = "none",
) -> Evidence:
    """Return the evidence that a policy decides from.

    Args:
        ensemble_probs: The teachers' calibrated probabilities of every face.
        labels: The emotion's index of each face, read on validation faces only.
        fold: "valid" marks the validation faces and "unlabelled" the pool.
        agreed: The faces that may be accepted; by default all.
        alignment: "valid" or "uniform" aligns the pool's distribution of emotions to validation's or to equal shares.
    """
    valid, pool = fold == "valid", fold == "unlabelled"
    agreed = np.ones(len(fold), dtype=bool) if agreed is None else agreed
    prior = target_prior(alignment, class_prior(labels[valid], ensemble_probs.shape[1]))
    probs = ensemble_probs if prior is None else align_distribution(ensemble_probs, pool, prior)
    return Evidence(probs, labels, valid, pool, agreed)


def align_distribution(
    probs: Float[np.ndarray, "n classes"], pool: Bool[np.ndarray, " n"], prior: Float[np.ndarray, " classes"]
) -> Float[np.ndarray, "n classes"]:
    """Return the probabilities times `prior` over their mean on the pool, renormalised.

    Distribution alignment (Berthelot et al. 2020, arXiv:1911.09785).
    """
    if not pool.any():
        return probs
    scaled = probs.clip(min=1e-12) * (prior / probs[pool].mean(axis=0, dtype=np.float64).clip(min=1e-12))
    return (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)


def kth_largest(confidence: Float[np.ndarray, " n"], count: int) -> float:
    """Return the threshold that accepts the `count` most confident faces: 0 accepts all, above 1 accepts none."""
    if not count:
        return UNREACHABLE_THRESHOLD
    return float(np.partition(confidence, -count)[-count]) if len(confidence) > count else 0.0
