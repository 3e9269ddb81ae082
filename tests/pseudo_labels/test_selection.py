"""Laws that hold for every policy, and the table of decisions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.pseudo_labels.policies import fixed
from fer.pseudo_labels.policy import Evidence, Policy
from fer.pseudo_labels.selection import Selection, count_accepted, decision_table, format_selection, select
from fer.runtime.errors import InputError
from tests.pseudo_labels.cases import (
    ANY_POLICY,
    ANY_WEIGHTS,
    EMOTIONS,
    FRACTIONS,
    THRESHOLDS_BY_EMOTION,
    any_evidence,
    fixed_policy,
    make_evidence,
    probs_of,
)


def permute(evidence: Evidence, order: np.ndarray) -> Evidence:
    return Evidence(*(getattr(evidence, field)[order] for field in Evidence.__dataclass_fields__))


@given(any_evidence(), ANY_POLICY, ANY_WEIGHTS)
def test_only_unlabelled_faces_are_touched(evidence, policy, weights):
    selection, outside = select(evidence, policy, EMOTIONS, weights), ~evidence.pool
    assert not selection.accepted[outside].any()
    assert (selection.weight[outside] == 0).all()
    assert (selection.emotion[outside] == -1).all()
    assert (selection.reason[outside] == "").all()


@given(any_evidence(), ANY_POLICY)
def test_faces_of_the_pool_get_their_likeliest_emotion(evidence, policy):
    selection = select(evidence, policy, EMOTIONS)
    np.testing.assert_array_equal(selection.emotion[evidence.pool], evidence.probs[evidence.pool].argmax(axis=1))


@given(any_evidence(), ANY_POLICY)
def test_faces_without_agreement_are_not_accepted(evidence, policy):
    selection = select(evidence, policy, EMOTIONS)
    assert not selection.accepted[~evidence.agreed].any()
    assert (selection.reason[evidence.pool & ~evidence.agreed] == "not agreed on").all()


@given(any_evidence(), ANY_POLICY, ANY_WEIGHTS)
def test_inputs_are_not_modified(evidence, policy, weights):
    copies = {field: getattr(evidence, field).copy() for field in Evidence.__dataclass_fields__}
    select(evidence, policy, EMOTIONS, weights)
    for field, value in copies.items():
        np.testing.assert_array_equal(getattr(evidence, field), value)


@given(any_evidence(), ANY_POLICY, ANY_WEIGHTS, st.randoms(use_true_random=False))
def test_permuting_faces_permutes_the_selection(evidence, policy, weights, random):
    order = np.array(random.sample(range(len(evidence.pool)), len(evidence.pool)), dtype=np.int64)
    original, permuted = (select(faces, policy, EMOTIONS, weights) for faces in (evidence, permute(evidence, order)))
    for field in Selection.__dataclass_fields__:
        actual, expected = getattr(permuted, field), getattr(original, field)[order]
        if actual.dtype.kind == "f":
            np.testing.assert_allclose(actual, expected, atol=2e-6)  # sums in another order
        else:
            np.testing.assert_array_equal(actual, expected)


@given(any_evidence(), ANY_POLICY, ANY_WEIGHTS)
def test_only_validation_labels_are_read(evidence, policy, weights):
    hidden = np.where(evidence.valid, evidence.labels, 3)
    changed = Evidence(evidence.probs, hidden, evidence.valid, evidence.pool, evidence.agreed)
    original, relabelled = (select(faces, policy, EMOTIONS, weights) for faces in (evidence, changed))
    for field in Selection.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(relabelled, field), getattr(original, field))


@given(any_evidence(), THRESHOLDS_BY_EMOTION, st.sampled_from(EMOTIONS), FRACTIONS)
def test_raising_one_threshold_never_adds_a_face(evidence, thresholds, emotion, increase):
    raised = thresholds | {emotion: min(1.0, thresholds[emotion] + increase)}
    lower = select(evidence, fixed_policy(thresholds), EMOTIONS)
    higher = select(evidence, fixed_policy(raised), EMOTIONS)
    assert not (higher.accepted & ~lower.accepted).any()


@given(any_evidence(), FRACTIONS, FRACTIONS)
def test_raising_the_threshold_of_all_never_adds_a_face(evidence, first, second):
    lower, higher = (select(evidence, fixed_policy(value), EMOTIONS) for value in sorted((first, second)))
    assert not (higher.accepted & ~lower.accepted).any()


@given(any_evidence(), FRACTIONS)
def test_one_threshold_equals_that_threshold_for_every_emotion(evidence, threshold):
    common = select(evidence, fixed_policy(threshold), EMOTIONS)
    by_emotion = select(evidence, fixed_policy(dict.fromkeys(EMOTIONS, threshold)), EMOTIONS)
    np.testing.assert_array_equal(common.accepted, by_emotion.accepted)


@given(any_evidence())
def test_a_threshold_of_0_accepts_the_whole_pool(evidence):
    selection = select(evidence, fixed_policy(0.0), EMOTIONS)
    np.testing.assert_array_equal(selection.accepted, evidence.pool & evidence.agreed)


@given(any_evidence(), ANY_POLICY)
def test_decisions_follow_from_the_written_confidence_and_threshold(evidence, policy):
    selection = select(evidence, policy, EMOTIONS)
    is_confident = selection.confidence >= selection.threshold
    np.testing.assert_array_equal(selection.accepted, is_confident & evidence.pool & evidence.agreed)
    if type(policy).weights is Policy.weights:
        np.testing.assert_array_equal(selection.weight, selection.accepted)


@given(st.integers(250_000, 1_000_000), st.sampled_from(EMOTIONS))
def test_confidences_at_the_threshold_are_accepted_and_those_below_are_not(millionths, emotion):
    threshold, below = millionths / 1e6, (millionths - 1) / 1e6
    probs = probs_of(emotion, threshold, below)
    for dtype in (np.float32, np.float64):
        selection = select(make_evidence(probs.astype(dtype)), fixed_policy(threshold), EMOTIONS)
        assert selection.accepted[0]
        if below > 0.25:
            assert not selection.accepted[1]


def test_the_first_of_equal_probabilities_wins():
    probs = np.array([[0.1, 0.4, 0.1, 0.4]], dtype=np.float32)
    assert select(make_evidence(probs), fixed_policy(0.4), EMOTIONS).emotion.tolist() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_probabilities_that_are_not_finite_are_reported_with_their_row(value):
    probs = np.full((3, 4), 0.25)
    probs[2, 1] = value
    with pytest.raises(InputError, match="row 2 "):
        select(make_evidence(probs, np.zeros(3, bool)), fixed_policy(0.5), EMOTIONS)


def select_of_three(policy: fixed.Options, pool: tuple[bool, bool, bool]) -> tuple[Selection, pd.DataFrame]:
    probs = np.array([[0.9, 0.1, 0, 0], [0, 0.6, 0.4, 0], [0, 0, 0, 1]], dtype=np.float32)
    table = pd.DataFrame({"id": ["=1+1", "b.png", "-c.png"], "source": ["one", "one", "two"]})
    selection = select(make_evidence(probs, np.array(pool)), policy, EMOTIONS)
    return selection, decision_table(selection, table, EMOTIONS)


def test_the_table_has_a_row_for_each_unlabelled_face_in_order():
    _, table = select_of_three(fixed_policy(0.8), (False, True, True))
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
def test_ids_that_look_like_formulas_are_escaped(start):
    probs = np.array([[1, 0, 0, 0]], dtype=np.float32)
    selection = select(make_evidence(probs), fixed_policy(0.5), EMOTIONS)
    table = pd.DataFrame({"id": [f"{start}cmd.png"], "source": ["one"]})
    assert decision_table(selection, table, EMOTIONS)["id"].tolist() == [f"'{start}cmd.png"]


def test_emotions_without_accepted_faces_are_counted_as_0():
    selection, _ = select_of_three(fixed_policy(0.8), (True, True, True))
    per_emotion = {"angry": 1, "happy": 0, "sad": 0, "neutral": 1}
    assert count_accepted(selection, EMOTIONS) == {"unlabelled": 3, "accepted": 2, "per_emotion": per_emotion}


def test_the_summary_counts_accepted_faces_by_emotion():
    selection, _ = select_of_three(fixed_policy(0.8), (True, True, True))
    summary = format_selection(selection, EMOTIONS)
    assert summary == "accepted 2 of 3 unlabelled faces: angry 1, happy 0, sad 0, neutral 1"


def test_the_summary_of_an_empty_selection_has_the_nearest_face():
    policy = fixed_policy({"angry": 0.95, "happy": 0.9, "sad": 0, "neutral": 0})
    selection, table = select_of_three(policy, (True, True, False))
    assert len(table) == 2
    summary = format_selection(selection, EMOTIONS)
    assert "none of 2 unlabelled faces" in summary
    assert "so retraining gets no pseudo-labels" in summary
    assert "confidence of 0.9 and needs 0.95" in summary


def test_the_summary_says_if_the_pool_is_empty():
    selection, table = select_of_three(fixed_policy(0.5), (False, False, False))
    assert len(table) == 0
    assert "no unlabelled faces" in format_selection(selection, EMOTIONS)
