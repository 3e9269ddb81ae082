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
from scipy.stats import beta

from fer.core.files import DECIMALS, escape_formulas
from fer.predictions.confidence import class_prior, max_confidence
from fer.pseudo_labels.params import AdaCM, Fixed, FlexMatch, FreeMatch, Policy, Precision, Quota, SoftMatch, TopK
from fer.pseudo_labels.policy import UNREACHABLE_THRESHOLD, Evidence, softmatch_weights
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
    predicted, sure = evidence.probs.argmax(axis=1), max_confidence(evidence.probs)
    threshold = thresholds(evidence, policy, emotions)[predicted]
    accepted = evidence.pool & (sure >= threshold) & evidence.agreed
    weight = softmatch_weights(sure, sure[evidence.pool]) if isinstance(policy, SoftMatch) else np.ones(len(sure))

    below = np.array([f"confidence below the threshold of {emotion}" for emotion in emotions], dtype=object)
    reason = np.where(evidence.agreed, below[predicted], NOT_AGREED_REASON)
    reason = np.where(accepted, "accepted", reason)
    return Selection(
        pool=evidence.pool,
        accepted=accepted,
        emotion=np.where(evidence.pool, predicted, -1),
        confidence=sure,
        threshold=threshold,
        weight=np.where(accepted, weight, 0).astype(np.float32),
        reason=np.where(evidence.pool, reason, ""),
    )


def thresholds(evidence: Evidence, policy: Policy, emotions: Sequence[str]) -> Float[np.ndarray, " classes"]:
    """The confidence that a face needs to be accepted as each emotion; above 1 where none is sure enough."""
    predicted, sure = evidence.probs.argmax(axis=1), max_confidence(evidence.probs)
    right = predicted == evidence.labels

    def each(threshold_of: Any, faces: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " classes"]:
        """`threshold_of` the confidences of those `faces` that are taken for each emotion."""
        return np.array([threshold_of(faces & (predicted == code)) for code in range(len(emotions))])

    match policy:
        case Fixed(threshold=dict() as by_emotion):
            found = np.array([by_emotion[emotion] for emotion in emotions])
        case Fixed(threshold=threshold):
            found = np.full(len(emotions), threshold)
        case Precision():
            found = each(lambda faces: precision_threshold(sure[faces], right[faces], policy), evidence.valid)
        case TopK(faces=count):
            found = each(lambda faces: kth_largest(sure[faces], count), evidence.pool)
        case Quota(share=share):
            expected = share * evidence.pool.sum() * class_prior(evidence.labels[evidence.valid], len(emotions))
            found = np.array(
                [kth_largest(sure[evidence.pool & (predicted == code)], round(n)) for code, n in enumerate(expected)]
            )
        case FlexMatch(threshold=threshold):
            found = flexmatch_thresholds(
                predicted[evidence.pool], sure[evidence.pool] >= threshold, threshold, len(emotions)
            )
        case FreeMatch():
            found = freematch_thresholds(evidence.probs[evidence.pool])
        case AdaCM(factor=factor):  # Li et al. 2022, arXiv:2203.12341, of training faces in every epoch
            found = each(lambda faces: factor * sure[faces].mean() if faces.any() else 1.0, evidence.valid & right)
        case SoftMatch():
            found = np.zeros(len(emotions))
    return found.round(DECIMALS)


def precision_threshold(
    confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], policy: Precision
) -> float:
    """The lowest threshold for which at least `target` of the faces at or above it are right, by a bound.

    The bound is that of Clopper & Pearson 1934, one-sided, with the given confidence for each threshold by itself; the
    lowest of many is a little too hopeful. Where none reaches the target, as with few faces, the fallback holds.
    """
    order = np.argsort(-confidence, kind="stable")
    taken = np.arange(1, len(confidence) + 1)
    hits = correct[order].cumsum()
    low = np.where(hits > 0, beta.ppf(1 - policy.confidence, hits.clip(min=1), taken - hits + 1), 0.0)
    last_of_equals = np.append(confidence[order][1:] < confidence[order][:-1], True)[: len(confidence)]
    enough = np.flatnonzero((low >= policy.target) & last_of_equals)
    return float(confidence[order][enough[-1]]) if len(enough) else policy.fallback


def kth_largest(confidence: Float[np.ndarray, " n"], count: int) -> float:
    """The confidence of the `count`-th surest face; 0 if there are no more, above 1 for none."""
    if not count:
        return UNREACHABLE_THRESHOLD
    return float(np.partition(confidence, -count)[-count]) if len(confidence) > count else 0.0


def flexmatch_thresholds(
    predicted: Int[np.ndarray, " n"], above: Bool[np.ndarray, " n"], threshold: float, n_classes: int
) -> Float[np.ndarray, " classes"]:
    """`threshold` · b / (2 − b), where b is how often an emotion is learnt beside the one learnt best (FlexMatch).

    An emotion counts as learnt where it is predicted above the threshold; as long as most faces are below, they stand
    for the best. Zhang et al. 2021, arXiv:2110.08263, equations 5, 7, 11 and 12.
    """
    learnt = np.bincount(predicted[above], minlength=n_classes)
    share = learnt / max(learnt.max(), (~above).sum(), 1)
    return threshold * share / (2 - share)


def freematch_thresholds(probs: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " classes"]:
    """Mean confidence, lowered for emotions of little mean probability (FreeMatch, Wang et al. 2023, arXiv:2205.07246).

    Theirs are moving averages over batches; here all faces are seen at once.
    """
    if not len(probs):
        return np.zeros(probs.shape[1])
    mean = probs.mean(axis=0, dtype=np.float64)
    return probs.max(axis=1).mean(dtype=np.float64) * mean / mean.max()


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


def format_fallbacks(thresholds: Float[np.ndarray, " classes"], policy: Policy, emotions: Sequence[str]) -> str | None:
    """One line on the emotions of which `precision` promises nothing, if it is the policy and there are any."""
    if not isinstance(policy, Precision):
        return None
    fallen = [emotion for emotion, threshold in zip(emotions, thresholds, strict=True) if threshold == policy.fallback]
    return (
        f"no threshold promises {policy.target:.0%} on validation for {', '.join(fallen)}: theirs is the fallback, "
        f"{policy.fallback:g}"
        if fallen
        else None
    )
