"""What students gained: paired by seed, told with intervals, chosen by nothing that the test fold says."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from fer.experiments.arms import NO_POOL, TRUE
from fer.experiments.gains import TEACHER, Outcome, difference, gains, labels_in_words, markdown, verdict
from fer.predictions import metrics

N = 400


def outcome(valid: float, test: float, seed: int = 0, precision: float | None = 0.75) -> Outcome:
    """So many right, which ones drawn by `seed`."""
    random = np.random.default_rng(seed)
    folds = (random.permutation(N) < round(share * N) for share in (valid, test))
    return Outcome(*folds, learnt=100, precision=precision)


def outcomes(budget: int | None = 250, **arms: float) -> dict[tuple[int | None, int], dict[str, Outcome]]:
    """Arms of such a test accuracy, over three seeds that differ by a point."""
    return {
        (budget, seed): {arm: outcome(test - 0.01, test + seed / 100, seed) for arm, test in arms.items()}
        for seed in range(3)
    }


def row(table: Any, arm: str) -> dict[str, Any]:
    return dict(table.set_index("arm").loc[arm])


@given(st.integers(0, 100))
def test_over_seeds_the_interval_is_that_of_student(seed: int) -> None:
    random = np.random.default_rng(seed)
    pairs = [(random.random(N) < 0.5, random.random(N) < 0.6) for _ in range(4)]
    mean, low, high = difference(pairs)
    expected = ttest_1samp([after.mean() - before.mean() for before, after in pairs], 0).confidence_interval()
    assert (mean, low, high) == pytest.approx((np.mean([low, high]), expected.low, expected.high))


def test_with_one_seed_the_interval_is_that_of_the_faces() -> None:
    before, after = (np.random.default_rng(seed).random(N) < 0.5 for seed in (0, 1))
    found = metrics.compare(before, after)
    assert difference([(before, after)]) == (found["difference"], found["low"], found["high"])


def test_gains_are_over_the_teacher_and_over_no_pool() -> None:
    table = gains(outcomes(**{TEACHER: 0.5, NO_POOL: 0.52, TRUE: 0.6, "precision": 0.55}))
    found = row(table, "precision")
    assert found["gain"] == pytest.approx(0.05)
    assert found["over_no_pool"] == pytest.approx(0.03)
    assert found["share_of_true"] == pytest.approx(0.5)
    assert (found["seeds"], found["learnt"], found["precision"]) == (3, 100, 0.75)
    assert found["test_sd"] == pytest.approx(0.01)
    assert np.isnan(row(table, TEACHER)["gain"])
    assert np.isnan(row(table, NO_POOL)["over_no_pool"])


def test_an_arm_that_some_seeds_lack_is_compared_on_the_others() -> None:
    found = outcomes(**{TEACHER: 0.5, TRUE: 0.6, "precision": 0.55})
    del found[250, 2]["precision"]
    table = gains(found)
    assert row(table, "precision")["seeds"] == 2
    assert row(table, "precision")["gain"] == pytest.approx(0.05)


def test_budgets_are_told_apart() -> None:
    table = gains(outcomes(100, **{TEACHER: 0.4, "fixed": 0.5}) | outcomes(None, **{TEACHER: 0.6, "fixed": 0.61}))
    assert table.loc[table["arm"] == "fixed", "gain"].tolist() == pytest.approx([0.1, 0.01])
    assert [labels_in_words(budget) for budget in table["budget"].unique()] == [
        "100 labels of each emotion",
        "all labels",
    ]


@pytest.mark.parametrize(
    ("teacher", "student", "said"),
    [(0.5, 0.6, "helped: +10.0"), (0.6, 0.5, "hurt: -10.0"), (0.5, 0.5, "made no clear difference: +0.0")],
)
def test_the_verdict_follows_from_the_interval(teacher: float, student: float, said: str) -> None:
    found = outcomes(**{TEACHER: teacher, "fixed": student})
    found[250, 0]["fixed"] = outcome(student, student + 0.005)
    table = gains(found)
    assert verdict(row(table, "fixed")).startswith(said[: said.index(":")])
    assert verdict(row(gains(outcomes(**{TEACHER: teacher, "fixed": student})), "fixed")).startswith(said)
    assert verdict(row(table, TEACHER)) == ""


def test_where_true_labels_gain_nothing_no_share_is_told() -> None:
    table = gains(outcomes(**{TEACHER: 0.5, TRUE: 0.5, "fixed": 0.6}))
    assert np.isnan(row(table, "fixed")["share_of_true"])
    assert "true labels" not in verdict(row(table, "fixed"))


def test_true_labels_that_nobody_knows_are_no_measure() -> None:
    found = outcomes(**{TEACHER: 0.5, TRUE: 0.55, "fixed": 0.6})
    for arms in found.values():
        arms[TRUE] = replace(arms[TRUE], learnt=0)
    assert "share_of_true" not in gains(found)


def test_rows_stand_in_the_order_of_the_validation_accuracy() -> None:
    found = {
        (250, 0): {TEACHER: outcome(0.5, 0.5), "fixed": outcome(0.6, 0.4), "quota": outcome(0.4, 0.6, precision=None)}
    }
    lines = markdown(gains(found)).splitlines()[4:]
    assert [line.split("|")[2].strip() for line in lines] == ["fixed", TEACHER, "quota"]
    assert "nan" not in "".join(lines)
