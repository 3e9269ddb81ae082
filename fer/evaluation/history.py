"""The history of each unlabelled face without a review: the rounds that accepted it, and changes of its emotion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, Shaped

from fer.core.table import escape_formulas
from fer.evaluation.inputs import RoundPseudoLabels


@dataclass(frozen=True)
class History:
    """The decisions on the faces of the pool, by round in ascending order."""

    rounds: tuple[int, ...]
    emotion: Int[np.ndarray, "rounds n"]  # predicted, whether accepted or not
    accepted: Bool[np.ndarray, "rounds n"]
    truth: Int[np.ndarray, " n"]  # -1 where unknown; used for counts only, so no output reveals the truth of a face

    @property
    def flipped(self) -> Bool[np.ndarray, "rounds n"]:
        """Whether a face is predicted as another emotion than in the round before; False in the first round."""
        flipped = self.emotion != _previous_round(self.emotion)
        flipped[:1] = False
        return flipped

    @property
    def was_accepted(self) -> Bool[np.ndarray, "rounds n"]:
        """Whether a face was accepted in the round before, perhaps as another emotion."""
        return _previous_round(self.accepted)


def build_history(pseudo_labels: Mapping[int, RoundPseudoLabels], n: int) -> History:
    """Return the history of the `n` faces of the pool from the pseudo-labels of each round."""
    emotion = [labels.probs.argmax(axis=1) for labels in pseudo_labels.values()]
    accepted = [labels.accepted for labels in pseudo_labels.values()]
    return History(
        rounds=tuple(pseudo_labels),
        emotion=np.array(emotion, dtype=np.int64).reshape(len(pseudo_labels), n),
        accepted=np.array(accepted, dtype=bool).reshape(len(pseudo_labels), n),
        truth=next((labels.truth for labels in pseudo_labels.values()), np.full(n, -1)),
    )


def history_table(history: History, pool: pd.DataFrame, emotions: Sequence[str]) -> pd.DataFrame:
    """Return one row for each face of `pool`, the unlabelled rows of the table.

    Columns: id, source, emotion_1, accepted_1 and so on for each round, the first and the last round that accepted the
    face (missing if none did), flips (changes of the emotion) and drops (times that it was no longer accepted).
    """
    names = np.array(emotions, dtype=object)
    columns = {"id": escape_formulas(pool["id"]).to_numpy(), "source": pool["source"].to_numpy()}
    for row, round_ in enumerate(history.rounds):
        columns |= {f"emotion_{round_}": names[history.emotion[row]], f"accepted_{round_}": history.accepted[row]}
    rounds, never = np.array(history.rounds, dtype=np.int64)[:, None], np.iinfo(np.int64).max
    first = np.where(history.accepted, rounds, never).min(axis=0, initial=never)
    last = np.where(history.accepted, rounds, 0).max(axis=0, initial=0)
    return pd.DataFrame(columns).assign(
        first_round=pd.Series(first, dtype="Int64").where(first < never),
        last_round=pd.Series(last, dtype="Int64").where(first < never),
        flips=history.flipped.sum(axis=0),
        drops=(history.was_accepted & ~history.accepted).sum(axis=0),
    )


def count_changes(history: History) -> dict[int, dict[str, int]]:
    """Count for each round the faces that are new, kept or dropped since the round before, and the flipped ones.

    Flips are counted over the whole pool, accepted or not. Flips with known truth are also counted from wrong to right
    and from right to wrong; the remaining ones are from wrong to wrong.
    """
    is_known, correct = history.truth >= 0, history.emotion == history.truth
    flipped = history.flipped
    masks = {
        "new": history.accepted & ~history.was_accepted,
        "kept": history.accepted & history.was_accepted,
        "dropped": history.was_accepted & ~history.accepted,
        "flipped": flipped,
        "flipped_known": flipped & is_known,
        "wrong_to_right": flipped & correct,
        "right_to_wrong": flipped & _previous_round(correct),
    }
    return {
        round_: {name: int(mask[row].sum()) for name, mask in masks.items()}
        for row, round_ in enumerate(history.rounds)
    }


def _previous_round(values: Shaped[np.ndarray, "rounds n"]) -> Shaped[np.ndarray, "rounds n"]:
    """Return the values of the round before; zeros for the first round."""
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])
