"""Estimate the precision of pseudo-labels from the validation faces, and measure how unlike validation the pool is.

The estimate is valid as far as the pool's images and its distribution of emotions are like those of validation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import ks_2samp

from fer.predictions.confidence import class_prior
from fer.predictions.metrics import wilson_interval
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import Selection

# Measured on pools made from FER-2013's test faces by blur, noise, darkening, other crops and rotation, with a
# threshold of 0.5: below a statistic of 0.1 the estimate was at most 3.4 points off, above it 4 to 43. Without a shift
# the statistic rarely reaches 0.1 with 400 validation faces but often with 50, so the p-value decides as well.
SHIFT_STATISTIC = 0.1
SHIFT_P_VALUE = 0.001


def estimate_precision(
    evidence: Evidence, selection: Selection, thresholds: Float[np.ndarray, " classes"], emotions: Sequence[str]
) -> dict[str, Any]:
    """Return the precision of the validation faces that `thresholds` and agreement would accept, by emotion and in all.

    The overall precision weights the emotions by their accepted faces of the pool. Its interval follows Zou & Donner
    2008, doi:10.1002/sim.3095, from Wilson's intervals of the emotions. An emotion without such a validation face has
    no estimate; `share_without_estimate` is the share of accepted faces with such an emotion.
    """
    predicted = evidence.predicted
    is_accepted = evidence.valid & evidence.agreed & (evidence.confidence >= thresholds[predicted])
    counts = np.bincount(predicted[is_accepted], minlength=len(emotions))
    hits = np.bincount(predicted[is_accepted & (predicted == evidence.labels)], minlength=len(emotions))
    per_emotion: dict[str, dict[str, Any]] = {}
    for emotion, n, n_correct in zip(emotions, counts.tolist(), hits.tolist(), strict=True):
        per_emotion[emotion] = {"estimated_from": n}
        if n:
            per_emotion[emotion] |= {
                "estimated_precision": n_correct / n,
                "estimated_precision_interval": wilson_interval(n_correct, n),
            }

    weight = class_prior(selection.emotion[selection.accepted], len(emotions))
    has_estimate = (counts > 0) & (weight > 0)
    overall: dict[str, Any] = {"estimated_from": int(counts[has_estimate].sum())}
    if selection.accepted.any():
        overall["share_without_estimate"] = float(weight[~has_estimate].sum())
    if has_estimate.any():
        estimates = [per_emotion[emotions[code]] for code in np.flatnonzero(has_estimate).tolist()]
        overall |= _combine_estimates(estimates, weight[has_estimate] / weight[has_estimate].sum())
    return overall | {"per_emotion": per_emotion}


def _combine_estimates(estimates: Sequence[dict[str, Any]], weight: Float[np.ndarray, " strata"]) -> dict[str, Any]:
    precision = np.array([estimate["estimated_precision"] for estimate in estimates])
    low, high = (
        np.array([estimate["estimated_precision_interval"][end] for estimate in estimates]) for end in ("low", "high")
    )
    centre = min(float(weight @ precision), 1.0)
    down, up = (float(np.linalg.norm(weight * width)) for width in (precision - low, high - precision))
    return {
        "estimated_precision": centre,
        "estimated_precision_interval": {"low": max(centre - down, 0.0), "high": min(centre + up, 1.0)},
    }


def measure_shift(evidence: Evidence) -> dict[str, Any]:
    """Compare the pool's confidences with validation's by the Kolmogorov-Smirnov test; empty without a pool.

    The statistic is the largest difference between the shares of faces above any confidence. The result holds that
    confidence and both shares.
    """
    if not evidence.pool.any():
        return {}
    valid, pool = evidence.confidence[evidence.valid], evidence.confidence[evidence.pool]
    test = ks_2samp(valid, pool, method="asymp")
    location = float(test.statistic_location)
    return {
        "statistic": float(test.statistic),
        "p_value": float(test.pvalue),
        "confidence": location,
        "share_of_pool_above": float((pool > location).mean()),
        "share_of_valid_above": float((valid > location).mean()),
        "shifted": bool(test.statistic >= SHIFT_STATISTIC and test.pvalue < SHIFT_P_VALUE),
    }


def format_estimate(estimate: dict[str, Any], shift: dict[str, Any]) -> list[str]:
    """Return a line on the estimate and, if the pool is unlike validation, a warning; none if nothing was accepted."""
    if "share_without_estimate" not in estimate:
        return []
    if "estimated_precision" not in estimate:
        return ["no estimated precision: no validation face would be accepted as one of these emotions"]
    low, high = (100 * estimate["estimated_precision_interval"][end] for end in ("low", "high"))
    lines = [
        f"estimated precision from {estimate['estimated_from']} validation faces: "
        f"{100 * estimate['estimated_precision']:.0f} % ({low:.0f} to {high:.0f})"
    ]
    if missing := estimate["share_without_estimate"]:
        lines[0] += (
            f", without {100 * missing:.2g} % of the accepted faces, "
            "as no validation face would be accepted as their emotions"
        )
    if shift["shifted"]:
        pool, valid = (100 * shift[f"share_of_{name}_above"] for name in ("pool", "valid"))
        lines.append(
            f"warning: the pool is unlike validation, so the estimate may be wrong: {pool:.0f} % of its faces have a "
            f"confidence above {shift['confidence']:.2g}, but {valid:.0f} % of validation's; "
            "check some accepted faces in labels.csv"
        )
    return lines
