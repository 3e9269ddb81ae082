"""The scores that select faces for review."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.predictions.uncertainty import el2n, lowest_scores, margin


def test_the_margin_is_between_the_two_highest_probabilities() -> None:
    probs = np.array([[0.1, 0.5, 0.4], [0.4, 0.1, 0.5], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(margin(probs), [0.1, 0.1, 1, 0])


def test_el2n_is_weight_times_distance_to_the_target() -> None:
    targets = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    probs = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    np.testing.assert_allclose(el2n(targets, np.array([1.0, 1.0, 1.0, 0.5]), probs), np.sqrt([2, 0, 0, 0.5]))


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.booleans()), max_size=30), st.integers(1, 12), st.randoms()
)
def test_the_lowest_scores_do_not_depend_on_order_or_other_faces(faces, count, random) -> None:
    names = [(f"source{row % 2}", f"{row // 2}.png") for row in range(len(faces))]

    def select_faces(order: list[int]) -> list[tuple[str, str]]:
        table = pd.DataFrame([names[row] for row in order], columns=["source", "id"], dtype=str)
        score = np.array([faces[row][0] for row in order], dtype=float)
        among = np.array([faces[row][1] for row in order], dtype=bool)
        return [names[order[row]] for row in lowest_scores(score, among, table, count)]

    order = list(range(len(faces)))
    selected = select_faces(order)
    candidates = sorted((score, *names[row]) for row, (score, is_candidate) in enumerate(faces) if is_candidate)
    assert selected == [(source, id) for _, source, id in candidates[:count]]
    random.shuffle(order)
    assert select_faces(order) == selected


@pytest.mark.parametrize("count", [1, 3, 100])
def test_lowest_scores_are_in_ascending_order(count: int) -> None:
    table = pd.DataFrame({"source": "s", "id": [str(row) for row in range(5)]})
    score = np.array([3.0, 1.0, 2.0, 0.0, 4.0])
    assert lowest_scores(score, np.ones(5, dtype=bool), table, count).tolist() == [3, 1, 2, 0, 4][:count]
