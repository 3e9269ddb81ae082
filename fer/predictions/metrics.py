"""Metrics of predictions and pseudo-labels.

A ratio with denominator 0 is left out, never NaN. Intervals have 95 % and the form {"low", "high"}. The metrics of no
faces are {"n": 0}.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fer.predictions.confidence import max_confidence

NORMAL_QUANTILE = 1.959963984540054  # of 0.975, for intervals with 95 %
COVERAGE_THRESHOLDS = tuple(step / 100 for step in range(30, 100))
COVERAGE_CURVE_COLUMNS = ("threshold", "coverage", "precision", "low", "high")


def compute_metrics(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], emotions: Sequence[str], bins: int
) -> dict[str, Any]:
    """Return the metrics of labelled faces, as a nested dictionary.

    Macro F1 and balanced accuracy are means over the emotions that occur in `labels`. "ece" is the expected calibration
    error with `bins` bins.
    """
    if not len(labels):
        return {"n": 0}
    counts = confusion_matrix(probs, labels)
    correct = counts.diagonal()
    present = counts.sum(axis=1) > 0
    f1 = 2 * correct[present] / (counts.sum(axis=1) + counts.sum(axis=0))[present]
    return {
        "n": len(labels),
        "accuracy": float(correct.sum() / len(labels)),
        "accuracy_interval": wilson_interval(int(correct.sum()), len(labels)),
        "macro_f1": float(f1.mean()),
        "balanced_accuracy": float((correct[present] / counts.sum(axis=1)[present]).mean()),
        "ece": expected_calibration_error(probs, labels, bins),
        "per_emotion": per_emotion_metrics(counts, emotions),
    }


def confusion_matrix(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]
) -> Int[np.ndarray, "classes classes"]:
    """Return the number of faces by label (rows) and predicted emotion (columns)."""
    classes = probs.shape[1]
    return np.bincount(labels * classes + probs.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def per_emotion_metrics(
    counts: Int[np.ndarray, "classes classes"], emotions: Sequence[str]
) -> dict[str, dict[str, float | int]]:
    """Return precision, recall, F1 and support (the number of labels) of each emotion, from a confusion matrix."""
    per_emotion = {}
    for code, emotion in enumerate(emotions):
        correct, predicted, support = int(counts[code, code]), int(counts[:, code].sum()), int(counts[code].sum())
        ratios = (
            ("precision", correct, predicted),
            ("recall", correct, support),
            ("f1", 2 * correct, predicted + support),
        )
        per_emotion[emotion] = {name: part / total for name, part, total in ratios if total} | {"support": support}
    return per_emotion


def reliability_bins(probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], bins: int) -> pd.DataFrame:
    """Return mean confidence and accuracy in each of `bins` equal intervals (low, high] of confidence.

    Columns: low, high, confidence, accuracy, n. Intervals without a face have no row.
    """
    confidence = probs.max(axis=1).astype(np.float64)
    bin_index = np.ceil(confidence * bins).clip(1, bins)
    faces = pd.DataFrame({"bin": bin_index, "confidence": confidence, "correct": probs.argmax(axis=1) == labels})
    groups = faces.groupby("bin")
    table = groups.agg(confidence=("confidence", "mean"), accuracy=("correct", "mean"), n=("correct", "size"))
    edges = pd.DataFrame({"low": (table.index - 1) / bins, "high": table.index / bins})
    return pd.concat([edges, table.reset_index(drop=True)], axis=1)


def expected_calibration_error(
    probs: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], bins: int
) -> float:
    """Return the mean |confidence - accuracy| of `reliability_bins`, weighted by faces (Guo et al. 2017).

    `labels` must not be empty.
    """
    table = reliability_bins(probs, labels, bins)
    return float(np.average((table["confidence"] - table["accuracy"]).abs(), weights=table["n"]))


def wilson_interval(successes: int, n: int) -> dict[str, float]:
    """Return the Wilson score interval of a proportion; `n` must be positive."""
    share, square = successes / n, NORMAL_QUANTILE**2
    centre = (2 * n * share + square) / (2 * (n + square))
    half = NORMAL_QUANTILE / (2 * (n + square)) * math.sqrt(4 * n * share * (1 - share) + square)
    return {"low": centre - half if successes else 0.0, "high": centre + half if successes < n else 1.0}


def audit_pseudo_labels(
    probs: Float[np.ndarray, "n classes"],
    accepted: Bool[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    emotions: Sequence[str],
) -> dict[str, Any]:
    """Return the coverage of the pseudo-labels and their precision, overall and by predicted emotion.

    The arrays hold the pool only. Precision is measured on the "known" faces: those accepted whose `truth` is not -1.
    """
    predicted = probs.argmax(axis=1)

    def audit(mask: Bool[np.ndarray, " n"]) -> dict[str, Any]:
        correct = (predicted == truth)[mask & accepted & (truth >= 0)]
        result: dict[str, Any] = {"n": int(mask.sum()), "accepted": int((mask & accepted).sum()), "known": len(correct)}
        if result["n"]:
            result["coverage"] = result["accepted"] / result["n"]
        if len(correct):
            result["precision"] = float(correct.mean())
            result["precision_interval"] = wilson_interval(int(correct.sum()), len(correct))
        return result

    if not len(probs):
        return {"n": 0}
    per_emotion = {emotion: audit(predicted == code) for code, emotion in enumerate(emotions)}
    return audit(np.ones(len(probs), dtype=bool)) | {"per_emotion": per_emotion}


def coverage_curve(probs: Float[np.ndarray, "n classes"], truth: Int[np.ndarray, " n"]) -> pd.DataFrame:
    """Return coverage and precision of the pool at each of `COVERAGE_THRESHOLDS`, one threshold for all emotions.

    Columns: threshold, coverage, precision, low, high (its interval). The last three are missing where no accepted face
    has a known `truth` (not -1). An empty pool has no rows.
    """
    confidence, is_correct = max_confidence(probs), probs.argmax(axis=1) == truth
    rows: list[dict[str, float]] = []
    for threshold in COVERAGE_THRESHOLDS if len(probs) else ():
        accepted = confidence >= threshold
        correct = is_correct[accepted & (truth >= 0)]
        row = {"threshold": threshold, "coverage": float(accepted.mean())}
        if len(correct):
            row |= {"precision": float(correct.mean())} | wilson_interval(int(correct.sum()), len(correct))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COVERAGE_CURVE_COLUMNS))
