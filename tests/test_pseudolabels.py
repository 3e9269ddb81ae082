"""The laws of every policy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fer.errors import InputError
from fer.params import Threshold
from fer.pseudolabels import Selection, counts, decisions, in_words, select

EMOTIONS = ["angry", "happy", "sad", "neutral"]
SHARES = st.floats(0, 1)


def policy(threshold: float | dict[str, float]) -> Threshold:
    return Threshold(kind="threshold", threshold=threshold)


POLICIES = st.one_of(SHARES, st.fixed_dictionaries(dict.fromkeys(EMOTIONS, SHARES))).map(policy)


@st.composite
def voted_faces(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, from even to certain, and the mask of the pool."""
    n = draw(st.integers(0, 20))
    sharpness = draw(st.floats(0.01, 20))
    raw = draw(arrays(np.float64, (n, len(EMOTIONS)), elements=st.floats(0, 1)))
    odds = np.exp(sharpness * raw)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), draw(arrays(bool, n))


@given(voted_faces(), POLICIES)
def test_only_unlabelled_faces_are_touched(voted, chosen):
    probs, pool = voted
    selection = select(probs, pool, chosen, EMOTIONS)
    assert not selection.accepted[~pool].any()
    assert (selection.weight[~pool] == 0).all()
    assert (selection.emotion[~pool] == -1).all()
    assert (selection.reason[~pool] == "").all()


@given(voted_faces(), POLICIES)
def test_a_face_of_the_pool_is_labelled_with_its_likeliest_emotion(voted, chosen):
    probs, pool = voted
    selection = select(probs, pool, chosen, EMOTIONS)
    np.testing.assert_array_equal(selection.emotion[pool], probs[pool].argmax(axis=1))


@given(voted_faces(), POLICIES)
def test_inputs_are_left_as_they_were(voted, chosen):
    probs, pool = voted
    before = probs.copy(), pool.copy()
    select(probs, pool, chosen, EMOTIONS)
    np.testing.assert_array_equal(probs, before[0])
    np.testing.assert_array_equal(pool, before[1])


@given(voted_faces(), POLICIES, st.randoms(use_true_random=False))
def test_permuting_faces_permutes_the_answer(voted, chosen, random):
    probs, pool = voted
    order = np.array(random.sample(range(len(probs)), len(probs)), dtype=np.int64)
    straight = select(probs, pool, chosen, EMOTIONS)
    permuted = select(probs[order], pool[order], chosen, EMOTIONS)
    for field in Selection.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(permuted, field), getattr(straight, field)[order])


@given(voted_faces(), st.fixed_dictionaries(dict.fromkeys(EMOTIONS, SHARES)), st.sampled_from(EMOTIONS), SHARES)
def test_raising_a_threshold_never_adds_a_face(voted, thresholds, raised, by):
    probs, pool = voted
    higher = thresholds | {raised: min(1.0, thresholds[raised] + by)}
    before = select(probs, pool, policy(thresholds), EMOTIONS)
    after = select(probs, pool, policy(higher), EMOTIONS)
    assert not (after.accepted & ~before.accepted).any()


@given(voted_faces(), SHARES, SHARES)
def test_raising_the_threshold_of_all_never_adds_a_face(voted, one, other):
    probs, pool = voted
    lower, higher = (select(probs, pool, policy(each), EMOTIONS) for each in sorted((one, other)))
    assert not (higher.accepted & ~lower.accepted).any()


@given(voted_faces(), SHARES)
def test_one_number_is_the_same_as_that_number_for_every_emotion(voted, threshold):
    probs, pool = voted
    one = select(probs, pool, policy(threshold), EMOTIONS)
    each = select(probs, pool, policy(dict.fromkeys(EMOTIONS, threshold)), EMOTIONS)
    np.testing.assert_array_equal(one.accepted, each.accepted)


@given(voted_faces())
def test_a_threshold_of_0_accepts_the_whole_pool(voted):
    probs, pool = voted
    np.testing.assert_array_equal(select(probs, pool, policy(0.0), EMOTIONS).accepted, pool)


@given(voted_faces(), POLICIES)
def test_what_was_decided_can_be_read_off_the_numbers_shown(voted, chosen):
    probs, pool = voted
    selection = select(probs, pool, chosen, EMOTIONS)
    shown = selection.confidence >= selection.threshold
    np.testing.assert_array_equal(selection.accepted, shown & pool)
    np.testing.assert_array_equal(selection.weight, selection.accepted)


@given(st.integers(250_000, 1_000_000), st.sampled_from(EMOTIONS))
def test_a_confidence_exactly_at_the_threshold_is_accepted_and_one_below_is_not(millionths, emotion):
    threshold = millionths / 1e6
    sure = np.array([millionths, millionths - 1]) / 1e6
    probs = np.repeat(((1 - sure) / 3)[:, None], 4, axis=1)
    probs[:, EMOTIONS.index(emotion)] = sure
    for precision in (np.float32, np.float64):
        selection = select(probs.astype(precision), np.ones(2, bool), policy(threshold), EMOTIONS)
        assert selection.accepted[0]
        if sure[1] > 0.25:
            assert not selection.accepted[1]


def test_the_threshold_is_that_of_the_predicted_emotion():
    probs = np.array([[0.7, 0.3, 0, 0], [0.3, 0.7, 0, 0]], dtype=np.float32)
    thresholds = {"angry": 0.6, "happy": 0.8, "sad": 0.1, "neutral": 0.1}
    selection = select(probs, np.ones(2, bool), policy(thresholds), EMOTIONS)
    assert selection.threshold.tolist() == [0.6, 0.8]
    assert selection.accepted.tolist() == [True, False]
    assert selection.reason.tolist() == ["accepted", "confidence below the threshold of happy"]


def test_equal_probabilities_go_to_the_first_emotion():
    probs = np.array([[0.1, 0.4, 0.1, 0.4]], dtype=np.float32)
    assert select(probs, np.ones(1, bool), policy(0.4), EMOTIONS).emotion.tolist() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_probability_that_is_not_finite_is_refused_with_its_row(value):
    probs = np.full((3, 4), 0.25)
    probs[2, 1] = value
    with pytest.raises(InputError, match="row 2 "):
        select(probs, np.zeros(3, bool), policy(0.5), EMOTIONS)


def three_faces(chosen: Threshold, pool: tuple[bool, bool, bool]) -> tuple[Selection, pd.DataFrame]:
    probs = np.array([[0.9, 0.1, 0, 0], [0, 0.6, 0.4, 0], [0, 0, 0, 1]], dtype=np.float32)
    table = pd.DataFrame({"id": ["=1+1", "b.png", "-c.png"], "source": ["one", "one", "two"]})
    selection = select(probs, np.array(pool), chosen, EMOTIONS)
    return selection, decisions(selection, table, EMOTIONS)


def test_decisions_have_a_row_for_each_unlabelled_face_in_their_order():
    _, table = three_faces(policy(0.8), (False, True, True))
    assert table.to_dict("records") == [
        {
            "id": "b.png",
            "source": "one",
            "emotion": "happy",
            "confidence": 0.6,
            "threshold": 0.8,
            "accepted": False,
            "weight": 0,
            "reason": "confidence below the threshold of happy",
        },
        {
            "id": "'-c.png",
            "source": "two",
            "emotion": "neutral",
            "confidence": 1,
            "threshold": 0.8,
            "accepted": True,
            "weight": 1,
            "reason": "accepted",
        },
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_id_is_taken_for_a_formula(start):
    probs = np.array([[1, 0, 0, 0]], dtype=np.float32)
    selection = select(probs, np.ones(1, bool), policy(0.5), EMOTIONS)
    table = pd.DataFrame({"id": [f"{start}cmd.png"], "source": ["one"]})
    assert decisions(selection, table, EMOTIONS)["id"].tolist() == [f"'{start}cmd.png"]


def test_every_emotion_is_counted_even_if_none_was_accepted():
    selection, _ = three_faces(policy(0.8), (True, True, True))
    per_emotion = {"angry": 1, "happy": 0, "sad": 0, "neutral": 1}
    assert counts(selection, EMOTIONS) == {"unlabelled": 3, "accepted": 2, "per_emotion": per_emotion}


def test_what_was_accepted_is_said_in_words():
    selection, _ = three_faces(policy(0.8), (True, True, True))
    assert in_words(selection, EMOTIONS) == "accepted 2 of 3 unlabelled faces: angry 1, happy 0, sad 0, neutral 1"


def test_a_policy_that_accepts_nothing_is_said_in_words_with_the_nearest_face():
    selection, table = three_faces(policy({"angry": 0.95, "happy": 0.9, "sad": 0, "neutral": 0}), (True, True, False))
    assert len(table) == 2
    words = in_words(selection, EMOTIONS)
    assert "none of 2 unlabelled faces" in words
    assert "equals it" in words
    assert "confidence of 0.9 and needs 0.95" in words


def test_an_empty_pool_is_said_in_words():
    selection, table = three_faces(policy(0.5), (False, False, False))
    assert len(table) == 0
    assert "no unlabelled faces" in in_words(selection, EMOTIONS)
