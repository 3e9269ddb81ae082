"""The table of `fer compare`: means over seeds, votes, their order, and how it is written."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from fer.evaluation.evaluate import HeldOutFaces
from fer.experiments import standings
from fer.experiments.standings import ENSEMBLE_KIND, FROM_IMAGENET, FROM_SCRATCH, Cost, JobResult

EMOTIONS = ("angry", "happy", "sad")
LABELS = np.tile([0, 1, 2, 0], 10)
TEST = np.arange(40) >= 20
FACES = HeldOutFaces(np.arange(40), LABELS, np.full(40, "made_up", dtype=object), TEST, np.zeros(40, dtype=bool))


def run(wrong_valid: int, wrong_test: int, sure: float = 0.8, pace: float = 100.0) -> JobResult:
    """A run that takes so many faces of each fold, the first ones, for the emotion after theirs."""
    said = LABELS.copy()
    for start, wrong in ((0, wrong_valid), (20, wrong_test)):
        said[start : start + wrong] = (said[start : start + wrong] + 1) % 3
    probs = np.full((40, 3), (1 - sure) / 2, dtype=np.float32)
    probs[np.arange(40), said] = sure
    return JobResult(probs, probs, Cost(parameters=1000, macs=2_000_000, steps=30, train_faces_per_second=pace))


def compared(runs: Mapping[str, Mapping[int, JobResult]]) -> pd.DataFrame:
    kinds = dict.fromkeys(runs, FROM_SCRATCH)
    return standings.build_leaderboard(runs, kinds, FACES, EMOTIONS, 10).set_index("network")


def test_figures_are_means_over_the_seeds_with_the_samples_deviation() -> None:
    row = compared({"se": {0: run(2, 4), 1: run(4, 10)}}).loc["se"]
    assert row["valid_accuracy"] == pytest.approx(0.85)
    assert row["test_accuracy"] == row["test_single_crop"] == pytest.approx(0.65)
    assert row["test_accuracy_sd"] == pytest.approx(0.3 / np.sqrt(2))
    assert row["test_ece"] == pytest.approx((0 + 0.3) / 2)
    assert row["seeds"] == 2


def test_one_seed_has_no_deviation() -> None:
    table = compared({"se": {7: run(2, 4)}})
    assert table.filter(like="_sd").isna().all(axis=None)
    assert "±" not in standings.format_leaderboard(table.reset_index(), 100, FACES).split("\n", 2)[2]


def test_rows_are_in_the_order_of_validation_and_whatever_the_test_fold_says() -> None:
    table = compared({"cnn": {0: run(9, 0)}, "se": {0: run(1, 18)}, "deeper": {0: run(5, 5)}})
    assert [name for name in table.index if "vote" not in name] == ["se", "deeper", "cnn"]


def test_the_best_three_are_those_of_validation_and_a_vote_is_of_each_seed() -> None:
    runs = {
        "cnn": {0: run(20, 0), 1: run(20, 0)},
        "se": {0: run(1, 6), 1: run(2, 6)},
        "deeper": {0: run(2, 6), 1: run(2, 6)},
        "shallow": {0: run(3, 9), 1: run(3, 20)},
    }
    table = compared(runs)
    assert table.loc["vote of the best three", "voters"] == "se deeper shallow"
    assert table.loc["vote of all", "voters"] == "se deeper shallow cnn"
    best = table.loc["vote of the best three"]
    assert best["test_accuracy"] == pytest.approx(0.7), "two outvote the third"
    assert best["kind"] == ENSEMBLE_KIND
    assert (best["parameters"], best["macs"], best["steps"]) == (3000, 6_000_000, 90)
    assert best["train_faces_per_second"] == pytest.approx(100 / 3)
    sure = runs | {"cnn": {seed: run(20, 0, sure=0.999) for seed in (0, 1)}, "shallow": runs["deeper"]}
    probs = np.mean([run_[0].probs for run_ in sure.values()], axis=0)
    right = (probs.argmax(axis=1) == LABELS)[TEST].mean()
    assert compared(sure).loc["vote of all", "test_accuracy"] == pytest.approx(right), "the mean of probabilities"


def test_there_is_no_vote_of_one_and_no_best_three_of_three() -> None:
    runs = {name: {0: run(n, n)} for n, name in enumerate(("cnn", "se", "deeper"))}
    assert list(compared({"cnn": runs["cnn"]}).index) == ["cnn"]
    assert "vote of the best three" not in compared(runs).index


def test_without_the_plain_view_there_is_no_single_crop() -> None:
    bare = JobResult(run(1, 1).probs, None, run(1, 1).cost)
    table = compared({"se": {0: bare}})
    assert "test_single_crop" not in table
    assert "single crop" not in standings.format_leaderboard(table.reset_index(), 100, FACES)


def test_calibration_reads_no_label_of_the_test_fold() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 2, 3)).astype(np.float32)
    other = HeldOutFaces(FACES.rows, np.where(TEST, 0, LABELS), FACES.sources, TEST, FACES.twin_in_train)
    np.testing.assert_array_equal(
        standings.calibrate_logits(logits, FACES, 0), standings.calibrate_logits(logits, other, 0)
    )


def test_the_markdown_has_the_numbers_as_they_are_read() -> None:
    runs = {"improved_se": {0: run(2, 4), 1: run(4, 10)}, "resnet18": {0: run(5, 5), 1: run(5, 5)}}
    kinds = {"improved_se": FROM_SCRATCH, "resnet18": FROM_IMAGENET}
    table = standings.build_leaderboard(runs, kinds, FACES, EMOTIONS, 10)
    caption, _, header, rule, first, *_ = standings.format_leaderboard(table, 5000, FACES).splitlines()
    assert caption.startswith("Trained on 5,000 faces; measured on 20 validation and 20 test faces.")
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (header, first)), strict=True))
    assert cells["validation accuracy, %"] == "85.0 ± 7.1"
    assert cells["parameters"] == "1,000"
    assert cells["MACs, millions"] == "2.0"
    assert cells["its report, %"] == "62.3 (FER-2013)"
    assert header.count("|") == rule.count("|") == first.count("|")
