"""Gains of students from the pool: means over seeds, paired differences with intervals, and a verdict per method."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from fer.core.formatting import markdown_table
from fer.evaluation.statistics import compare_correct
from fer.experiments.arms import NO_POOL, TRUE_LABELS

TEACHER = "teacher"


@dataclass(frozen=True)
class MethodResult:
    """Result of one network: which faces of the validation and test folds it predicts correctly."""

    valid: Bool[np.ndarray, " v"]
    test: Bool[np.ndarray, " t"]
    n_pseudo_labels: int  # made before the training; online pseudo-labels do not count
    pseudo_label_precision: float | None  # fraction that is correct; None: no truth is known


def paired_difference(pairs: list[tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]]) -> tuple[float, float, float]:
    """Return the mean difference of accuracy, new − baseline, over the seeds, and the bounds of its 95 % interval.

    The interval is that of `compare_correct`, with a seed as a replica: with several it covers the draw of labels, the
    initial weights and the order of the faces beside the test faces.

    Args:
        pairs: For each seed, whether each face is predicted correctly by the baseline and by the new network.
    """
    change = compare_correct(*(np.stack(rows) for rows in zip(*pairs, strict=True)))
    return change["difference"], change["low"], change["high"]


def compute_gains(results: Mapping[tuple[int | None, int], Mapping[str, MethodResult]]) -> pd.DataFrame:
    """Return a row for each budget and method.

    Accuracies are means over the seeds that have the method, "…_sd" their standard deviations. On the test fold, with
    bounds "…_low" and "…_high", "gain" is the difference to the teacher and "over_no_pool" that to the student without
    the pool. "share_of_true" is the gain divided by that of true labels.

    Args:
        results: The result of each method, by budget and seed.
    """
    rows = []
    for budget in dict.fromkeys(budget for budget, _ in results):
        trials = [by_method for (trial_budget, _), by_method in results.items() if trial_budget == budget]
        for method in dict.fromkeys(name for by_method in trials for name in by_method):
            method_trials = [by_method for by_method in trials if method in by_method]
            method_results = [by_method[method] for by_method in method_trials]
            row: dict[str, Any] = {
                "budget": np.nan if budget is None else float(budget),
                "arm": method,
                "seeds": len(method_results),
                "learnt": np.mean([result.n_pseudo_labels for result in method_results]),
            }
            precisions = [p for p in (result.pseudo_label_precision for result in method_results) if p is not None]
            row["precision"] = np.mean(precisions) if precisions else np.nan
            for fold in ("valid", "test"):
                accuracies = np.array([getattr(result, fold).mean() for result in method_results])
                deviation = accuracies.std(ddof=1) if len(accuracies) > 1 else np.nan
                row |= {f"{fold}_accuracy": accuracies.mean(), f"{fold}_sd": deviation}
            for name, baseline in (("gain", TEACHER), ("over_no_pool", NO_POOL)):
                pairs = [(trial[baseline].test, trial[method].test) for trial in method_trials if baseline in trial]
                if pairs and method != baseline:
                    row |= dict(zip((name, f"{name}_low", f"{name}_high"), paired_difference(pairs), strict=True))
            rows.append(row)
    table = pd.DataFrame(rows)
    is_truth = (table["arm"] == TRUE_LABELS) & (table["learnt"] > 0) & (table["gain"] > 0)
    true_gains = table[is_truth].set_index("budget")["gain"]
    table["share_of_true"] = (table["gain"] / table["budget"].map(true_gains)).mask(table["arm"] == TRUE_LABELS)
    return table


def format_gain_verdict(row: Mapping[Hashable, Any]) -> str:
    """Return one line on a method from its row of `compute_gains`, or an empty string if it has no gain."""
    if np.isnan(row.get("gain", np.nan)):
        return ""
    if row["gain_low"] > 0:
        verdict = "helped"
    elif row["gain_high"] < 0:
        verdict = "hurt"
    else:
        verdict = "made no clear difference"
    share = row.get("share_of_true", np.nan)
    share_text = "" if np.isnan(share) else f", {share:.0%} of the gain of true labels"
    return (
        f"{verdict}: {100 * row['gain']:+.1f} points over the teacher "
        f"({100 * row['gain_low']:+.1f} to {100 * row['gain_high']:+.1f}){share_text}"
    )


def format_gains_table(table: pd.DataFrame) -> str:
    """Return a Markdown table of `compute_gains`, in percent; within a budget, the best on validation comes first."""

    def format_gain(row: Mapping[Hashable, Any], name: str) -> str:
        if np.isnan(row.get(name, np.nan)):
            return ""
        return f"{100 * row[name]:+.1f} ({100 * row[f'{name}_low']:+.1f} to {100 * row[f'{name}_high']:+.1f})"

    def format_accuracy(row: Mapping[Hashable, Any], fold: str) -> str:
        deviation = "" if np.isnan(row[f"{fold}_sd"]) else f" ± {100 * row[f'{fold}_sd']:.1f}"
        return f"{100 * row[f'{fold}_accuracy']:.1f}{deviation}"

    head = ["labels of each emotion", "method", "pseudo-labels", "correct", "validation", "test"]
    head += ["gain over the teacher", "gain over no pool", "share of true labels' gain"]
    rows = []
    for _, students in table.groupby("budget", sort=False, dropna=False):
        for row in students.sort_values("valid_accuracy", ascending=False, kind="stable").to_dict("records"):
            share = row.get("share_of_true", np.nan)
            rows.append(
                [
                    "all" if np.isnan(row["budget"]) else f"{row['budget']:g}",
                    row["arm"].replace("_", " "),
                    f"{row['learnt']:,.0f}",
                    "" if np.isnan(row["precision"]) else f"{100 * row['precision']:.1f}",
                    format_accuracy(row, "valid"),
                    format_accuracy(row, "test"),
                    format_gain(row, "gain"),
                    format_gain(row, "over_no_pool"),
                    "" if np.isnan(share) else f"{share:.0%}",
                ]
            )
    seeds = sorted(set(table["seeds"]))
    summary = f"Mean ± standard deviation over {' or '.join(map(str, seeds))} seeds" if max(seeds) > 1 else "One seed"
    caption = f"{summary}, in percent. Gains are on the test fold, with 95 % intervals."
    return f"{caption}\n\n{markdown_table(head, rows, left_columns=(1,))}\n"


def format_budget(budget: int | float | None) -> str:
    return "all labels" if budget is None or np.isnan(budget) else f"{budget:g} labels of each emotion"
