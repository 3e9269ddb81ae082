"""What students gained: paired by seed, told with intervals, chosen by nothing that the test fold says."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from fer.experiments.arms import NO_POOL, TRUE_LABELS
from fer.experiments.gains import (
    TEACHER,
    MethodResult,
    compute_gains,
    format_budget,
    format_gain_verdict,
    format_gains_table,
    paired_difference,
)
from fer.predictions import metrics

N = 400


def outcome(valid: float, test: float, seed: int = 0, precision: float | None = 0.75) -> MethodResult:
    """So many right, which ones drawn by `seed`."""
    random = np.random.default_rng(seed)
    folds = (random.permutation(N) < round(share * N) for share in (valid, test))
    return MethodResult(*folds, n_pseudo_labels=100, pseudo_label_precision=precision)


def outcomes(budget: int | None = 250, **arms: float) -> dict[tuple[int | None, int], dict[str, MethodResult]]:
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
    mean, low, high = paired_difference(pairs)
    expected = ttest_1samp([after.mean() - before.mean() for before, after in pairs], 0).confidence_interval()
    assert (mean, low, high) == pytest.approx((np.mean([low, high]), expected.low, expected.high))


def test_with_one_seed_the_interval_is_that_of_the_faces() -> None:
    before, after = (np.random.default_rng(seed).random(N) < 0.5 for seed in (0, 1))
    found = metrics.compare_accuracy(before, after)
    assert paired_difference([(before, after)]) == (found["difference"], found["low"], found["high"])


def test_gains_are_over_the_teacher_and_over_no_pool() -> None:
    table = compute_gains(outcomes(**{TEACHER: 0.5, NO_POOL: 0.52, TRUE_LABELS: 0.6, "precision": 0.55}))
    found = row(table, "precision")
    assert found["gain"] == pytest.approx(0.05)
    assert found["over_no_pool"] == pytest.approx(0.03)
    assert found["share_of_true"] == pytest.approx(0.5)
    assert (found["seeds"], found["learnt"], found["precision"]) == (3, 100, 0.75)
    assert found["test_sd"] == pytest.approx(0.01)
    assert np.isnan(row(table, TEACHER)["gain"])
    assert np.isnan(row(table, NO_POOL)["over_no_pool"])


def test_an_arm_that_some_seeds_lack_is_compared_on_the_others() -> None:
    found = outcomes(**{TEACHER: 0.5, TRUE_LABELS: 0.6, "precision": 0.55})
    del found[250, 2]["precision"]
    table = compute_gains(found)
    assert row(table, "precision")["seeds"] == 2
    assert row(table, "precision")["gain"] == pytest.approx(0.05)


def test_budgets_are_told_apart() -> None:
    table = compute_gains(
        outcomes(100, **{TEACHER: 0.4, "fixed": 0.5}) | outcomes(None, **{TEACHER: 0.6, "fixed": 0.61})
    )
    assert table.loc[table["arm"] == "fixed", "gain"].tolist() == pytest.approx([0.1, 0.01])
    assert [format_budget(budget) for budget in table["budget"].unique()] == [
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
    table = compute_gains(found)
    assert format_gain_verdict(row(table, "fixed")).startswith(said[: said.index(":")])
    assert format_gain_verdict(
        row(compute_gains(outcomes(**{TEACHER: teacher, "fixed": student})), "fixed")
    ).startswith(said)
    assert format_gain_verdict(row(table, TEACHER)) == ""


def test_where_true_labels_gain_nothing_no_share_is_told() -> None:
    table = compute_gains(outcomes(**{TEACHER: 0.5, TRUE_LABELS: 0.5, "fixed": 0.6}))
    assert np.isnan(row(table, "fixed")["share_of_true"])
    assert "true labels" not in format_gain_verdict(row(table, "fixed"))


def test_true_labels_that_nobody_knows_are_no_measure() -> None:
    found = outcomes(**{TEACHER: 0.5, TRUE_LABELS: 0.55, "fixed": 0.6})
    for arms in found.values():
        arms[TRUE_LABELS] = replace(arms[TRUE_LABELS], n_pseudo_labels=0)
    assert "share_of_true" not in compute_gains(found)


def test_rows_stand_in_the_order_of_the_validation_accuracy() -> None:
    found = {
        (250, 0): {TEACHER: outcome(0.5, 0.5), "fixed": outcome(0.6, 0.4), "quota": outcome(0.4, 0.6, precision=None)}
    }
    lines = format_gains_table(compute_gains(found)).splitlines()[4:]
    assert [line.split("|")[2].strip() for line in lines] == ["fixed", TEACHER, "quota"]
    assert "nan" not in "".join(lines)
