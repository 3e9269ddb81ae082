"""Which unlabelled faces to learn from, and as what: the policies of `pseudo_label`.

A policy is a function of probabilities, never of logits. It labels the faces of the unlabelled pool and no others. Each
comes down to a threshold for each emotion, and `softmatch` to weights besides; so each decision can be read off the
numbers that are shown beside it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from fer.core.files import DECIMALS, escape_formulas
from fer.pseudo_labels.policy import Evidence, Policy
from fer.runtime.errors import InputError

NOT_AGREED_REASON = "not agreed on"


@dataclass(frozen=True)
class Selection:
    """What was decided of each row. Outside the pool: not accepted, emotion -1, weight 0, no reason."""

    pool: Bool[np.ndarray, " n"]  # the unlabelled faces
    accepted: Bool[np.ndarray, " n"]
    emotion: Int[np.ndarray, " n"]  # the likeliest, as an index into the emotions; the first of equals
    confidence: Float[np.ndarray, " n"]  # its probability
    threshold: Float[np.ndarray, " n"]  # at or above which `confidence` was accepted
    weight: Float[np.ndarray, " n"]  # relative to the other pseudo-labels, 0..1; 0 where not accepted
    reason: Shaped[np.ndarray, " n"]  # in words


def select(evidence: Evidence, policy: Policy, emotions: Sequence[str]) -> Selection:
    """What `policy` decides of the pool. A confidence at or above the threshold of its emotion is accepted.

    The order of the faces does not matter.

    Raises:
        InputError: a probability is not finite.
    """
    if len(broken := np.flatnonzero(~np.isfinite(evidence.probs).all(axis=1))):
        raise InputError(f"probabilities of row {broken[0]} are not finite; train and predict again")
    predicted = evidence.predicted
    threshold = thresholds(evidence, policy, emotions)[predicted]
    accepted = evidence.pool & (evidence.confidence >= threshold) & evidence.agreed

    below = np.array([f"confidence below the threshold of {emotion}" for emotion in emotions], dtype=object)
    reason = np.where(evidence.agreed, below[predicted], NOT_AGREED_REASON)
    reason = np.where(accepted, "accepted", reason)
    return Selection(
        pool=evidence.pool,
        accepted=accepted,
        emotion=np.where(evidence.pool, predicted, -1),
        confidence=evidence.confidence,
        threshold=threshold,
        weight=np.where(accepted, policy.weights(evidence), 0).astype(np.float32),
        reason=np.where(evidence.pool, reason, ""),
    )


def thresholds(evidence: Evidence, policy: Policy, emotions: Sequence[str]) -> Float[np.ndarray, " classes"]:
    """Return the confidence that a face needs to be accepted as each emotion; above 1 accepts none."""
    return policy.thresholds(evidence, emotions).round(DECIMALS)


def decision_table(selection: Selection, table: pd.DataFrame, emotions: Sequence[str]) -> pd.DataFrame:
    """The decisions to read: one row for each face of the pool, in the order of `table`."""
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
    """Faces in the pool, those accepted, and those accepted as each emotion."""
    found = Counter(selection.emotion[selection.accepted].tolist())
    return {
        "unlabelled": int(selection.pool.sum()),
        "accepted": int(selection.accepted.sum()),
        "per_emotion": {emotion: found[code] for code, emotion in enumerate(emotions)},
    }


def format_selection(selection: Selection, emotions: Sequence[str]) -> str:
    """One line on what was accepted, and what follows if nothing was."""
    found = count_accepted(selection, emotions)
    no_more = "the teachers give retraining nothing to learn"
    if not found["unlabelled"]:
        return (
            f"no unlabelled faces are left to label, so {no_more}; add an unlabelled source or set unify.label_budget"
        )
    if not found["accepted"]:
        open_ = selection.pool & (selection.reason != NOT_AGREED_REASON)
        if not open_.any():
            return f"accepted none of {found['unlabelled']} unlabelled faces, as none is agreed on, so {no_more}"
        sure, needed = selection.confidence[open_], selection.threshold[open_]
        nearest = (needed - sure).argmin()
        return (
            f"accepted none of {found['unlabelled']} unlabelled faces, so {no_more}; "
            f"the nearest has a confidence of {sure[nearest]:.6g} and needs {needed[nearest]:.6g}"
        )
    each = ", ".join(f"{emotion} {count}" for emotion, count in found["per_emotion"].items())
    return f"accepted {found['accepted']} of {found['unlabelled']} unlabelled faces: {each}"
