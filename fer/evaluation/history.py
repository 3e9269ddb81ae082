"""What became of each unlabelled face, but those that people reviewed: which rounds accepted it, did it flip?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, Shaped

from fer.core.files import escape_formulas
from fer.evaluation.evaluate import RoundPseudoLabels


@dataclass(frozen=True)
class History:
    """What was decided of the pool's faces for each round that learnt from pseudo-labels, in order."""

    rounds: tuple[int, ...]
    emotion: Int[np.ndarray, "rounds n"]  # what a face was taken for, accepted or not
    accepted: Bool[np.ndarray, "rounds n"]
    truth: Int[np.ndarray, " n"]  # -1 where it isn't known; for counts, never told of a face

    @property
    def flipped(self) -> Bool[np.ndarray, "rounds n"]:
        """Where a face is taken for another emotion than in the round before; nowhere in the first."""
        flipped = self.emotion != _previous_round(self.emotion)
        flipped[:1] = False
        return flipped

    @property
    def kept(self) -> Bool[np.ndarray, "rounds n"]:
        """Where a face is accepted and was in the round before, perhaps as another emotion."""
        return self.accepted & _previous_round(self.accepted)

    @property
    def dropped(self) -> Bool[np.ndarray, "rounds n"]:
        """Where a face was accepted in the round before and is no more."""
        return ~self.accepted & _previous_round(self.accepted)


def build_history(pseudo_labels: Mapping[int, RoundPseudoLabels], n: int) -> History:
    """The history of the `n` faces of the pool, from what was `pseudo_labels` for each round."""
    emotion = [labels.probs.argmax(axis=1) for labels in pseudo_labels.values()]
    accepted = [labels.accepted for labels in pseudo_labels.values()]
    return History(
        rounds=tuple(pseudo_labels),
        emotion=np.array(emotion, dtype=np.int64).reshape(len(pseudo_labels), n),
        accepted=np.array(accepted, dtype=bool).reshape(len(pseudo_labels), n),
        truth=next((labels.truth for labels in pseudo_labels.values()), np.full(n, -1)),
    )


def history_table(history: History, pool: pd.DataFrame, emotions: Sequence[str]) -> pd.DataFrame:
    """A row for each face of the `pool`, the unlabelled rows of the table: id, source and, of each round, its decision.

    Those columns are emotion_1, accepted_1 and so on. After them the first and the last round that accepted the face,
    missing where none did, and how many times its emotion flipped and it was dropped.
    """
    names = np.array(emotions, dtype=object)
    columns = {"id": escape_formulas(pool["id"]).to_numpy(), "source": pool["source"].to_numpy()}
    for row, round_ in enumerate(history.rounds):
        columns |= {f"emotion_{round_}": names[history.emotion[row]], f"accepted_{round_}": history.accepted[row]}
    number, never = np.array(history.rounds, dtype=np.int64)[:, None], np.iinfo(np.int64).max
    first = np.where(history.accepted, number, never).min(axis=0, initial=never)
    last = np.where(history.accepted, number, 0).max(axis=0, initial=0)
    return pd.DataFrame(columns).assign(
        first_round=pd.Series(first, dtype="Int64").where(first < never),
        last_round=pd.Series(last, dtype="Int64").where(first < never),
        flips=history.flipped.sum(axis=0),
        drops=history.dropped.sum(axis=0),
    )


def count_changes(history: History) -> dict[int, dict[str, int]]:
    """Of each round: how many faces are accepted newly, kept or dropped since the round before, and how many flipped.

    Flips are counted among all faces of the pool, accepted or not. Where the truth is known, also how many were from
    wrong to right and from right to wrong; the others were wrong before and after.
    """
    known, right = history.truth >= 0, history.emotion == history.truth
    was_right, flipped = _previous_round(right), history.flipped
    counts = {
        "new": history.accepted & ~history.kept,
        "kept": history.kept,
        "dropped": history.dropped,
        "flipped": flipped,
        "flipped_known": flipped & known,
        "wrong_to_right": flipped & right,
        "right_to_wrong": flipped & was_right,
    }
    return {
        round_: {name: int(where[row].sum()) for name, where in counts.items()}
        for row, round_ in enumerate(history.rounds)
    }


def _previous_round(values: Shaped[np.ndarray, "rounds n"]) -> Shaped[np.ndarray, "rounds n"]:
    """What `values` has of the round before: nothing before the first."""
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])
