"""Intervals of changes hold the variance of the test faces and, with several replicas, that of the training."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score

from fer.evaluation.statistics import change_interval, compare_correct, compare_predictions

EMOTIONS = ["angry", "happy", "sad", "neutral"]
SEEDS = st.integers(0, 2**32 - 1)


def draw_predictions(
    rng: np.random.Generator, replicas: int, n: int, training_sd: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what each replica predicts before and after a change that helps, and the labels.

    A face is right if its ease, the skill of the replica and a noise of both add up to more than 0.
    """
    labels = rng.choice(4, n, p=[0.4, 0.3, 0.25, 0.05])
    ease = rng.normal(size=n)
    rounds = []
    for gain in (0.0, 0.3):
        skill = gain + training_sd * rng.normal(size=(replicas, 1))
        is_right = ease + skill + 0.7 * rng.normal(size=(replicas, n)) > 0
        rounds.append(np.where(is_right, labels, (labels + rng.integers(1, 4, (replicas, n))) % 4))
    return rounds[0], rounds[1], labels


def make_rounds(unchanged: int, lost: int, gained: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which faces are right before and after: `unchanged` in both, `wrong` in neither."""
    counts = [unchanged, lost, gained, wrong]
    before, after = [True, True, False, False], [True, False, True, False]
    return np.repeat([before], counts, axis=1), np.repeat([after], counts, axis=1)


def test_the_interval_of_one_replica_of_a_worked_example() -> None:
    change = compare_correct(*make_rounds(unchanged=70, lost=2, gained=10, wrong=18))
    assert (change["baseline"], change["new"]) == (0.72, 0.8)
    assert change["difference"] == pytest.approx(0.08)
    spread = 1.959964 * math.sqrt(2.5 + 10.5 - 8**2 / 102) / 102
    assert (change["low"], change["high"]) == pytest.approx((8 / 102 - spread, 8 / 102 + spread), abs=1e-6)


def test_the_interval_of_three_replicas_of_a_worked_example() -> None:
    """Without an influence of the faces it is Student's t on the changes; a shared influence adds its variance."""
    changes = np.array([0.01, 0.02, 0.03])
    interval = change_interval(changes, np.zeros((3, 50)))
    assert (interval["low"], interval["high"]) == pytest.approx((0.02 - 0.0248414, 0.02 + 0.0248414), abs=1e-6)
    interval = change_interval(changes, np.tile(np.repeat([0.1, -0.1], 25), (3, 1)))
    variance, of_replicas = 0.1**2 / 50 + 0.01**2 / 3, 0.01**2 / 3
    assert 2 * (variance / of_replicas) ** 2 == pytest.approx(98)
    assert interval["high"] - 0.02 == pytest.approx(1.984467 * variance**0.5, abs=1e-6)


@given(*[st.integers(0, 30)] * 4)
def test_swapping_the_rounds_negates_the_change(unchanged: int, lost: int, gained: int, wrong: int) -> None:
    first, second = make_rounds(unchanged, lost, gained, wrong)
    if not first.size:
        return
    forward, backward = compare_correct(first, second), compare_correct(second, first)
    assert forward["low"] == pytest.approx(-backward["high"])
    assert -1 <= forward["low"] <= forward["difference"] <= forward["high"] <= 1


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 3), st.integers(1, 40))
def test_the_changes_are_those_of_scikit_learn(seed: int, replicas: int, n: int) -> None:
    before, after, labels = draw_predictions(np.random.default_rng(seed), replicas, n)
    comparison = compare_predictions(before, after, labels, EMOTIONS)
    present = np.unique(labels)
    options = {"labels": present, "zero_division": 0}
    for key, rows in (("baseline", before), ("new", after)):
        f1 = [f1_score(labels, row, average="macro", **options) for row in rows]
        assert comparison["macro_f1"][key] == pytest.approx(np.mean(f1))
        recall = np.mean([recall_score(labels, row, average=None, **options) for row in rows], axis=0)
        assert [change[key] for change in comparison["recall"].values()] == pytest.approx(recall.tolist())
    assert list(comparison["recall"]) == [EMOTIONS[code] for code in present]
    assert (comparison["n"], comparison["replicas"]) == (n, replicas)
    for change in (comparison["accuracy"], comparison["macro_f1"], *comparison["recall"].values()):
        assert change["difference"] == pytest.approx(change["new"] - change["baseline"])


def test_the_interval_of_macro_f1_is_that_of_a_jackknife() -> None:
    n = 400
    before, after, labels = draw_predictions(np.random.default_rng(0), 1, n)
    change = compare_predictions(before, after, labels, EMOTIONS)["macro_f1"]

    def macro_f1(rows: np.ndarray) -> float:
        return float(f1_score(labels[rows], after[0, rows], average="macro")) - float(
            f1_score(labels[rows], before[0, rows], average="macro")
        )

    leave_one_out = [macro_f1(np.arange(n) != face) for face in range(n)]
    deviation = np.sqrt(n - 1) * np.std(leave_one_out)
    assert (change["high"] - change["low"]) / 2 == pytest.approx(1.959964 * deviation, rel=0.02)


@pytest.mark.parametrize(("replicas", "training_sd"), [(1, 0.0), (1, 0.3), (3, 0.0), (3, 0.05), (3, 0.3)])
def test_an_interval_covers_the_truth_in_at_least_90_of_100_samples(replicas: int, training_sd: float) -> None:
    rng = np.random.default_rng(0)
    truth = compare_predictions(*draw_predictions(rng, 1000, 3000, training_sd), EMOTIONS)
    samples = [compare_predictions(*draw_predictions(rng, replicas, 500, training_sd), EMOTIONS) for _ in range(400)]
    for figure in ("accuracy", "macro_f1"):
        expected = truth[figure]["difference"]
        coverage = np.mean([sample[figure]["low"] <= expected <= sample[figure]["high"] for sample in samples])
        if (replicas, training_sd) == (1, 0.3):
            assert coverage < 0.6, "one replica does not know the variance of its training"
        else:
            assert coverage >= 0.9


def test_equal_predictions_did_not_change() -> None:
    before, _, labels = draw_predictions(np.random.default_rng(0), 3, 100)
    comparison = compare_predictions(before, before, labels, EMOTIONS)
    for change in (comparison["accuracy"], *comparison["recall"].values()):
        assert change["low"] < 0 == change["difference"] < change["high"]
    assert [comparison["macro_f1"][key] for key in ("low", "difference", "high")] == [0, 0, 0]


def test_the_order_of_replicas_and_faces_does_not_matter() -> None:
    before, after, labels = draw_predictions(np.random.default_rng(0), 3, 100, 0.2)
    order = np.random.default_rng(1).permutation(100)
    comparison = compare_predictions(before, after, labels, EMOTIONS)
    permuted = compare_predictions(before[::-1][:, order], after[::-1][:, order], labels[order], EMOTIONS)
    for figure in ("accuracy", "macro_f1"):
        assert permuted[figure] == pytest.approx(comparison[figure])


def test_no_faces_have_no_comparison() -> None:
    nothing = np.zeros((3, 0), dtype=np.int64)
    assert compare_predictions(nothing, nothing, nothing[0], EMOTIONS) == {"n": 0}
