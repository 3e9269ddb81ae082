"""The results of `fer benchmark ssl` as text: a Markdown table of the gains, and a line for each result and verdict."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from fer.core.formatting import markdown_table
from fer.experiments.arms import TRUE_LABELS
from fer.experiments.gains import BASELINES, GAIN_METRICS, MIN_SEEDS, TEACHER, MethodResult


def format_result(name: str, result: MethodResult, labels: Mapping[str, Int[np.ndarray, " _"]]) -> str:
    """Return one line on a result: accuracy on both folds, and the pseudo-labels."""
    valid, test = ((getattr(result, fold) == labels[fold]).mean() for fold in ("valid", "test"))
    precision = result.pseudo_label_precision
    correct = "" if precision is None else f", {precision:.1%} of them correct"
    pool = f"; {result.n_pseudo_labels} pool faces{correct}" if result.n_pseudo_labels else ""
    return f"{name}: {valid:.1%} on validation faces, {test:.1%} on test faces{pool}"


def format_gain_verdict(row: Mapping[Hashable, Any]) -> str:
    """Return one line on a method from its row of `compute_gains`, or an empty string for a baseline."""
    if row["arm"] in BASELINES or np.isnan(row["gain_accuracy"]):
        return ""
    if np.isnan(row["gain_accuracy_low"]):
        verdict = f"no verdict from fewer than {MIN_SEEDS} seeds"
    elif row["gain_accuracy_low"] > 0:
        verdict = "helped"
    elif row["gain_accuracy_high"] < 0:
        verdict = "hurt"
    else:
        verdict = "made no clear difference"
    share = row["share_of_oracle"]
    share_text = "" if np.isnan(share) else f", {share:.0%} of the gain of true labels"
    accuracy, macro_f1 = _format_gain(row, "accuracy"), _format_gain(row, "macro_f1")
    baseline = format_method(row["baseline"])
    return f"{verdict}: {accuracy} points over {baseline}, the best baseline{share_text}; macro F1 {macro_f1}"


def format_gains_table(table: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """Return a Markdown table of `compute_gains`, in percent, and `notes`; the best on validation comes first."""

    def format_metric(row: Mapping[Hashable, Any], name: str) -> str:
        deviation = "" if np.isnan(row[f"{name}_sd"]) else f" ± {100 * row[f'{name}_sd']:.1f}"
        return f"{100 * row[name]:.1f}{deviation}"

    head = ["labels per emotion", "method", "pseudo-labels", "correct", "validation", "test", "macro F1"]
    head += ["worst emotion's recall", "gain in accuracy", "gain in macro F1", "share of the oracle's gain"]
    rows = []
    for _, methods in table.groupby("budget", sort=False, dropna=False):
        for row in methods.sort_values("valid_accuracy", ascending=False, kind="stable").to_dict("records"):
            is_baseline = row["arm"] == row["baseline"]
            rows.append(
                [
                    "all" if np.isnan(row["budget"]) else f"{row['budget']:g}",
                    format_method(row["arm"]),
                    f"{row['learnt']:,.0f}",
                    "" if np.isnan(row["precision"]) else f"{100 * row['precision']:.1f}",
                    format_metric(row, "valid_accuracy"),
                    *(format_metric(row, f"test_{name}") for name in GAIN_METRICS),
                    *("best baseline" if is_baseline else _format_gain(row, name) for name in GAIN_METRICS[:2]),
                    "" if np.isnan(row["share_of_oracle"]) else f"{row['share_of_oracle']:.0%}",
                ]
            )
    seeds = sorted(set(table["seeds"]))
    summary = f"Mean ± standard deviation over {' or '.join(map(str, seeds))} seeds" if max(seeds) > 1 else "One seed"
    by_budget = table.drop_duplicates("budget").to_dict("records")
    baselines = [f"{format_method(row['baseline'])} ({format_budget(row['budget'])})" for row in by_budget]
    if table["baseline"].nunique() == 1:
        baselines = [format_method(table["baseline"].iloc[0])]
    intervals = ", with 95 % intervals" if table["gain_accuracy_low"].notna().any() else ""
    caption = (
        f"{summary}, in percent. Validation is accuracy; test, macro F1 and recall are of the test fold. Gains are "
        f"points on the test fold{intervals}, over the best baseline on validation: {'; '.join(baselines)}."
    )
    paragraphs = [caption, markdown_table(head, rows, left_columns=(1,)), *notes, *_format_training_sd(table)]
    return "\n\n".join(paragraphs) + "\n"


def format_method(method: str) -> str:
    return "true labels (oracle)" if method == TRUE_LABELS else method.replace("_", " ")


def format_budget(budget: int | float | None) -> str:
    return "all labels" if budget is None or np.isnan(budget) else f"{budget:g} labels per emotion"


def _format_gain(row: Mapping[Hashable, Any], name: str) -> str:
    gain, low, high = (100 * row[f"gain_{name}{end}"] for end in ("", "_low", "_high"))
    if np.isnan(gain):
        return ""
    return f"{gain:+.1f}" if np.isnan(low) else f"{gain:+.1f} ({low:+.1f} to {high:+.1f})"


def _format_training_sd(table: pd.DataFrame) -> list[str]:
    """Return the sentence on the standard deviations of training, if any is known."""
    teachers = table[table["arm"] == TEACHER].dropna(subset="training_sd").to_dict("records")
    values = "; ".join(f"{100 * row['training_sd']:.1f} ({format_budget(row['budget'])})" for row in teachers)
    text = "Standard deviation of test accuracy over teachers that differ only in initial weights and order, in points"
    return [f"{text}: {values}."] if values else []
