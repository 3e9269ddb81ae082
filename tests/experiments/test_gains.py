"""Gains of students: over the best baseline on validation, with intervals, in the order of validation."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from fer.evaluation.statistics import compare_correct
from fer.experiments.arms import NO_POOL, RANDOM_LABELS, TRUE_LABELS
from fer.experiments.gains import (
    TEACHER,
    TEACHER_CORRECTED,
    VOTE,
    VOTE_CORRECTED,
    MethodResult,
    compute_gains,
    estimate_gain,
    measure_predictions,
)
from fer.experiments.gains_table import format_budget, format_gain_verdict, format_gains_table, format_result
from fer.predictions import metrics

EMOTIONS = ("angry", "happy", "sad", "neutral")
N = 400
LABELS = {fold: np.arange(N) % 4 for fold in ("valid", "test")}
Results = dict[tuple[int | None, int], dict[str, MethodResult]]


def predict(accuracy: float, fold: str, seed: int = 0) -> np.ndarray:
    """Return predictions with this accuracy; `seed` draws which faces are correct."""
    is_correct = np.random.default_rng(seed).permutation(N) < round(accuracy * N)
    return np.where(is_correct, LABELS[fold], (LABELS[fold] + 1) % 4)


def make_result(valid: float, test: float, seed: int = 0, precision: float | None = 0.75) -> MethodResult:
    return MethodResult(predict(valid, "valid", seed)[None], predict(test, "test", seed)[None], 100, precision)


def make_results(budget: int | None = 250, n_seeds: int = 3, **methods: float) -> Results:
    """Return results of methods with these test accuracies, for seeds that differ by a point."""
    return {
        (budget, seed): {method: make_result(test - 0.01, test + seed / 100, seed) for method, test in methods.items()}
        for seed in range(n_seeds)
    }


def compute(results: Results) -> Any:
    return compute_gains(results, LABELS, EMOTIONS)


def row_of(table: Any, method: str) -> dict[str, Any]:
    return dict(table.set_index("arm", drop=False).loc[method])


@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_those_of_the_pipeline_as_means_over_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 3, 30), rng.integers(0, 4, (2, 30))
    labels[:3] = [0, 1, 2]  # no face is neutral
    faces = np.stack([np.ones(30), np.bincount(rng.integers(3, 30, 27), minlength=30) + (np.arange(30) < 3)])
    values = measure_predictions(predicted, labels, EMOTIONS, faces.astype(np.float32))
    for sample, counts in enumerate(faces.astype(np.int64)):
        expected = [
            metrics.compute_metrics(np.eye(4)[np.repeat(network, counts)], np.repeat(labels, counts), EMOTIONS, 10)
            for network in predicted
        ]
        for name in ("accuracy", "macro_f1"):
            assert values[name][sample] == pytest.approx(np.mean([network[name] for network in expected]))
        recalls = [[network["per_emotion"][emotion]["recall"] for emotion in EMOTIONS[:3]] for network in expected]
        assert [values[f"recall_{emotion}"][sample] for emotion in EMOTIONS[:3]] == pytest.approx(
            np.mean(recalls, axis=0)
        )
        assert values["worst_recall"][sample] == pytest.approx(np.mean(np.min(recalls, axis=1)))
        assert np.isnan(values["recall_neutral"][sample])


@given(st.integers(0, 100))
def test_the_interval_is_students_t_if_the_test_fold_adds_nothing(seed: int) -> None:
    differences = np.random.default_rng(seed).normal(0.02, 0.01, 4)
    expected = ttest_1samp(differences, 0).confidence_interval()
    actual = estimate_gain(differences, np.full(100, differences.mean()))
    assert actual == pytest.approx((differences.mean(), expected.low, expected.high))


def test_fewer_than_three_seeds_have_no_interval() -> None:
    mean, low, high = estimate_gain(np.array([0.01, 0.03]), np.zeros(100))
    assert mean == pytest.approx(0.02)
    assert math.isnan(low)
    assert math.isnan(high)


def test_the_interval_holds_a_test_fold_that_all_seeds_share() -> None:
    """Count how often an interval holds the true gain of 0, over draws of the test fold and of the trainings."""
    rng, n_draws = np.random.default_rng(0), 400
    counts = rng.multinomial(N, np.full(N, 1 / N), 200)
    hits = t_hits = 0
    for _ in range(n_draws):
        gained = rng.choice([-1, 0, 1], N, p=[0.1, 0.8, 0.1])  # by face
        differences = gained.mean() + rng.normal(0, 0.01, 3)
        _, low, high = estimate_gain(differences, counts @ gained / N)
        hits += low <= 0 <= high
        t_hits += ttest_1samp(differences, 0).pvalue > 0.05
    assert hits >= 0.95 * n_draws
    assert t_hits < 0.85 * n_draws, "the seeds' differences alone do not hold it"


def test_seeds_that_agree_leave_the_interval_of_the_test_faces() -> None:
    result = {TEACHER: make_result(0.5, 0.5, 0), "fixed": make_result(0.5, 0.6, 1)}
    row = row_of(compute({(250, seed): result for seed in range(3)}), "fixed")
    expected = compare_correct(*((result[name].test[:1] == LABELS["test"]) for name in (TEACHER, "fixed")))
    bounds = row["gain_accuracy_low"], row["gain_accuracy_high"]
    assert bounds == pytest.approx((expected["low"], expected["high"]), abs=0.01)


def test_gains_are_over_the_baseline_that_is_best_on_validation() -> None:
    methods = {TEACHER: 0.5, TEACHER_CORRECTED: 0.53, VOTE: 0.52, VOTE_CORRECTED: 0.51, NO_POOL: 0.5}
    results = make_results(**methods, **{TRUE_LABELS: 0.63, "precision": 0.58})
    for seed in range(3):
        results[250, seed][VOTE] = make_result(0.6, 0.52 + seed / 100, seed)  # best on validation, not on test
    table = compute(results)
    assert set(table["baseline"]) == {VOTE}
    row = row_of(table, "precision")
    assert row["gain_accuracy"] == pytest.approx(0.06)
    assert row["share_of_oracle"] == pytest.approx(6 / 11)
    assert (row["seeds"], row["learnt"], row["precision"]) == (3, 100, 0.75)
    assert row["test_accuracy_sd"] == pytest.approx(0.01)
    assert row["gain_accuracy_low"] < 0.06 < row["gain_accuracy_high"]
    assert row_of(table, TEACHER_CORRECTED)["gain_accuracy"] == pytest.approx(0.01)
    assert np.isnan(row_of(table, VOTE)["gain_accuracy"])
    text = format_gains_table(table, ["A note."])
    assert "over the best baseline on validation: vote.\n" in text
    assert text.count("best baseline |") == 2
    assert text.endswith("\n\nA note.\n")


def test_a_student_is_never_the_baseline() -> None:
    table = compute(make_results(**{TEACHER: 0.5, RANDOM_LABELS: 0.9, TRUE_LABELS: 0.9, "fixed": 0.9}))
    assert set(table["baseline"]) == {TEACHER}


def test_each_budget_names_its_baseline() -> None:
    results = make_results(100, **{TEACHER: 0.4, VOTE: 0.5}) | make_results(None, **{TEACHER: 0.6, VOTE: 0.55})
    assert "on validation: vote (100 labels per emotion); teacher (all labels)." in format_gains_table(compute(results))


def test_the_teacher_is_the_mean_of_its_replicas() -> None:
    results = make_results(**{TEACHER: 0.5, "fixed": 0.6})
    for seed in range(3):
        tests = np.stack([predict(accuracy, "test", seed) for accuracy in (0.48, 0.5, 0.52)])
        results[250, seed][TEACHER] = MethodResult(tests, tests, 0, None)
    table = compute(results)
    assert row_of(table, TEACHER)["test_accuracy"] == pytest.approx(0.5)
    assert row_of(table, TEACHER)["training_sd"] == pytest.approx(0.02)
    assert row_of(table, "fixed")["gain_accuracy"] == pytest.approx(0.11)
    assert "initial weights and order, in points: 2.0 (250 labels per emotion)." in format_gains_table(table)
    assert "initial weights" not in format_gains_table(compute(make_results(**{TEACHER: 0.5})))


def test_a_method_is_compared_on_the_seeds_that_have_it() -> None:
    results = make_results(n_seeds=4, **{TEACHER: 0.5, TRUE_LABELS: 0.6, "precision": 0.55})
    del results[250, 2]["precision"]
    row = row_of(compute(results), "precision")
    assert row["seeds"] == 3
    assert row["gain_accuracy"] == pytest.approx(0.05)


def test_budgets_are_separate() -> None:
    table = compute(
        make_results(100, **{TEACHER: 0.4, "fixed": 0.5}) | make_results(None, **{TEACHER: 0.6, "fixed": 0.61})
    )
    assert table.loc[table["arm"] == "fixed", "gain_accuracy"].tolist() == pytest.approx([0.1, 0.01])
    assert [format_budget(budget) for budget in table["budget"].unique()] == ["100 labels per emotion", "all labels"]


@pytest.mark.parametrize(
    ("teacher", "student", "n_seeds", "verdict"),
    [
        (0.5, 0.7, 3, "helped: +20.0 (+"),
        (0.7, 0.5, 3, "hurt: -20.0 (-"),
        (0.5, 0.5, 3, "made no clear difference: +0.0 ("),
        (0.5, 0.7, 2, "no verdict from fewer than 3 seeds: +20.0 points over teacher, the best baseline; macro F1 +"),
    ],
)
def test_the_verdict_depends_on_the_interval(teacher: float, student: float, n_seeds: int, verdict: str) -> None:
    table = compute(make_results(n_seeds=n_seeds, **{TEACHER: teacher, "fixed": student}))
    assert format_gain_verdict(row_of(table, "fixed")).startswith(verdict)
    assert format_gain_verdict(row_of(table, TEACHER)) == ""


def test_the_share_is_left_out_if_true_labels_gain_nothing() -> None:
    table = compute(make_results(**{TEACHER: 0.5, TRUE_LABELS: 0.5, "fixed": 0.6}))
    assert np.isnan(row_of(table, "fixed")["share_of_oracle"])
    assert "true labels" not in format_gain_verdict(row_of(table, "fixed"))


def test_the_share_is_that_of_its_own_budget() -> None:
    methods = {TEACHER: 0.5, "fixed": 0.55}
    results = make_results(100, **methods, **{TRUE_LABELS: 0.6}) | make_results(None, **methods, **{TRUE_LABELS: 0.7})
    table = compute(results)
    assert table.loc[table["arm"] == "fixed", "share_of_oracle"].tolist() == pytest.approx([0.5, 0.25])


def test_rows_are_in_the_order_of_the_validation_accuracy() -> None:
    results = {
        (250, 0): {
            TEACHER: make_result(0.5, 0.5),
            "fixed": make_result(0.6, 0.4),
            "quota": make_result(0.4, 0.6, precision=None),
        }
    }
    lines = format_gains_table(compute(results)).splitlines()[4:]
    assert [line.split("|")[2].strip() for line in lines] == ["fixed", TEACHER, "quota"]
    assert "nan" not in "".join(lines)


def test_a_result_is_described_in_one_line() -> None:
    assert format_result("seed 0, fixed", make_result(0.5, 0.6), LABELS) == (
        "seed 0, fixed: 50.0% on validation faces, 60.0% on test faces; 100 pool faces, 75.0% of them correct"
    )
