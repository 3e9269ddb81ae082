"""The laws of every policy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from fer.pseudo_labels.params import AdaCM, Fixed, FlexMatch, FreeMatch, Precision, Quota, SoftMatch, TopK
from fer.pseudo_labels.policy import UNREACHABLE_THRESHOLD, Evidence, align_distribution, collect_evidence
from fer.pseudo_labels.selection import (
    Selection,
    count_accepted,
    decision_table,
    flexmatch_thresholds,
    format_fallbacks,
    format_selection,
    kth_largest,
    precision_threshold,
    select,
    thresholds,
)
from fer.runtime.errors import InputError

EMOTIONS = ["angry", "happy", "sad", "neutral"]
SHARES = st.floats(0, 1)


def policy(threshold: float | dict[str, float]) -> Fixed:
    return Fixed(threshold=threshold)


def evidence(probs: np.ndarray, pool: np.ndarray, labels: np.ndarray | None = None) -> Evidence:
    """All but the pool are validation faces; unless said, of the emotion that they are taken for."""
    labels = probs.argmax(axis=1) if labels is None else labels
    return Evidence(probs, labels, ~pool, pool, np.ones(len(pool), dtype=bool))


FIXED = st.one_of(SHARES, st.fixed_dictionaries(dict.fromkeys(EMOTIONS, SHARES))).map(policy)
POLICIES = st.one_of(
    FIXED,
    st.builds(
        Precision,
        target=st.floats(0.05, 0.95),
        confidence=st.floats(0.55, 0.95),
        fallback=SHARES,
    ),
    st.builds(TopK, faces=st.integers(1, 20)),
    st.builds(Quota, share=SHARES),
    st.builds(FlexMatch, threshold=SHARES),
    st.just(FreeMatch()),
    st.builds(AdaCM, factor=SHARES),
    st.just(SoftMatch()),
)


@st.composite
def judged_faces(draw: st.DrawFn) -> Evidence:
    """Probabilities, from even to certain, the pool, labels of all others, and what is agreed on."""
    n = draw(st.integers(0, 20))
    sharpness = draw(st.floats(0.01, 20))
    raw = draw(arrays(np.float64, (n, len(EMOTIONS)), elements=st.floats(0, 1)))
    odds = np.exp(sharpness * raw)
    probs = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    fold = draw(arrays(np.int64, n, elements=st.integers(0, 2)))  # unlabelled, valid, neither
    labels = np.where(fold == 0, -1, draw(arrays(np.int64, n, elements=st.integers(0, len(EMOTIONS) - 1))))
    return Evidence(probs, labels, fold == 1, fold == 0, draw(arrays(bool, n)))


def reordered(said: Evidence, order: np.ndarray) -> Evidence:
    return Evidence(*(getattr(said, field)[order] for field in Evidence.__dataclass_fields__))


@given(judged_faces(), POLICIES)
def test_only_unlabelled_faces_are_touched(said, chosen):
    selection, outside = select(said, chosen, EMOTIONS), ~said.pool
    assert not selection.accepted[outside].any()
    assert (selection.weight[outside] == 0).all()
    assert (selection.emotion[outside] == -1).all()
    assert (selection.reason[outside] == "").all()


@given(judged_faces(), POLICIES)
def test_a_face_of_the_pool_is_labelled_with_its_likeliest_emotion(said, chosen):
    selection = select(said, chosen, EMOTIONS)
    np.testing.assert_array_equal(selection.emotion[said.pool], said.probs[said.pool].argmax(axis=1))


@given(judged_faces(), POLICIES)
def test_what_is_not_agreed_on_is_not_accepted(said, chosen):
    selection = select(said, chosen, EMOTIONS)
    assert not selection.accepted[~said.agreed].any()
    assert (selection.reason[said.pool & ~said.agreed] == "not agreed on").all()


@given(judged_faces(), POLICIES)
def test_inputs_are_left_as_they_were(said, chosen):
    before = {field: getattr(said, field).copy() for field in Evidence.__dataclass_fields__}
    select(said, chosen, EMOTIONS)
    for field, value in before.items():
        np.testing.assert_array_equal(getattr(said, field), value)


@given(judged_faces(), POLICIES, st.randoms(use_true_random=False))
def test_permuting_faces_permutes_the_answer(said, chosen, random):
    order = np.array(random.sample(range(len(said.pool)), len(said.pool)), dtype=np.int64)
    straight, permuted = select(said, chosen, EMOTIONS), select(reordered(said, order), chosen, EMOTIONS)
    for field in Selection.__dataclass_fields__:
        one, other = getattr(permuted, field), getattr(straight, field)[order]
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, atol=2e-6)  # sums in another order
        else:
            np.testing.assert_array_equal(one, other)


@given(judged_faces(), POLICIES)
def test_the_labels_of_the_pool_and_of_other_folds_are_not_read(said, chosen):
    hidden = np.where(said.valid, said.labels, 3)
    changed = Evidence(said.probs, hidden, said.valid, said.pool, said.agreed)
    np.testing.assert_array_equal(select(said, chosen, EMOTIONS).accepted, select(changed, chosen, EMOTIONS).accepted)


@given(judged_faces(), st.fixed_dictionaries(dict.fromkeys(EMOTIONS, SHARES)), st.sampled_from(EMOTIONS), SHARES)
def test_raising_a_threshold_never_adds_a_face(said, thresholds, raised, by):
    higher = thresholds | {raised: min(1.0, thresholds[raised] + by)}
    before = select(said, policy(thresholds), EMOTIONS)
    after = select(said, policy(higher), EMOTIONS)
    assert not (after.accepted & ~before.accepted).any()


@given(judged_faces(), SHARES, SHARES)
def test_raising_the_threshold_of_all_never_adds_a_face(said, one, other):
    lower, higher = (select(said, policy(each), EMOTIONS) for each in sorted((one, other)))
    assert not (higher.accepted & ~lower.accepted).any()


@given(judged_faces(), SHARES)
def test_one_number_is_the_same_as_that_number_for_every_emotion(said, threshold):
    one = select(said, policy(threshold), EMOTIONS)
    each = select(said, policy(dict.fromkeys(EMOTIONS, threshold)), EMOTIONS)
    np.testing.assert_array_equal(one.accepted, each.accepted)


@given(judged_faces())
def test_a_threshold_of_0_accepts_the_whole_pool(said):
    np.testing.assert_array_equal(select(said, policy(0.0), EMOTIONS).accepted, said.pool & said.agreed)


@given(judged_faces(), POLICIES)
def test_what_was_decided_can_be_read_off_the_numbers_shown(said, chosen):
    selection = select(said, chosen, EMOTIONS)
    shown = selection.confidence >= selection.threshold
    np.testing.assert_array_equal(selection.accepted, shown & said.pool & said.agreed)
    if not isinstance(chosen, SoftMatch):
        np.testing.assert_array_equal(selection.weight, selection.accepted)


@given(st.integers(250_000, 1_000_000), st.sampled_from(EMOTIONS))
def test_a_confidence_exactly_at_the_threshold_is_accepted_and_one_below_is_not(millionths, emotion):
    threshold = millionths / 1e6
    sure = np.array([millionths, millionths - 1]) / 1e6
    probs = np.repeat(((1 - sure) / 3)[:, None], 4, axis=1)
    probs[:, EMOTIONS.index(emotion)] = sure
    for precision in (np.float32, np.float64):
        selection = select(evidence(probs.astype(precision), np.ones(2, bool)), policy(threshold), EMOTIONS)
        assert selection.accepted[0]
        if sure[1] > 0.25:
            assert not selection.accepted[1]


def test_the_threshold_is_that_of_the_predicted_emotion():
    probs = np.array([[0.7, 0.3, 0, 0], [0.3, 0.7, 0, 0]], dtype=np.float32)
    thresholds = {"angry": 0.6, "happy": 0.8, "sad": 0.1, "neutral": 0.1}
    selection = select(evidence(probs, np.ones(2, bool)), policy(thresholds), EMOTIONS)
    assert selection.threshold.tolist() == [0.6, 0.8]
    assert selection.accepted.tolist() == [True, False]
    assert selection.reason.tolist() == ["accepted", "confidence below the threshold of happy"]


def test_equal_probabilities_go_to_the_first_emotion():
    probs = np.array([[0.1, 0.4, 0.1, 0.4]], dtype=np.float32)
    assert select(evidence(probs, np.ones(1, bool)), policy(0.4), EMOTIONS).emotion.tolist() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_probability_that_is_not_finite_is_refused_with_its_row(value):
    probs = np.full((3, 4), 0.25)
    probs[2, 1] = value
    with pytest.raises(InputError, match="row 2 "):
        select(evidence(probs, np.zeros(3, bool)), policy(0.5), EMOTIONS)


def three_faces(chosen: Fixed, pool: tuple[bool, bool, bool]) -> tuple[Selection, pd.DataFrame]:
    probs = np.array([[0.9, 0.1, 0, 0], [0, 0.6, 0.4, 0], [0, 0, 0, 1]], dtype=np.float32)
    table = pd.DataFrame({"id": ["=1+1", "b.png", "-c.png"], "source": ["one", "one", "two"]})
    selection = select(evidence(probs, np.array(pool)), chosen, EMOTIONS)
    return selection, decision_table(selection, table, EMOTIONS)


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
    selection = select(evidence(probs, np.ones(1, bool)), policy(0.5), EMOTIONS)
    table = pd.DataFrame({"id": [f"{start}cmd.png"], "source": ["one"]})
    assert decision_table(selection, table, EMOTIONS)["id"].tolist() == [f"'{start}cmd.png"]


def test_every_emotion_is_counted_even_if_none_was_accepted():
    selection, _ = three_faces(policy(0.8), (True, True, True))
    per_emotion = {"angry": 1, "happy": 0, "sad": 0, "neutral": 1}
    assert count_accepted(selection, EMOTIONS) == {"unlabelled": 3, "accepted": 2, "per_emotion": per_emotion}


def test_what_was_accepted_is_said_in_words():
    selection, _ = three_faces(policy(0.8), (True, True, True))
    assert (
        format_selection(selection, EMOTIONS) == "accepted 2 of 3 unlabelled faces: angry 1, happy 0, sad 0, neutral 1"
    )


def test_a_policy_that_accepts_nothing_is_said_in_words_with_the_nearest_face():
    selection, table = three_faces(policy({"angry": 0.95, "happy": 0.9, "sad": 0, "neutral": 0}), (True, True, False))
    assert len(table) == 2
    words = format_selection(selection, EMOTIONS)
    assert "none of 2 unlabelled faces" in words
    assert "the teachers give retraining nothing to learn" in words
    assert "confidence of 0.9 and needs 0.95" in words


def test_an_empty_pool_is_said_in_words():
    selection, table = three_faces(policy(0.5), (False, False, False))
    assert len(table) == 0
    assert "no unlabelled faces" in format_selection(selection, EMOTIONS)


def certain(*confidences: float) -> np.ndarray:
    """Faces taken for angry, so surely."""
    sure = np.array(confidences)
    return np.column_stack([sure, *[(1 - sure) / 3] * 3])


def test_precision_takes_the_lowest_threshold_whose_bound_reaches_the_target():
    sure = np.linspace(0.99, 0.50, 50)
    right = np.arange(50) < 40  # the 40 surest are right
    chosen = Precision(target=0.8, confidence=0.9, fallback=0.97)
    threshold = precision_threshold(sure, right, chosen)
    taken = sure >= threshold
    hits, n = int(right[taken].sum()), int(taken.sum())
    assert binom.sf(hits - 1, n, 0.8) <= 0.1  # so many right would be rare if fewer than the target were right
    lower = sure[sure < threshold].max()
    hits, n = int(right[sure >= lower].sum()), int((sure >= lower).sum())
    assert binom.sf(hits - 1, n, 0.8) > 0.1


def test_precision_falls_back_where_validation_is_too_small():
    chosen = Precision(target=0.9, confidence=0.9, fallback=0.97)
    assert precision_threshold(np.full(5, 0.9), np.ones(5, dtype=bool), chosen) == 0.97
    assert precision_threshold(np.zeros(0), np.zeros(0, dtype=bool), chosen) == 0.97
    assert precision_threshold(np.full(22, 0.9), np.ones(22, dtype=bool), chosen) == 0.9


def test_precision_is_promised_by_validation_faces_alone():
    pool = np.repeat([False, True], 30)
    probs = certain(*[0.8] * 30, *[0.6] * 30)
    chosen = Precision(target=0.9, confidence=0.9, fallback=0.97)
    found = thresholds(evidence(probs, pool, np.where(pool, -1, 0)), chosen, EMOTIONS)
    assert found[0] == pytest.approx(0.8)


def test_faces_of_one_confidence_are_taken_together():
    chosen = Precision(target=0.5, confidence=0.6, fallback=1.0)
    sure = np.array([0.9, 0.9, 0.9, 0.9])
    for right in ([True, True, False, False], [False, False, True, True]):
        assert precision_threshold(sure, np.array(right), chosen) == 1.0


def test_top_takes_the_surest_of_each_emotion():
    probs = np.vstack([certain(0.9, 0.8, 0.7), certain(0.6, 0.5)[:, [1, 0, 2, 3]]])
    selection = select(evidence(probs, np.ones(5, bool)), TopK(faces=2), EMOTIONS)
    assert selection.accepted.tolist() == [True, True, False, True, True]
    assert kth_largest(np.array([0.9, 0.8, 0.8]), 2) == 0.8, "equals are taken together"


def test_a_quota_follows_the_validation_fold():
    probs = np.vstack([certain(*np.linspace(0.6, 0.9, 10)), certain(*np.linspace(0.6, 0.9, 10))[:, [1, 0, 2, 3]]])
    pool = np.ones(24, dtype=bool)
    pool[20:] = False
    said = np.vstack([probs, certain(0.9, 0.9, 0.9, 0.9)])
    labels = np.array([-1] * 20 + [0, 0, 0, 1])
    selection = select(evidence(said, pool, labels), Quota(share=0.4), EMOTIONS)
    assert count_accepted(selection, EMOTIONS)["per_emotion"] == {"angry": 6, "happy": 2, "sad": 0, "neutral": 0}


def test_curriculum_is_that_of_flexmatch():
    predicted = np.array([0, 0, 0, 0, 1, 1, 2])
    above = np.array([True, True, True, True, True, True, False])
    found = flexmatch_thresholds(predicted, above, 0.9, 4)
    np.testing.assert_allclose(found, 0.9 * np.array([1, 0.5 / 1.5, 0, 0]))
    none = flexmatch_thresholds(predicted, np.zeros(7, dtype=bool), 0.9, 4)
    assert (none == 0).all(), "before anything is learnt, everything is taken, as in their warm-up"


def test_adaptive_is_the_mean_confidence_for_the_commonest_emotion():
    probs = np.array([[0.8, 0.2, 0, 0], [0.4, 0.6, 0, 0]])
    said = evidence(probs, np.ones(2, bool))
    found = thresholds(said, FreeMatch(), EMOTIONS)
    np.testing.assert_allclose(found, [0.7, 0.7 * 0.4 / 0.6, 0, 0], atol=1e-6)


def test_margin_is_a_share_of_the_mean_confidence_of_faces_that_are_right():
    probs = np.vstack([certain(0.9, 0.7, 0.5), certain(0.8)[:, [1, 0, 2, 3]]])
    said = evidence(probs, np.zeros(4, bool), np.array([0, 0, 2, 2]))
    found = thresholds(said, AdaCM(factor=0.5), EMOTIONS)
    np.testing.assert_allclose(found, [0.4, 1, 1, 1])


def test_soft_takes_all_and_weighs_those_below_the_mean_less():
    probs = certain(0.4, 0.5, 0.6, 0.9)
    selection = select(evidence(probs, np.ones(4, bool)), SoftMatch(), EMOTIONS)
    assert selection.accepted.all()
    mean, deviation = 0.6, np.std([0.4, 0.5, 0.6, 0.9])
    np.testing.assert_allclose(
        selection.weight[:2], np.exp(-((mean - np.array([0.4, 0.5])) ** 2) / 2 / deviation**2), atol=1e-5
    )
    assert selection.weight[2:].tolist() == [1, 1]


@given(judged_faces())
def test_alignment_keeps_probabilities_and_brings_the_pool_nearer_to_what_is_wanted(said):
    wanted = np.array([0.4, 0.3, 0.2, 0.1])
    after = align_distribution(said.probs, said.pool, wanted)
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-5)
    if said.pool.any():
        before = np.abs(said.probs[said.pool].mean(axis=0) - wanted).sum()
        assert np.abs(after[said.pool].mean(axis=0) - wanted).sum() <= before + 1e-5


def test_evidence_is_aligned_to_the_validation_fold_or_evenly():
    vote = np.array([[0.7, 0.1, 0.1, 0.1], [0.6, 0.2, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]], dtype=np.float32)
    fold = np.array(["unlabelled", "unlabelled", "valid"], dtype=object)
    labels = np.array([-1, -1, 1])
    of = {
        rule: collect_evidence(vote, labels, fold, np.ones(3, bool), rule).probs
        for rule in ("none", "valid", "uniform")
    }
    np.testing.assert_array_equal(of["none"], vote)
    np.testing.assert_allclose(of["valid"][:2], [[0, 1, 0, 0]] * 2)
    assert of["uniform"][0].max() < 0.5


@pytest.mark.parametrize("probs", [certain(1.0, 1.0), np.full((2, 4), 0.25), certain(0.7)])
@given(chosen=POLICIES)
def test_odd_pools_end_in_a_selection(probs, chosen):
    selection = select(evidence(probs, np.ones(len(probs), bool)), chosen, EMOTIONS)
    assert np.isfinite(selection.threshold).all()
    assert (selection.threshold <= UNREACHABLE_THRESHOLD).all()
    assert np.isfinite(selection.weight).all()


def test_emotions_of_which_a_target_precision_promises_nothing_are_named():
    chosen = Precision(target=0.9, confidence=0.9, fallback=0.97)
    words = format_fallbacks(np.array([0.97, 0.5, 0.97, 0.8]), chosen, EMOTIONS)
    assert words == "no threshold promises 90% on validation for angry, sad: theirs is the fallback, 0.97"
    assert format_fallbacks(np.array([0.9, 0.5, 0.9, 0.8]), chosen, EMOTIONS) is None
    assert format_fallbacks(np.array([0.97] * 4), Fixed(threshold=0.97), EMOTIONS) is None
