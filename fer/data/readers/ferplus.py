"""FER+: the votes of ten people on each face of FER-2013, and how they become one emotion (Barsoum et al., 2016).

The rules are those of the paper's own code, argmax excepted. A tie is won by the emotion that comes first in `VOTED`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from fer.data.media.issues import SkippedItem
from fer.data.readers.record import Record

LICENSE_TERMS = (
    "votes by the MIT licence; faces for research, by the rules of FER-2013's challenge; they may not be passed on"
)

VOTE_CATEGORIES = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "not_face")
VoteRule = Literal["majority", "probability", "argmax"]

_N_EMOTIONS = len(VOTE_CATEGORIES) - 2
_N_ANNOTATORS = 10
_COUNT_OF_CELL = {str(count): count for count in range(_N_ANNOTATORS + 1)}


def apply_votes(record: Record, cells: Sequence[str], rule: VoteRule) -> Record | SkippedItem:
    """The face with the emotion that `rule` finds in ten `cells`, the numbers of votes in the order of `VOTED`."""
    votes = [_COUNT_OF_CELL.get(cell, _N_ANNOTATORS + 1) for cell in cells]
    if sum(votes) > _N_ANNOTATORS:
        return SkippedItem(
            record.id, "number of votes", f"{' '.join(cells)[:40]}; allowed whole numbers, {_N_ANNOTATORS} in all"
        )
    ranked = sorted(zip(votes, VOTE_CATEGORIES, strict=True), key=lambda vote: -vote[0])
    told = " ".join(f"{name}:{count}" for count, name in ranked if count)
    emotion = aggregate_votes(votes, rule)
    if emotion is None:
        reason = "not a face" if ranked[0][1] == "not_face" else "no agreed emotion"
        return SkippedItem(record.id, reason, f"{told or 'no votes'}; by ingest.ferplus {rule}", is_defect=False)
    return replace(record, emotion=emotion, votes=told)


def aggregate_votes(votes: Sequence[int], rule: VoteRule) -> str | None:
    """The emotion with the most votes, if by `rule` there are enough of them; `votes` are in the order of `VOTED`.

    - majority: more than half are for it.
    - probability: more than half are for it and the emotions, at most two, that like it have no fewer votes than
      "unknown" and "not_face". That the paper stops at three quarters of the votes changes nothing for ten people.
    - argmax: there are any.

    A vote that one person alone gave does not count, but by argmax.
    """
    first = votes.index(max(votes[:_N_EMOTIONS]))
    agreed = [count if count > 1 else 0 for count in votes]
    match rule:
        case "majority":
            enough = 2 * agreed[first] > sum(agreed)
        case "probability":
            shared = [count for count in agreed[:_N_EMOTIONS] if count and count >= max(agreed[_N_EMOTIONS:])]
            enough = 2 * sum(shared) > sum(agreed) and len(shared) <= 3
        case "argmax":
            enough = votes[first] > 0
    return VOTE_CATEGORIES[first] if enough else None
