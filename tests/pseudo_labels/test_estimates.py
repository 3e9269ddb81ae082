"""The estimate is honest, reads validation alone, and says where it can't hold."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.core.labels import EMOTIONS
from fer.predictions import metrics
from fer.pseudo_labels import estimates
from fer.pseudo_labels.policies import fixed
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import Selection, select, thresholds

SEVEN = EMOTIONS[:7]


def evidence(valid: int, pool: int, seed: int = 0, spread: float = 0.3) -> Evidence:
    """Faces whose confidence is right: each label is drawn from its face's probabilities."""
    random = np.random.default_rng(seed)
    probs = random.dirichlet(np.full(7, spread), valid + pool).astype(np.float32)
    labels = (probs.cumsum(axis=1) > random.random((valid + pool, 1))).argmax(axis=1)
    is_valid = np.arange(valid + pool) < valid
    return Evidence(probs, np.where(is_valid, labels, -1), is_valid, ~is_valid, np.ones(valid + pool, dtype=bool))


def certain(emotions: list[int], labels: list[int], valid: int) -> Evidence:
    """Faces taken for `emotions` with a confidence of 1, the first `valid` of them for validation."""
    is_valid = np.arange(len(emotions)) < valid
    probs = np.eye(7, dtype=np.float32)[emotions]
    return Evidence(probs, np.array(labels), is_valid, ~is_valid, np.ones(len(emotions), dtype=bool))


def estimated(said: Evidence, threshold: float = 0.6) -> tuple[dict, Selection]:
    policy = fixed.Options(threshold=threshold)
    selection = select(said, policy, SEVEN)
    return estimates.estimate_precision(said, selection, thresholds(said, policy, SEVEN), SEVEN), selection


def test_the_interval_holds_what_is_to_be_expected_19_times_of_20() -> None:
    held, off = 0, []
    for seed in range(200):
        said = evidence(300, 3000, seed)
        found, selection = estimated(said)
        expected = said.probs.max(axis=1)[selection.accepted].mean()
        interval = found["estimated_precision_interval"]
        held += interval["low"] <= expected <= interval["high"]
        off.append(found["estimated_precision"] - expected)
    assert 180 <= held <= 199
    assert abs(np.mean(off)) < 0.005


def test_each_emotions_precision_has_the_weight_of_its_accepted_faces() -> None:
    # in validation 3 of 4 happy faces are right and 1 of 2 sad ones; in the pool there are 1 and 3
    said = certain([3, 3, 3, 3, 4, 4, 3, 4, 4, 4], [3, 3, 3, 0, 4, 0] + [-1] * 4, 6)
    found, _ = estimated(said)
    assert found["estimated_precision"] == pytest.approx(0.25 * 0.75 + 0.75 * 0.5)
    assert found["estimated_from"] == 6
    assert found["share_without_estimate"] == 0


def test_of_one_emotion_the_interval_is_wilsons() -> None:
    found, _ = estimated(certain([3] * 10 + [3], [3] * 7 + [0] * 3 + [-1], 10))
    interval = metrics.wilson_interval(7, 10)
    assert found["estimated_precision_interval"] == pytest.approx(interval)
    assert found["per_emotion"]["happy"]["estimated_precision_interval"] == interval


def test_only_validation_faces_that_would_be_accepted_count() -> None:
    said = evidence(300, 300)
    before, _ = estimated(said)
    counted = said.valid & (said.probs.max(axis=1) >= 0.6)
    labels = np.where(counted, said.labels, (said.labels + 1) % 7)
    after, _ = estimated(Evidence(said.probs, labels, said.valid, said.pool, said.agreed))
    assert after == before
    agreed = said.agreed.copy()
    agreed[np.flatnonzero(counted)[:20]] = False
    after, _ = estimated(Evidence(said.probs, said.labels, said.valid, said.pool, agreed))
    assert after["estimated_from"] == before["estimated_from"] - 20


def test_the_order_of_the_faces_does_not_matter() -> None:
    said = evidence(200, 300)
    order = np.random.default_rng(1).permutation(500)
    other = Evidence(said.probs[order], said.labels[order], said.valid[order], said.pool[order], said.agreed[order])
    assert estimated(other)[0] == estimated(said)[0]
    assert estimates.measure_shift(other) == pytest.approx(estimates.measure_shift(said))


def test_an_emotion_that_validation_never_shows_is_left_out_and_counted() -> None:
    said = certain([3] * 10 + [3, 3, 3, 4], [3] * 10 + [-1] * 4, 10)
    found, _ = estimated(said)
    assert found["share_without_estimate"] == 0.25
    assert found["per_emotion"]["sad"] == {"estimated_from": 0}
    assert found["estimated_precision"] == 1
    (line,) = estimates.format_estimate(found, estimates.measure_shift(said))
    assert line.startswith(
        "estimated precision from 10 validation faces: 100 % (72 to 100), without 25 % of the accepted"
    )


def test_without_any_comparable_validation_face_there_is_no_estimate() -> None:
    said = certain([3] * 10 + [4, 4], [3] * 10 + [-1] * 2, 10)
    found, _ = estimated(said)
    assert (found["estimated_from"], found["share_without_estimate"]) == (0, 1)
    assert "estimated_precision" not in found
    (line,) = estimates.format_estimate(found, estimates.measure_shift(said))
    assert line.startswith("no estimated precision")


def test_where_nothing_is_accepted_nothing_is_estimated() -> None:
    for said in (evidence(50, 50), evidence(50, 0)):
        found, _ = estimated(said, threshold=1.0)
        assert "estimated_precision" not in found
        assert estimates.format_estimate(found, estimates.measure_shift(said)) == []
    assert estimates.measure_shift(evidence(50, 0)) == {}


def test_a_pool_like_validation_is_not_called_unlike() -> None:
    for seed in range(30):
        assert not any(estimates.measure_shift(evidence(n, 3000, seed))["shifted"] for n in (50, 400, 3000))


def test_a_pool_unlike_validation_is_called_so_and_the_shares_tell_how() -> None:
    valid, pool = evidence(300, 0), evidence(0, 3000, spread=0.8)
    said = Evidence(
        *(np.concatenate([getattr(part, name) for part in (valid, pool)]) for name in Evidence.__dataclass_fields__)
    )
    found = estimates.measure_shift(said)
    assert found["shifted"]
    assert found["statistic"] == pytest.approx(found["share_of_valid_above"] - found["share_of_pool_above"])
    line, warning = estimates.format_estimate(estimated(said, 0.3)[0], found)
    assert line.startswith("estimated precision")
    assert warning.startswith("warning: the pool is unlike validation")
    few = Evidence(*(getattr(said, name)[296:] for name in Evidence.__dataclass_fields__))
    assert not estimates.measure_shift(few)["shifted"], "four validation faces can't tell"


def test_a_small_difference_is_not_called_unlike_however_many_faces_show_it() -> None:
    valid, pool = evidence(50_000, 0), evidence(0, 50_000, seed=1, spread=0.33)
    said = Evidence(
        *(np.concatenate([getattr(part, name) for part in (valid, pool)]) for name in Evidence.__dataclass_fields__)
    )
    found = estimates.measure_shift(said)
    assert found["p_value"] < estimates.SHIFT_P_VALUE
    assert not found["shifted"]


@pytest.mark.parametrize(
    "said",
    [
        evidence(100, 1),
        evidence(1, 100),
        certain([3] * 100, [3] * 50 + [-1] * 50, 50),
        certain([0, 1, 2] * 30, [0, 1, 2] * 20 + [-1] * 30, 60),
        Evidence(
            np.full((90, 7), 1 / 7, dtype=np.float32),
            np.arange(90) % 7,
            np.arange(90) < 40,
            np.arange(90) >= 40,
            np.ones(90, dtype=bool),
        ),
    ],
    ids=["a pool of one", "one validation face", "all one emotion", "all certain", "all alike"],
)
@pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])
def test_odd_evidence_gives_figures_that_can_be_written(said: Evidence, threshold: float) -> None:
    found, shift = estimated(said, threshold)[0], estimates.measure_shift(said)
    json.dumps([found, shift], allow_nan=False)
    assert not shift["shifted"]
    assert len(estimates.format_estimate(found, shift)) <= 1


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_the_interval_holds_the_estimate_and_stays_within_0_and_1(faces: list[tuple[int, int, bool]]) -> None:
    faces = sorted(faces, key=lambda face: not face[2])
    valid = sum(is_valid for _, _, is_valid in faces)
    found, _ = estimated(certain([taken for taken, _, _ in faces], [label for _, label, _ in faces], valid))
    assert 0 <= found.get("share_without_estimate", 0) <= 1
    if "estimated_precision" in found:
        interval = found["estimated_precision_interval"]
        assert 0 <= interval["low"] <= found["estimated_precision"] <= interval["high"] <= 1
