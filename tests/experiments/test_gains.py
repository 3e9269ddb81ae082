"""Gains of students: paired by seed, with intervals, in the order of validation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fer.evaluation.statistics import compare_correct
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

N = 400


def make_result(valid: float, test: float, seed: int = 0, precision: float | None = 0.75) -> MethodResult:
    """Return a result with these accuracies; `seed` draws which faces are correct."""
    rng = np.random.default_rng(seed)
    folds = (rng.permutation(N) < round(accuracy * N) for accuracy in (valid, test))
    return MethodResult(*folds, n_pseudo_labels=100, pseudo_label_precision=precision)


def make_results(budget: int | None = 250, **methods: float) -> dict[tuple[int | None, int], dict[str, MethodResult]]:
    """Return results of methods with these test accuracies, for three seeds that differ by a point."""
    return {
        (budget, seed): {method: make_result(test - 0.01, test + seed / 100, seed) for method, test in methods.items()}
        for seed in range(3)
    }


def row_of(table: Any, method: str) -> dict[str, Any]:
    return dict(table.set_index("arm").loc[method])


@pytest.mark.parametrize("seeds", [1, 4])
def test_a_seed_is_a_replica(seeds: int) -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.random(N) < 0.5, rng.random(N) < 0.6) for _ in range(seeds)]
    expected = compare_correct(np.stack([old for old, _ in pairs]), np.stack([new for _, new in pairs]))
    assert paired_difference(pairs) == (expected["difference"], expected["low"], expected["high"])


def test_gains_are_relative_to_the_teacher_and_to_no_pool() -> None:
    table = compute_gains(make_results(**{TEACHER: 0.5, NO_POOL: 0.52, TRUE_LABELS: 0.6, "precision": 0.55}))
    row = row_of(table, "precision")
    assert row["gain"] == pytest.approx(0.05)
    assert row["over_no_pool"] == pytest.approx(0.03)
    assert row["share_of_true"] == pytest.approx(0.5)
    assert (row["seeds"], row["learnt"], row["precision"]) == (3, 100, 0.75)
    assert row["test_sd"] == pytest.approx(0.01)
    assert np.isnan(row_of(table, TEACHER)["gain"])
    assert np.isnan(row_of(table, NO_POOL)["over_no_pool"])


def test_a_method_is_compared_on_the_seeds_that_have_it() -> None:
    results = make_results(**{TEACHER: 0.5, TRUE_LABELS: 0.6, "precision": 0.55})
    del results[250, 2]["precision"]
    table = compute_gains(results)
    assert row_of(table, "precision")["seeds"] == 2
    assert row_of(table, "precision")["gain"] == pytest.approx(0.05)


def test_budgets_are_separate() -> None:
    table = compute_gains(
        make_results(100, **{TEACHER: 0.4, "fixed": 0.5}) | make_results(None, **{TEACHER: 0.6, "fixed": 0.61})
    )
    assert table.loc[table["arm"] == "fixed", "gain"].tolist() == pytest.approx([0.1, 0.01])
    assert [format_budget(budget) for budget in table["budget"].unique()] == [
        "100 labels of each emotion",
        "all labels",
    ]


@pytest.mark.parametrize(
    ("teacher", "student", "verdict"),
    [(0.5, 0.6, "helped: +10.0"), (0.6, 0.5, "hurt: -10.0"), (0.5, 0.5, "made no clear difference: +0.0")],
)
def test_the_verdict_depends_on_the_interval(teacher: float, student: float, verdict: str) -> None:
    results = make_results(**{TEACHER: teacher, "fixed": student})
    results[250, 0]["fixed"] = make_result(student, student + 0.005)
    table = compute_gains(results)
    assert format_gain_verdict(row_of(table, "fixed")).startswith(verdict[: verdict.index(":")])
    assert format_gain_verdict(
        row_of(compute_gains(make_results(**{TEACHER: teacher, "fixed": student})), "fixed")
    ).startswith(verdict)
    assert format_gain_verdict(row_of(table, TEACHER)) == ""


def test_the_share_is_left_out_if_true_labels_gain_nothing() -> None:
    table = compute_gains(make_results(**{TEACHER: 0.5, TRUE_LABELS: 0.5, "fixed": 0.6}))
    assert np.isnan(row_of(table, "fixed")["share_of_true"])
    assert "true labels" not in format_gain_verdict(row_of(table, "fixed"))


def test_the_share_is_left_out_if_no_true_labels_are_known() -> None:
    results = make_results(**{TEACHER: 0.5, TRUE_LABELS: 0.55, "fixed": 0.6})
    for methods in results.values():
        methods[TRUE_LABELS] = replace(methods[TRUE_LABELS], n_pseudo_labels=0)
    assert compute_gains(results)["share_of_true"].isna().all()


def test_the_share_is_that_of_its_own_budget() -> None:
    methods = {TEACHER: 0.5, "fixed": 0.55}
    results = make_results(100, **methods, **{TRUE_LABELS: 0.6}) | make_results(None, **methods, **{TRUE_LABELS: 0.7})
    table = compute_gains(results)
    assert table.loc[table["arm"] == "fixed", "share_of_true"].tolist() == pytest.approx([0.5, 0.25])


def test_rows_are_in_the_order_of_the_validation_accuracy() -> None:
    results = {
        (250, 0): {
            TEACHER: make_result(0.5, 0.5),
            "fixed": make_result(0.6, 0.4),
            "quota": make_result(0.4, 0.6, precision=None),
        }
    }
    lines = format_gains_table(compute_gains(results)).splitlines()[4:]
    assert [line.split("|")[2].strip() for line in lines] == ["fixed", TEACHER, "quota"]
    assert "nan" not in "".join(lines)
