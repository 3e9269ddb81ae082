"""Which unlabelled faces to learn from, and as what: the policies of `pseudo_label.policy`.

A policy is a function of probabilities, never of logits. It labels the faces of the unlabelled pool and no others.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from fer.errors import InputError
from fer.params import Threshold
from fer.tables import DIGITS, guarded


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


def select(
    probs: Float[np.ndarray, "n classes"],
    unlabelled: Bool[np.ndarray, " n"],
    policy: Threshold,
    emotions: Sequence[str],
) -> Selection:
    """What `policy` decides of the faces in the `unlabelled` mask; `probs` are calibrated, classes as in `emotions`.

    A confidence at or above the threshold is accepted. Each row is decided by itself, so their order does not matter.

    Raises:
        InputError: a probability is not finite.
    """
    if len(broken := np.flatnonzero(~np.isfinite(probs).all(axis=1))):
        raise InputError(f"probabilities of row {broken[0]} are not finite; train and predict again")
    predicted = probs.argmax(axis=1)
    sure = confidence(probs)
    needed = thresholds(policy, emotions)
    threshold = np.array([needed[emotion] for emotion in emotions]).round(DIGITS)[predicted]
    accepted = unlabelled & (sure >= threshold)

    below = np.array([f"confidence below the threshold of {emotion}" for emotion in emotions], dtype=object)
    reason = np.where(accepted, "accepted", below[predicted])
    return Selection(
        pool=unlabelled,
        accepted=accepted,
        emotion=np.where(unlabelled, predicted, -1),
        confidence=sure,
        threshold=threshold,
        weight=accepted.astype(np.float32),
        reason=np.where(unlabelled, reason, ""),
    )


def thresholds(policy: Threshold, emotions: Sequence[str]) -> dict[str, float]:
    """The confidence that a face needs to be accepted as each emotion."""
    match policy.threshold:
        case dict() as by_emotion:
            return {emotion: by_emotion[emotion] for emotion in emotions}
        case threshold:
            return dict.fromkeys(emotions, threshold)


def confidence(probs: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " n"]:
    """Probability of the likeliest emotion as it is written and compared with thresholds: float64, rounded to `DIGITS`.

    Unrounded, a float32 0.7 is 0.69999999 and would fall below a threshold of 0.7, and 0.7999999 would be printed as
    0.8 and yet refused.
    """
    return probs.max(axis=1).astype(np.float64).round(DIGITS)


def decisions(selection: Selection, table: pd.DataFrame, emotions: Sequence[str]) -> pd.DataFrame:
    """The decisions to read: one row for each face of the pool, in the order of `table`."""
    pool = selection.pool
    return pd.DataFrame(
        {
            "id": guarded(table["id"][pool]),
            "source": table["source"][pool],
            "emotion": np.array(emotions, dtype=object)[selection.emotion[pool]],
            "confidence": selection.confidence[pool],
            "threshold": selection.threshold[pool],
            "accepted": selection.accepted[pool],
            "weight": selection.weight[pool],
            "reason": selection.reason[pool],
        }
    )


def counts(selection: Selection, emotions: Sequence[str]) -> dict[str, Any]:
    """Faces in the pool, those accepted, and those accepted as each emotion."""
    found = Counter(selection.emotion[selection.accepted].tolist())
    return {
        "unlabelled": int(selection.pool.sum()),
        "accepted": int(selection.accepted.sum()),
        "per_emotion": {emotion: found[code] for code, emotion in enumerate(emotions)},
    }


def in_words(selection: Selection, emotions: Sequence[str]) -> str:
    """One line on what was accepted, and what follows if nothing was."""
    found = counts(selection, emotions)
    no_more = "retraining sees the faces that training saw and, from scratch, equals it"
    if not found["unlabelled"]:
        return f"there are no unlabelled faces, so {no_more}; add an unlabelled source or set unify.label_budget"
    if not found["accepted"]:
        sure, needed = selection.confidence[selection.pool], selection.threshold[selection.pool]
        nearest = (needed - sure).argmin()
        return (
            f"accepted none of {found['unlabelled']} unlabelled faces, so {no_more}; "
            f"the nearest has a confidence of {sure[nearest]:.6g} and needs {needed[nearest]:.6g}"
        )
    each = ", ".join(f"{emotion} {count}" for emotion, count in found["per_emotion"].items())
    return f"accepted {found['accepted']} of {found['unlabelled']} unlabelled faces: {each}"
