"""How good predictions and pseudo-labels are, and whether one round is better than another.

A ratio without a denominator is left out, never NaN. Intervals are of 95 %, as {"low", "high"}. No faces give {"n": 0}.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.stats import binomtest, norm

from fer.predictions.confidence import max_confidence

COVERAGE_THRESHOLDS = tuple(step / 100 for step in range(30, 100))
COVERAGE_CURVE_COLUMNS = ("threshold", "coverage", "precision", "low", "high")


def compute_metrics(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], emotions: Sequence[str], bins: int
) -> dict[str, Any]:
    """The figures of one set of labelled faces, as a nested dictionary.

    Macro F1 and balanced accuracy are means over the emotions found in `labels`; ece is the expected calibration error.
    """
    if not len(labels):
        return {"n": 0}
    counts = confusion_matrix(probs, labels)
    right = counts.diagonal()
    present = counts.sum(axis=1) > 0
    f1 = 2 * right[present] / (counts.sum(axis=1) + counts.sum(axis=0))[present]
    return {
        "n": len(labels),
        "accuracy": float(right.sum() / len(labels)),
        "accuracy_interval": wilson_interval(int(right.sum()), len(labels)),
        "macro_f1": float(f1.mean()),
        "balanced_accuracy": float((right[present] / counts.sum(axis=1)[present]).mean()),
        "ece": expected_calibration_error(probs, labels, bins),
        "per_emotion": per_emotion_metrics(counts, emotions),
    }


def confusion_matrix(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]
) -> Int[np.ndarray, "classes classes"]:
    """Number of faces by label (rows) and likeliest emotion (columns)."""
    classes = probs.shape[1]
    return np.bincount(labels * classes + probs.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def per_emotion_metrics(
    counts: Int[np.ndarray, "classes classes"], emotions: Sequence[str]
) -> dict[str, dict[str, float | int]]:
    """Precision, recall, F1 and support (faces with that label) of each emotion, from a confusion matrix."""
    figures: dict[str, dict[str, float | int]] = {}
    for code, emotion in enumerate(emotions):
        right, said, support = int(counts[code, code]), int(counts[:, code].sum()), int(counts[code].sum())
        figures[emotion] = (
            ({"precision": right / said} if said else {})
            | ({"recall": right / support} if support else {})
            | ({"f1": 2 * right / (said + support)} if said + support else {})
            | {"support": support}
        )
    return figures


def reliability_bins(probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], bins: int) -> pd.DataFrame:
    """Mean confidence and accuracy of the faces in each of `bins` equal intervals (low, high] of confidence.

    Columns: low, high, confidence, accuracy, n. A row for each interval that holds a face.
    """
    sure = probs.max(axis=1).astype(np.float64)
    faces = pd.DataFrame(
        {"bin": np.ceil(sure * bins).clip(1, bins), "sure": sure, "right": probs.argmax(axis=1) == labels}
    )
    table = (
        faces.groupby("bin")
        .agg(confidence=("sure", "mean"), accuracy=("right", "mean"), n=("right", "size"))
        .reset_index()
    )
    edges = pd.DataFrame({"low": (table["bin"] - 1) / bins, "high": table["bin"] / bins})
    return pd.concat([edges, table.drop(columns="bin")], axis=1)


def expected_calibration_error(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], bins: int
) -> float:
    """Mean distance of confidence and accuracy over the rows of `reliability`, weighted by faces; for n > 0.

    Guo et al. 2017, arXiv:1706.04599.
    """
    table = reliability_bins(probs, labels, bins)
    return float(np.average((table["confidence"] - table["accuracy"]).abs(), weights=table["n"]))


def wilson_interval(successes: int, n: int) -> dict[str, float]:
    """Wilson's score interval of a proportion, for n > 0."""
    interval = binomtest(successes, n).proportion_ci(method="wilson")
    return {"low": float(interval.low), "high": float(interval.high)}


def compare_accuracy(
    before_right: Bool[np.ndarray, " n"], after_right: Bool[np.ndarray, " n"]
) -> dict[str, float | int]:
    """Difference of accuracy (after - before) on the same faces, with its interval and McNemar's exact p-value.

    `gained` faces became right and `lost` ones wrong. The interval is Wald's with half a face added to each of the four
    cells (Agresti & Min 2005, doi:10.1002/sim.1781).
    """
    n = len(before_right)
    if not n:
        return {"n": 0}
    gained = int((~before_right & after_right).sum())
    lost = int((before_right & ~after_right).sum())
    centre = (gained - lost) / (n + 2)
    half = float(norm.ppf(0.975)) * np.sqrt((gained + lost + 1) / (n + 2) ** 2 - centre**2 / (n + 2))
    return {
        "n": n,
        "difference": (gained - lost) / n,
        "low": float(max(centre - half, -1)),
        "high": float(min(centre + half, 1)),
        "p_value": float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
        "gained": gained,
        "lost": lost,
    }


def summarize_gain(comparison: Mapping[str, float | int]) -> str:
    """One sentence on what `compare` found: did the pseudo-labels help? Nothing is clear if the interval holds 0."""
    if not comparison["n"]:
        return "No verdict: there are no test faces to compare the rounds on."
    difference, low, high = (f"{100 * comparison[key]:+.1f}" for key in ("difference", "low", "high"))
    if comparison["low"] > 0:
        found = "The pseudo-labels helped"
    elif comparison["high"] < 0:
        found = "The pseudo-labels hurt"
    else:
        found = "The pseudo-labels made no clear difference"
    return (
        f"{found}: test accuracy changed by {difference} points (95 % interval {low} to {high}; "
        f"{comparison['gained']} faces gained, {comparison['lost']} lost of {comparison['n']}; "
        f"McNemar's p = {comparison['p_value']:.2g})."
    )


def audit_pseudo_labels(
    probs: Float[np.ndarray, "n classes"],
    accepted: Bool[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    emotions: Sequence[str],
) -> dict[str, Any]:
    """Coverage of the pseudo-labels and, on faces whose `truth` is known (not -1), their precision.

    The arrays are those of the pool alone. `n` counts its faces, `known` the accepted ones with a known truth, which
    precision is of. An emotion's `n` and coverage are of the faces that the teachers take for it.
    """
    predicted = probs.argmax(axis=1)

    def figures(mask: Bool[np.ndarray, " n"]) -> dict[str, Any]:
        n, taken = int(mask.sum()), mask & accepted
        right = (predicted == truth)[taken & (truth >= 0)]
        return (
            {"n": n, "accepted": int(taken.sum()), "known": len(right)}
            | ({"coverage": float(taken.sum() / n)} if n else {})
            | (
                {"precision": float(right.mean()), "precision_interval": wilson_interval(int(right.sum()), len(right))}
                if len(right)
                else {}
            )
        )

    if not len(probs):
        return {"n": 0}
    each = {emotion: figures(predicted == code) for code, emotion in enumerate(emotions)}
    return figures(np.ones(len(probs), dtype=bool)) | {"per_emotion": each}


def coverage_curve(probs: Float[np.ndarray, "n classes"], truth: Int[np.ndarray, " n"]) -> pd.DataFrame:
    """What one threshold for all emotions would accept of the pool, and its precision where `truth` is known (not -1).

    Columns: threshold, coverage, precision, low, high (its interval). The last three are missing where no accepted face
    has a known truth. No rows for an empty pool.
    """
    sure, right = max_confidence(probs), probs.argmax(axis=1) == truth
    rows: list[dict[str, float]] = []
    for threshold in COVERAGE_THRESHOLDS if len(probs) else ():
        taken = sure >= threshold
        known = right[taken & (truth >= 0)]
        row = {"threshold": threshold, "coverage": float(taken.mean())}
        if len(known):
            row |= {"precision": float(known.mean())} | wilson_interval(int(known.sum()), len(known))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COVERAGE_CURVE_COLUMNS))
