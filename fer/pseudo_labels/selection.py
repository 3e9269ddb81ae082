"""Select the faces of the pool that the next round learns from, and write the decisions for people to read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from fer.core.files import DECIMALS
from fer.core.table import escape_formulas
from fer.pseudo_labels.policy import Evidence, Policy
from fer.pseudo_labels.weights import WEIGHTS
from fer.runtime.errors import InputError

NOT_AGREED_REASON = "not agreed on"


@dataclass(frozen=True)
class Selection:
    """The decision on each row. Outside the pool: not accepted, emotion -1, weight 0, no reason."""

    pool: Bool[np.ndarray, " n"]  # the unlabelled faces
    accepted: Bool[np.ndarray, " n"]
    emotion: Int[np.ndarray, " n"]  # index of the likeliest emotion; the first of equals
    confidence: Float[np.ndarray, " n"]  # its probability
    threshold: Float[np.ndarray, " n"]  # the lowest accepted `confidence`
    weight: Float[np.ndarray, " n"]  # in the loss, relative to other pseudo-labels, 0..1; 0 if not accepted
    reason: Shaped[np.ndarray, " n"]  # str


def select(evidence: Evidence, policy: Policy, emotions: Sequence[str], weights: str = "none") -> Selection:
    """Accept the faces of the pool whose confidence is at or above the threshold of their predicted emotion.

    Args:
        weights: "none", "confidence" or "softmatch" weighs the accepted faces, unless the policy has its own weights.

    Raises:
        InputError: A probability is not finite.
    """
    if len(not_finite := np.flatnonzero(~np.isfinite(evidence.probs).all(axis=1))):
        raise InputError(f"probabilities of row {not_finite[0]} are not finite; train and predict again")
    predicted = evidence.predicted
    threshold = thresholds(evidence, policy, emotions)[predicted]
    accepted = evidence.pool & (evidence.confidence >= threshold) & evidence.agreed

    own_weights = policy.weights(evidence)
    weight = WEIGHTS[weights](evidence) if own_weights is None else own_weights
    below = np.array([f"confidence below the threshold of {emotion}" for emotion in emotions], dtype=object)
    reason = np.where(evidence.agreed, below[predicted], NOT_AGREED_REASON)
    reason = np.where(accepted, "accepted", reason)
    return Selection(
        pool=evidence.pool,
        accepted=accepted,
        emotion=np.where(evidence.pool, predicted, -1),
        confidence=evidence.confidence,
        threshold=threshold,
        weight=np.where(accepted, weight, 0).astype(np.float32),
        reason=np.where(evidence.pool, reason, ""),
    )


def thresholds(evidence: Evidence, policy: Policy, emotions: Sequence[str]) -> Float[np.ndarray, " classes"]:
    """Return the confidence that a face needs to be accepted as each emotion; above 1 accepts none."""
    return np.array(policy.thresholds(evidence, emotions)).round(DECIMALS)


def decision_table(selection: Selection, table: pd.DataFrame, emotions: Sequence[str]) -> pd.DataFrame:
    """Return one row for each face of the pool, in the order of `table`."""
    pool = selection.pool
    return pd.DataFrame(
        {
            "id": escape_formulas(table["id"][pool]),
            "source": table["source"][pool],
            "emotion": np.array(emotions, dtype=object)[selection.emotion[pool]],
            "confidence": selection.confidence[pool],
            "threshold": selection.threshold[pool],
            "accepted": selection.accepted[pool],
            "weight": selection.weight[pool],
            "reason": selection.reason[pool],
        }
    )


def count_accepted(selection: Selection, emotions: Sequence[str]) -> dict[str, Any]:
    """Return the size of the pool and the number of accepted faces, in all and per emotion."""
    counts = Counter(selection.emotion[selection.accepted].tolist())
    return {
        "unlabelled": int(selection.pool.sum()),
        "accepted": int(selection.accepted.sum()),
        "per_emotion": {emotion: counts[code] for code, emotion in enumerate(emotions)},
    }


def format_selection(selection: Selection, emotions: Sequence[str]) -> str:
    """Return one line on the number of accepted faces, with the reason if it is 0."""
    counts = count_accepted(selection, emotions)
    effect = "so retraining gets no pseudo-labels"
    if not counts["unlabelled"]:
        return f"no unlabelled faces, {effect}; add an unlabelled source or set unify.label_budget"
    if not counts["accepted"]:
        prefix = f"accepted none of {counts['unlabelled']} unlabelled faces"
        agreed = selection.pool & (selection.reason != NOT_AGREED_REASON)
        if not agreed.any():
            return f"{prefix}, as none is agreed on, {effect}"
        confidence, threshold = selection.confidence[agreed], selection.threshold[agreed]
        nearest = (threshold - confidence).argmin()
        return (
            f"{prefix}, {effect}; the nearest has a confidence of {confidence[nearest]:.6g} "
            f"and needs {threshold[nearest]:.6g}"
        )
    per_emotion = ", ".join(f"{emotion} {count}" for emotion, count in counts["per_emotion"].items())
    return f"accepted {counts['accepted']} of {counts['unlabelled']} unlabelled faces: {per_emotion}"
