"""FER+: ten annotators' votes on each face of FER-2013, and the rules that derive a label (Barsoum et al., 2016).

The rules are those of the paper's code, except argmax. The first emotion in `VOTE_CATEGORIES` wins a tie.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from fer.data.media.folders import SkippedItem
from fer.data.readers.record import Record

LICENSE_TERMS = (
    "votes: MIT licence; faces: for research, under the rules of FER-2013's challenge, redistribution not allowed"
)

VOTE_CATEGORIES = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "not_face")
VoteRule = Literal["majority", "probability", "argmax"]

_N_EMOTIONS = len(VOTE_CATEGORIES) - 2
_N_ANNOTATORS = 10
_CELL_COUNTS = {str(count): count for count in range(_N_ANNOTATORS + 1)}


def apply_votes(record: Record, cells: Sequence[str], rule: VoteRule) -> Record | SkippedItem:
    """Return the face with its votes (`cells`, in the order of `VOTE_CATEGORIES`) and the emotion derived by `rule`."""
    votes = [_CELL_COUNTS.get(cell, _N_ANNOTATORS + 1) for cell in cells]
    if sum(votes) > _N_ANNOTATORS:
        detail = f"{' '.join(cells)[:40]}; allowed whole numbers, {_N_ANNOTATORS} in total"
        return SkippedItem(record.id, "number of votes", detail)
    ranked = sorted(zip(votes, VOTE_CATEGORIES, strict=True), key=lambda vote: -vote[0])
    vote_text = " ".join(f"{name}:{count}" for count, name in ranked if count)
    emotion = aggregate_votes(votes, rule)
    if emotion is None:
        reason = "not a face" if ranked[0][1] == "not_face" else "no agreed emotion"
        return SkippedItem(record.id, reason, f"{vote_text or 'no votes'}; ingest.ferplus={rule}", is_defect=False)
    return replace(record, emotion=emotion, votes=vote_text)


def aggregate_votes(votes: Sequence[int], rule: VoteRule) -> str | None:
    """Return the emotion with the most `votes`, in the order of `VOTE_CATEGORIES`, or None if `rule` requires more.

    - majority: it has more than half of the votes.
    - probability: the emotions with no fewer votes than "unknown" and "not_face" are at most three, and have together
      more than half. The paper also stops at three quarters of the votes, which changes nothing for ten annotators.
    - argmax: it has a vote.

    Except for argmax, a category with a single vote does not count.
    """
    top = votes.index(max(votes[:_N_EMOTIONS]))
    counts = [count if count > 1 else 0 for count in votes]
    match rule:
        case "majority":
            is_agreed = 2 * counts[top] > sum(counts)
        case "probability":
            top_counts = [count for count in counts[:_N_EMOTIONS] if count and count >= max(counts[_N_EMOTIONS:])]
            is_agreed = 2 * sum(top_counts) > sum(counts) and len(top_counts) <= 3
        case "argmax":
            is_agreed = votes[top] > 0
    return VOTE_CATEGORIES[top] if is_agreed else None
