"""The leaderboard of `fer compare`: means over seeds, ensembles, order and format."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from fer.evaluation.inputs import HeldOutFaces
from fer.experiments import standings
from fer.experiments.standings import ENSEMBLE_KIND, FROM_IMAGENET, FROM_SCRATCH, Cost, JobResult

EMOTIONS = ("angry", "happy", "sad")
LABELS = np.tile([0, 1, 2, 0], 10)
TEST = np.arange(40) >= 20
HELD_OUT = HeldOutFaces(np.arange(40), LABELS, np.full(40, "made_up", dtype=object), TEST, np.zeros(40, dtype=bool))


def make_result(wrong_valid: int, wrong_test: int, confidence: float = 0.8, rate: float = 100.0) -> JobResult:
    """Return a result in which the first faces of each fold are predicted as the next emotion."""
    predictions = LABELS.copy()
    for start, n_wrong in ((0, wrong_valid), (20, wrong_test)):
        predictions[start : start + n_wrong] = (predictions[start : start + n_wrong] + 1) % 3
    probs = np.full((40, 3), (1 - confidence) / 2, dtype=np.float32)
    probs[np.arange(40), predictions] = confidence
    return JobResult(probs, probs, Cost(parameters=1000, macs=2_000_000, steps=30, train_faces_per_second=rate))


def build_table(runs: Mapping[str, Mapping[int, JobResult]]) -> pd.DataFrame:
    kinds = dict.fromkeys(runs, FROM_SCRATCH)
    return standings.build_leaderboard(runs, kinds, HELD_OUT, EMOTIONS, 10).set_index("network")


def test_metrics_are_means_over_the_seeds_with_the_sample_deviation() -> None:
    row = build_table({"se": {0: make_result(2, 4), 1: make_result(4, 10)}}).loc["se"]
    assert row["valid_accuracy"] == pytest.approx(0.85)
    assert row["test_accuracy"] == row["test_single_crop"] == pytest.approx(0.65)
    assert row["test_accuracy_sd"] == pytest.approx(0.3 / np.sqrt(2))
    assert row["test_ece"] == pytest.approx((0 + 0.3) / 2)
    assert row["seeds"] == 2


def test_a_single_seed_has_no_deviation() -> None:
    table = build_table({"se": {7: make_result(2, 4)}})
    assert table.filter(like="_sd").isna().all(axis=None)
    assert "±" not in standings.format_leaderboard(table.reset_index(), 100, HELD_OUT).split("\n", 2)[2]


def test_rows_are_in_the_order_of_the_validation_accuracy() -> None:
    table = build_table(
        {"cnn": {0: make_result(9, 0)}, "se": {0: make_result(1, 18)}, "deeper": {0: make_result(5, 5)}}
    )
    assert [name for name in table.index if "vote" not in name] == ["se", "deeper", "cnn"]


def test_the_best_three_are_best_on_validation_and_ensembles_are_averaged_over_seeds() -> None:
    runs = {
        "cnn": {0: make_result(20, 0), 1: make_result(20, 0)},
        "se": {0: make_result(1, 6), 1: make_result(2, 6)},
        "deeper": {0: make_result(2, 6), 1: make_result(2, 6)},
        "shallow": {0: make_result(3, 9), 1: make_result(3, 20)},
    }
    table = build_table(runs)
    assert table.loc["vote of the best three", "voters"] == "se deeper shallow"
    assert table.loc["vote of all", "voters"] == "se deeper shallow cnn"
    best = table.loc["vote of the best three"]
    assert best["test_accuracy"] == pytest.approx(0.7), "two members outvote the third"
    assert best["kind"] == ENSEMBLE_KIND
    assert (best["parameters"], best["macs"], best["steps"]) == (3000, 6_000_000, 90)
    assert best["train_faces_per_second"] == pytest.approx(100 / 3)
    confident = runs | {
        "cnn": {seed: make_result(20, 0, confidence=0.999) for seed in (0, 1)},
        "shallow": runs["deeper"],
    }
    probs = np.mean([results[0].probs for results in confident.values()], axis=0)
    right = (probs.argmax(axis=1) == LABELS)[TEST].mean()
    assert build_table(confident).loc["vote of all", "test_accuracy"] == pytest.approx(right), (
        "an ensemble averages probabilities"
    )


def test_there_is_no_ensemble_of_one_and_no_best_three_of_three() -> None:
    runs = {name: {0: make_result(n, n)} for n, name in enumerate(("cnn", "se", "deeper"))}
    assert list(build_table({"cnn": runs["cnn"]}).index) == ["cnn"]
    assert "vote of the best three" not in build_table(runs).index


def test_there_is_no_single_crop_without_the_plain_view() -> None:
    result = JobResult(make_result(1, 1).probs, None, make_result(1, 1).cost)
    table = build_table({"se": {0: result}})
    assert "test_single_crop" not in table
    assert "single crop" not in standings.format_leaderboard(table.reset_index(), 100, HELD_OUT)


def test_calibration_does_not_depend_on_test_labels() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 2, 3)).astype(np.float32)
    changed = HeldOutFaces(HELD_OUT.rows, np.where(TEST, 0, LABELS), HELD_OUT.sources, TEST, HELD_OUT.twin_in_train)
    np.testing.assert_array_equal(
        standings.calibrate_logits(logits, HELD_OUT, 0), standings.calibrate_logits(logits, changed, 0)
    )


def test_the_markdown_table_is_in_percent() -> None:
    runs = {
        "improved_se": {0: make_result(2, 4), 1: make_result(4, 10)},
        "resnet18": {0: make_result(5, 5), 1: make_result(5, 5)},
    }
    kinds = {"improved_se": FROM_SCRATCH, "resnet18": FROM_IMAGENET}
    table = standings.build_leaderboard(runs, kinds, HELD_OUT, EMOTIONS, 10)
    caption, _, header, rule, first, *_ = standings.format_leaderboard(table, 5000, HELD_OUT).splitlines()
    assert caption.startswith("Trained on 5,000 faces; evaluated on 20 validation and 20 test faces.")
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (header, first)), strict=True))
    assert cells["validation accuracy, %"] == "85.0 ± 7.1"
    assert cells["parameters"] == "1,000"
    assert cells["MACs, millions"] == "2.0"
    assert cells["reported, %"] == "62.3 (FER-2013)"
    assert header.count("|") == rule.count("|") == first.count("|")
