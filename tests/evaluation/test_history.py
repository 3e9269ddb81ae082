"""The history of each face: laws for any history, and a worked example."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.evaluation.history import History, build_history, count_changes, history_table
from fer.evaluation.inputs import RoundPseudoLabels

EMOTIONS = ["happy", "sad", "fear"]
SUMMARY_COLUMNS = ["first_round", "last_round", "flips", "drops"]


def pool(n: int) -> pd.DataFrame:
    ids = [f"={face}" for face in range(n)]
    return pd.DataFrame({"id": ids, "source": "photos"}, index=range(7, 7 + n), dtype=str)


def random_history(n_rounds: int, n: int, seed: int) -> History:
    rng = np.random.default_rng(seed)
    return History(
        rounds=tuple(range(1, n_rounds + 1)),
        emotion=rng.integers(0, 3, (n_rounds, n)),
        accepted=rng.random((n_rounds, n)) < 0.5,
        truth=rng.integers(-1, 4, n),  # 3 is an emotion outside of the classes
    )


any_history = given(n_rounds=st.integers(0, 4), n=st.integers(0, 12), seed=st.integers(0, 99))


def test_new_dropped_and_flipped_faces_are_counted() -> None:
    history = History(
        rounds=(1, 2, 3),
        emotion=np.array([[0, 0, 1], [1, 0, 1], [0, 2, 1]]),
        accepted=np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=bool),
        truth=np.array([0, 2, -1]),
    )
    rows = history_table(history, pool(3), EMOTIONS)
    assert list(rows["id"]) == ["'=0", "'=1", "'=2"], "formulas are escaped"
    assert list(rows["emotion_2"]) == ["sad", "happy", "sad"]
    assert list(rows["accepted_3"]) == [True, True, False]
    assert rows[SUMMARY_COLUMNS].to_numpy(dtype=object, na_value=None).tolist() == [
        [1, 3, 2, 1],
        [2, 3, 1, 0],
        [None, None, 0, 0],
    ]
    no_flips = {"flipped": 0, "flipped_known": 0, "wrong_to_right": 0, "right_to_wrong": 0}
    assert count_changes(history) == {
        1: {"new": 1, "kept": 0, "dropped": 0} | no_flips,
        2: {"new": 1, "kept": 0, "dropped": 1} | no_flips | {"flipped": 1, "flipped_known": 1, "right_to_wrong": 1},
        3: {"new": 1, "kept": 1, "dropped": 0} | no_flips | {"flipped": 2, "flipped_known": 2, "wrong_to_right": 2},
    }


@any_history
def test_the_counts_by_round_and_by_face_agree(n_rounds: int, n: int, seed: int) -> None:
    history = random_history(n_rounds, n, seed)
    rows, counts = history_table(history, pool(n), EMOTIONS), count_changes(history)
    assert list(counts) == list(history.rounds)
    assert sum(changes["flipped"] for changes in counts.values()) == rows["flips"].sum()
    assert sum(changes["dropped"] for changes in counts.values()) == rows["drops"].sum()
    accepted = 0
    for round_, changes in counts.items():
        assert changes["kept"] + changes["dropped"] == accepted, "accepted faces are kept or dropped"
        accepted = int(rows[f"accepted_{round_}"].sum())
        assert changes["new"] + changes["kept"] == accepted
        assert changes["wrong_to_right"] + changes["right_to_wrong"] <= changes["flipped_known"] <= changes["flipped"]
    ever_accepted = rows.filter(like="accepted_").any(axis=1)
    assert rows["first_round"].notna().equals(ever_accepted)
    assert (rows["first_round"] <= rows["last_round"])[ever_accepted].all()


@any_history
def test_the_order_of_the_faces_does_not_matter(n_rounds: int, n: int, seed: int) -> None:
    history = random_history(n_rounds, n, seed)
    order = np.random.default_rng(seed).permutation(n)
    permuted = History(history.rounds, history.emotion[:, order], history.accepted[:, order], history.truth[order])
    assert count_changes(permuted) == count_changes(history)
    rows = history_table(history, pool(n), EMOTIONS)
    permuted_rows = history_table(permuted, pool(n).iloc[order], EMOTIONS)
    pd.testing.assert_frame_equal(permuted_rows, rows.iloc[order].reset_index(drop=True))


@any_history
def test_a_later_round_does_not_change_the_counts_of_earlier_rounds(n_rounds: int, n: int, seed: int) -> None:
    history = random_history(n_rounds, n, seed)
    shorter = History(history.rounds[:-1], history.emotion[:-1], history.accepted[:-1], history.truth)
    assert count_changes(shorter) == {round_: count_changes(history)[round_] for round_ in shorter.rounds}


@any_history
def test_the_table_does_not_reveal_the_truth(n_rounds: int, n: int, seed: int) -> None:
    history = random_history(n_rounds, n, seed)
    unknown = History(history.rounds, history.emotion, history.accepted, np.full(n, -1))
    pd.testing.assert_frame_equal(history_table(unknown, pool(n), EMOTIONS), history_table(history, pool(n), EMOTIONS))
    for changes in count_changes(unknown).values():
        assert changes["flipped_known"] == changes["wrong_to_right"] == changes["right_to_wrong"] == 0


@pytest.mark.parametrize("n", [0, 5])
def test_without_rounds_each_face_has_a_row(n: int) -> None:
    history = build_history({}, n)
    rows = history_table(history, pool(n), EMOTIONS)
    assert list(rows.columns) == ["id", "source", *SUMMARY_COLUMNS]
    assert (len(rows), count_changes(history)) == (n, {})
    assert rows["first_round"].isna().all()


@pytest.mark.parametrize("n", [0, 5])
def test_a_history_collects_the_decisions_of_each_round(n: int) -> None:
    rng = np.random.default_rng(n)
    pseudo_labels = {
        round_: RoundPseudoLabels(
            rows=np.arange(n),
            probs=rng.dirichlet(np.ones(3), n).astype(np.float32).reshape(n, 3),
            accepted=rng.random(n) < 0.5,
            truth=np.full(n, 2),
            summary={},
        )
        for round_ in (1, 2)
    }
    history = build_history(pseudo_labels, n)
    assert (history.rounds, history.emotion.shape) == ((1, 2), (2, n))
    for row, labels in enumerate(pseudo_labels.values()):
        assert (history.emotion[row] == labels.probs.argmax(axis=1)).all()
        assert (history.accepted[row] == labels.accepted).all()
    assert (history.truth == 2).all()
