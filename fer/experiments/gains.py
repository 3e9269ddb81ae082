"""Gains of `fer benchmark ssl` over the best baseline: means over seeds with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import t as student_t

from fer.experiments.arms import NO_POOL, RANDOM_LABELS, TRUE_LABELS
from fer.predictions.metrics import NORMAL_QUANTILE

TEACHER, TEACHER_CORRECTED = "teacher", "teacher_corrected"
VOTE, VOTE_CORRECTED = "vote", "vote_corrected"
BASELINES = (TEACHER, TEACHER_CORRECTED, VOTE, VOTE_CORRECTED, NO_POOL)
GAIN_METRICS = ("accuracy", "macro_f1", "worst_recall")
MIN_SEEDS = 3  # with two seeds, the quantile of Student's t is 12.7
N_RESAMPLES = 400  # the standard deviation of 400 draws is within 7 % of its value


@dataclass(frozen=True)
class MethodResult:
    """The emotions that the networks of a method predict for the faces of the validation and test folds."""

    valid: Int[np.ndarray, "networks v"]  # one network for each replica of the teacher, otherwise one
    test: Int[np.ndarray, "networks t"]
    n_pseudo_labels: int  # made before the training; online pseudo-labels do not count
    pseudo_label_precision: float | None  # fraction that is correct; None: no truth is known


def measure_predictions(
    predicted: Int[np.ndarray, "networks n"],
    labels: Int[np.ndarray, " n"],
    emotions: Sequence[str],
    counts: Float[np.ndarray, "samples n"],
) -> dict[str, Float[np.ndarray, " samples"]]:
    """Return `GAIN_METRICS` and "recall_…" of each emotion for each row of `counts`, as means over the networks.

    Emotions without a face have no recall (NaN) and do not count for macro F1 and the worst emotion's recall.

    Args:
        counts: How often each face occurs: 1 for the fold as it is, other numbers for a resampled one.
    """
    classes = len(emotions)
    cells = np.eye(classes**2, dtype=np.float32)[labels * classes + predicted]
    confusion = np.asarray(counts @ cells, dtype=np.float64).reshape(len(predicted), -1, classes, classes)
    correct, support = confusion.diagonal(axis1=2, axis2=3), confusion.sum(axis=3)
    with np.errstate(invalid="ignore"):
        recall, f1 = correct / support, 2 * correct / (support + confusion.sum(axis=2))
    values = {
        "accuracy": correct.sum(axis=2) / support.sum(axis=2),
        "macro_f1": np.nanmean(np.where(support > 0, f1, np.nan), axis=2),
        "worst_recall": np.nanmin(recall, axis=2),
    }
    values |= {f"recall_{emotion}": recall[:, :, code] for code, emotion in enumerate(emotions)}
    return {name: by_network.mean(axis=0) for name, by_network in values.items()}


def estimate_gain(
    differences: Float[np.ndarray, " seeds"], resampled: Float[np.ndarray, " samples"]
) -> tuple[float, float, float]:
    """Return the mean of `differences` and the bounds of its 95 % interval, NaN with fewer than `MIN_SEEDS` seeds.

    The half width joins two parts, as the root of the sum of their squares. Student's t on the differences covers what
    changes with the seed: the draw of the labels, the initial weights and the order of the faces. All seeds share one
    test fold; the normal quantile times the standard deviation of `resampled` covers its draw.

    Args:
        differences: Differences of a metric on the test fold, method − baseline, each pair of one seed.
        resampled: Means of these differences over the seeds, on test faces drawn with replacement.
    """
    mean, n = float(differences.mean()), len(differences)
    if n < MIN_SEEDS:
        return mean, np.nan, np.nan
    of_seeds = student_t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    half_width = float(np.hypot(of_seeds, NORMAL_QUANTILE * resampled.std()))
    return mean, mean - half_width, mean + half_width


def compute_gains(
    results: Mapping[tuple[int | None, int], Mapping[str, MethodResult]],
    labels: Mapping[str, Int[np.ndarray, " _"]],
    emotions: Sequence[str],
) -> pd.DataFrame:
    """Return a row for each budget and method.

    Metrics are means over the seeds that have the method, "…_sd" their standard deviations. "gain_…" is the difference
    to "baseline" on the test fold, with the bounds "…_low" and "…_high". The baseline is the one of `BASELINES` with
    the highest mean accuracy on the validation fold. "share_of_oracle" is the gain of accuracy divided by that of true
    labels. "training_sd" is the standard deviation of test accuracy over a method's networks in one trial.

    Args:
        results: The result of each method, by budget and seed.
        labels: The labels of the folds "valid" and "test".
    """
    n_test = len(labels["test"])
    draws = np.random.default_rng(0).multinomial(n_test, np.full(n_test, 1 / n_test), N_RESAMPLES)
    counts = {
        "valid": np.ones((1, len(labels["valid"])), dtype=np.float32),
        "test": np.concatenate([np.ones((1, n_test)), draws]).astype(np.float32),  # first the fold as it is
    }
    rows = []
    for budget in dict.fromkeys(budget for budget, _ in results):
        trials = {seed: by_method for (trial_budget, seed), by_method in results.items() if trial_budget == budget}
        measured = {
            (method, seed): {
                fold: measure_predictions(getattr(result, fold), labels[fold], emotions, counts[fold])
                for fold in counts
            }
            for seed, by_method in trials.items()
            for method, result in by_method.items()
        }
        budget_rows: list[dict[str, Any]] = [
            {"budget": np.nan if budget is None else float(budget), "arm": method}
            | _average_metrics([measured[key] for key in measured if key[0] == method])
            | _describe_trainings([trials[seed][method] for name, seed in measured if name == method], labels["test"])
            for method in dict.fromkeys(method for method, _ in measured)
        ]
        candidates = [row for row in budget_rows if row["arm"] in BASELINES]
        baseline = max(candidates, key=lambda row: row["valid_accuracy"])["arm"]
        for row in budget_rows:
            pairs = [
                (measured[row["arm"], seed]["test"], measured[baseline, seed]["test"])
                for seed in trials
                if {row["arm"], baseline} <= trials[seed].keys()
            ]
            row |= {"baseline": baseline} | _estimate_gains(pairs if row["arm"] != baseline else [])
        rows += budget_rows
    table = pd.DataFrame(rows)
    oracle = table[(table["arm"] == TRUE_LABELS) & (table["gain_accuracy"] > 0)].set_index("budget")["gain_accuracy"]
    share = table["gain_accuracy"] / table["budget"].map(oracle)
    table["share_of_oracle"] = share.mask(table["arm"].isin((TRUE_LABELS, RANDOM_LABELS, *BASELINES)))
    return table


def _average_metrics(by_seed: Sequence[Mapping[str, Mapping[str, np.ndarray]]]) -> dict[str, Any]:
    """Return the means over the seeds of the metrics of both folds, and the standard deviations of `GAIN_METRICS`."""
    row: dict[str, Any] = {"seeds": len(by_seed)}
    for fold, metrics in by_seed[0].items():
        for name in metrics:
            values = np.array([measured[fold][name][0] for measured in by_seed])
            row[f"{fold}_{name}"] = values.mean()
            if name in GAIN_METRICS:
                row[f"{fold}_{name}_sd"] = values.std(ddof=1) if len(values) > 1 else np.nan
    return row


def _estimate_gains(
    pairs: Sequence[tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]],
) -> dict[str, float]:
    """Return the gain in each of `GAIN_METRICS` and its bounds, from pairs of measured (method, baseline) by seed."""
    row: dict[str, float] = {}
    for name in GAIN_METRICS:
        differences = np.array([method[name] - baseline[name] for method, baseline in pairs])
        estimate = estimate_gain(differences[:, 0], differences[:, 1:].mean(axis=0)) if pairs else (np.nan,) * 3
        row |= {f"gain_{name}{end}": value for end, value in zip(("", "_low", "_high"), estimate, strict=True)}
    return row


def _describe_trainings(results: Sequence[MethodResult], labels: Int[np.ndarray, " t"]) -> dict[str, float]:
    precisions = [p for p in (result.pseudo_label_precision for result in results) if p is not None]
    accuracies = np.array([(result.test == labels).mean(axis=1) for result in results])
    is_replicated = accuracies.shape[1] > 1
    return {
        "learnt": float(np.mean([result.n_pseudo_labels for result in results])),
        "precision": float(np.mean(precisions)) if precisions else np.nan,
        "training_sd": float(np.sqrt(accuracies.var(axis=1, ddof=1).mean())) if is_replicated else np.nan,
    }
