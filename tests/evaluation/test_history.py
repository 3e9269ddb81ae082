"""The history of each face: what holds for any, and what a small one says."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.evaluation.evaluate import RoundPseudoLabels
from fer.evaluation.history import History, build_history, count_changes, history_table

EMOTIONS = ["happy", "sad", "fear"]
FROM = ["first_round", "last_round", "flips", "drops"]


def pool(n: int) -> pd.DataFrame:
    ids = [f"={face}" for face in range(n)]
    return pd.DataFrame({"id": ids, "source": "photos"}, index=range(7, 7 + n), dtype=str)


def made(count: int, n: int, seed: int) -> History:
    rng = np.random.default_rng(seed)
    return History(
        rounds=tuple(range(1, count + 1)),
        emotion=rng.integers(0, 3, (count, n)),
        accepted=rng.random((count, n)) < 0.5,
        truth=rng.integers(-1, 4, n),  # 3 is an emotion that none of the networks knows
    )


for_any = given(count=st.integers(0, 4), n=st.integers(0, 12), seed=st.integers(0, 99))


def test_a_face_that_comes_goes_and_flips() -> None:
    past = History(
        rounds=(1, 2, 3),
        emotion=np.array([[0, 0, 1], [1, 0, 1], [0, 2, 1]]),
        accepted=np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=bool),
        truth=np.array([0, 2, -1]),
    )
    rows = history_table(past, pool(3), EMOTIONS)
    assert list(rows["id"]) == ["'=0", "'=1", "'=2"], "no spreadsheet runs a name"
    assert list(rows["emotion_2"]) == ["sad", "happy", "sad"]
    assert list(rows["accepted_3"]) == [True, True, False]
    assert rows[FROM].to_numpy(dtype=object, na_value=None).tolist() == [[1, 3, 2, 1], [2, 3, 1, 0], [None, None, 0, 0]]
    nothing = {"flipped": 0, "flipped_known": 0, "wrong_to_right": 0, "right_to_wrong": 0}
    assert count_changes(past) == {
        1: {"new": 1, "kept": 0, "dropped": 0} | nothing,
        2: {"new": 1, "kept": 0, "dropped": 1} | nothing | {"flipped": 1, "flipped_known": 1, "right_to_wrong": 1},
        3: {"new": 1, "kept": 1, "dropped": 0} | nothing | {"flipped": 2, "flipped_known": 2, "wrong_to_right": 2},
    }


@for_any
def test_the_counts_of_rounds_and_those_of_faces_agree(count: int, n: int, seed: int) -> None:
    past = made(count, n, seed)
    rows, counts = history_table(past, pool(n), EMOTIONS), count_changes(past)
    assert list(counts) == list(past.rounds)
    assert sum(of["flipped"] for of in counts.values()) == rows["flips"].sum()
    assert sum(of["dropped"] for of in counts.values()) == rows["drops"].sum()
    held = 0
    for round_, of in counts.items():
        assert of["kept"] + of["dropped"] == held, "what was accepted is kept or dropped"
        held = int(rows[f"accepted_{round_}"].sum())
        assert of["new"] + of["kept"] == held
        assert of["wrong_to_right"] + of["right_to_wrong"] <= of["flipped_known"] <= of["flipped"]
    ever = rows.filter(like="accepted_").any(axis=1)
    assert rows["first_round"].notna().equals(ever)
    assert (rows["first_round"] <= rows["last_round"])[ever].all()


@for_any
def test_the_order_of_the_faces_does_not_matter(count: int, n: int, seed: int) -> None:
    past = made(count, n, seed)
    order = np.random.default_rng(seed).permutation(n)
    other = History(past.rounds, past.emotion[:, order], past.accepted[:, order], past.truth[order])
    assert count_changes(other) == count_changes(past)
    rows, others = history_table(past, pool(n), EMOTIONS), history_table(other, pool(n).iloc[order], EMOTIONS)
    pd.testing.assert_frame_equal(others, rows.iloc[order].reset_index(drop=True))


@for_any
def test_a_later_round_changes_nothing_in_what_is_told_of_earlier_ones(count: int, n: int, seed: int) -> None:
    past = made(count, n, seed)
    before = History(past.rounds[:-1], past.emotion[:-1], past.accepted[:-1], past.truth)
    assert count_changes(before) == {round_: count_changes(past)[round_] for round_ in before.rounds}


@for_any
def test_the_truth_of_a_face_is_told_nowhere(count: int, n: int, seed: int) -> None:
    past = made(count, n, seed)
    unknown = History(past.rounds, past.emotion, past.accepted, np.full(n, -1))
    pd.testing.assert_frame_equal(history_table(unknown, pool(n), EMOTIONS), history_table(past, pool(n), EMOTIONS))
    for of in count_changes(unknown).values():
        assert of["flipped_known"] == of["wrong_to_right"] == of["right_to_wrong"] == 0


@pytest.mark.parametrize("n", [0, 5])
def test_without_rounds_each_face_still_has_its_row(n: int) -> None:
    past = build_history({}, n)
    rows = history_table(past, pool(n), EMOTIONS)
    assert list(rows.columns) == ["id", "source", *FROM]
    assert (len(rows), count_changes(past)) == (n, {})
    assert rows["first_round"].isna().all()


@pytest.mark.parametrize("n", [0, 5])
def test_what_was_decided_is_gathered_round_by_round(n: int) -> None:
    rng = np.random.default_rng(n)
    decided = {
        round_: RoundPseudoLabels(
            rows=np.arange(n),
            probs=rng.dirichlet(np.ones(3), n).astype(np.float32).reshape(n, 3),
            accepted=rng.random(n) < 0.5,
            truth=np.full(n, 2),
            thresholds=dict.fromkeys(EMOTIONS, 0.5),
            review_counts={"reviewed": 0, "set_aside": 0},
        )
        for round_ in (1, 2)
    }
    past = build_history(decided, n)
    assert (past.rounds, past.emotion.shape) == ((1, 2), (2, n))
    for row, labels in enumerate(decided.values()):
        assert (past.emotion[row] == labels.probs.argmax(axis=1)).all()
        assert (past.accepted[row] == labels.accepted).all()
    assert (past.truth == 2).all()
