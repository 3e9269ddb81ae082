"""What students gained of the pool: means over seeds, paired differences with intervals, and a verdict for each arm."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from scipy.stats import t as student_t

from fer.core.formatting import markdown_table
from fer.experiments.arms import NO_POOL, TRUE_LABELS
from fer.predictions import metrics

TEACHER = "teacher"


@dataclass(frozen=True)
class MethodResult:
    """How one network does: which faces it takes for what they are, in the order of the folds."""

    valid: Bool[np.ndarray, " v"]
    test: Bool[np.ndarray, " t"]
    n_pseudo_labels: int  # faces of the pool that it was given, once and for all
    pseudo_label_precision: (
        float | None
    )  # the share of those that were rightly labelled; None where nothing is known of it


def paired_difference(pairs: list[tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]]) -> tuple[float, float, float]:
    """Mean difference of accuracy, after − before, over the (before, after) of each seed, and its 95 % interval.

    Over several seeds Student's t of the seeds' differences, which holds what the draw of labels, the weights and the
    order of the faces make; with one seed Wald's on the faces, as in `metrics.compare`.
    """
    if len(pairs) == 1:
        found = metrics.compare_accuracy(*pairs[0])
        return float(found["difference"]), float(found["low"]), float(found["high"])
    each = np.array([after.mean() - before.mean() for before, after in pairs])
    half = student_t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / np.sqrt(len(each))
    return float(each.mean()), float(each.mean() - half), float(each.mean() + half)


def compute_gains(outcomes: Mapping[tuple[int | None, int], Mapping[str, MethodResult]]) -> pd.DataFrame:
    """A row for each budget and arm, over the seeds that have it; `outcomes` are by budget and seed, then by arm.

    Accuracies are means over seeds, "…_sd" their standard deviations; "gain" is against the teacher, "over_no_pool"
    against the student that was trained as long without the pool, both on the test fold with "…_low" and "…_high";
    "share_of_true" is the gain over that of the true labels.
    """
    rows = []
    for budget in dict.fromkeys(budget for budget, _ in outcomes):
        seeds = {seed: arms for (of, seed), arms in outcomes.items() if of == budget}
        for arm in dict.fromkeys(name for arms in seeds.values() for name in arms):
            done = {seed: arms for seed, arms in seeds.items() if arm in arms}
            own = [arms[arm] for arms in done.values()]
            row: dict[str, Any] = {
                "budget": np.nan if budget is None else float(budget),
                "arm": arm,
                "seeds": len(own),
                "learnt": np.mean([one.n_pseudo_labels for one in own]),
            }
            known = [one.pseudo_label_precision for one in own if one.pseudo_label_precision is not None]
            row["precision"] = np.mean(known) if known else np.nan
            for fold in ("valid", "test"):
                each = np.array([getattr(one, fold).mean() for one in own])
                row |= {f"{fold}_accuracy": each.mean(), f"{fold}_sd": each.std(ddof=1) if len(each) > 1 else np.nan}
            for name, other in (("gain", TEACHER), ("over_no_pool", NO_POOL)):
                pairs = [(arms[other].test, arms[arm].test) for arms in done.values() if other in arms]
                if pairs and arm != other:
                    row |= dict(zip((name, f"{name}_low", f"{name}_high"), paired_difference(pairs), strict=True))
            with_true = {
                seed: arms
                for seed, arms in done.items()
                if TEACHER in arms and TRUE_LABELS in arms and arms[TRUE_LABELS].n_pseudo_labels
            }
            if with_true and arm not in (TEACHER, TRUE_LABELS):
                gained, could = (
                    np.mean([arms[name].test.mean() - arms[TEACHER].test.mean() for arms in with_true.values()])
                    for name in (arm, TRUE_LABELS)
                )
                row["share_of_true"] = gained / could if could > 0 else np.nan
            rows.append(row)
    return pd.DataFrame(rows)


def format_gain_verdict(row: Mapping[Hashable, Any]) -> str:
    """One line on an arm, from its row of `gains`."""
    if np.isnan(row.get("gain", np.nan)):
        return ""
    if row["gain_low"] > 0:
        found = "helped"
    elif row["gain_high"] < 0:
        found = "hurt"
    else:
        found = "made no clear difference"
    share = row.get("share_of_true", np.nan)
    of_true = "" if np.isnan(share) else f", {share:.0%} of what true labels gain"
    return (
        f"{found}: {100 * row['gain']:+.1f} points over the teacher "
        f"({100 * row['gain_low']:+.1f} to {100 * row['gain_high']:+.1f}){of_true}"
    )


def format_gains_table(table: pd.DataFrame) -> str:
    """`gains` for a README, in percent and points; the arms of a budget in the order of the validation accuracy."""

    def points(row: Mapping[Hashable, Any], name: str) -> str:
        if np.isnan(row.get(name, np.nan)):
            return ""
        return f"{100 * row[name]:+.1f} ({100 * row[f'{name}_low']:+.1f} to {100 * row[f'{name}_high']:+.1f})"

    def percent(row: Mapping[Hashable, Any], fold: str) -> str:
        deviation = "" if np.isnan(row[f"{fold}_sd"]) else f" ± {100 * row[f'{fold}_sd']:.1f}"
        return f"{100 * row[f'{fold}_accuracy']:.1f}{deviation}"

    head = ["labels of each emotion", "learns of the pool by", "faces", "of them right", "validation", "test"]
    head += ["over the teacher", "over no pool", "of what true labels gain"]
    rows = []
    for _, arms in table.groupby("budget", sort=False, dropna=False):
        for row in arms.sort_values("valid_accuracy", ascending=False, kind="stable").to_dict("records"):
            share = row.get("share_of_true", np.nan)
            rows.append(
                [
                    "all" if np.isnan(row["budget"]) else f"{row['budget']:g}",
                    row["arm"].replace("_", " "),
                    f"{row['learnt']:,.0f}",
                    "" if np.isnan(row["precision"]) else f"{100 * row['precision']:.1f}",
                    percent(row, "valid"),
                    percent(row, "test"),
                    points(row, "gain"),
                    points(row, "over_no_pool"),
                    "" if np.isnan(share) else f"{share:.0%}",
                ]
            )
    seeds = sorted(set(table["seeds"]))
    over = f"Mean ± standard deviation over {' or '.join(map(str, seeds))} seeds" if max(seeds) > 1 else "One seed"
    caption = f"{over}; gains are of the test fold, with 95 % intervals."
    return f"{caption}\n\n{markdown_table(head, rows, left_columns=(1,))}\n"


def format_budget(budget: int | float | None) -> str:
    return "all labels" if budget is None or np.isnan(budget) else f"{budget:g} labels of each emotion"
