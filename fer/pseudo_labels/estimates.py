"""What the validation faces foretell of the pseudo-labels, where nobody knows the truth.

An estimate: it holds as far as the pool's pictures, and the frequencies of its emotions, are like validation's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import ks_2samp

from fer.predictions.confidence import class_prior, max_confidence
from fer.predictions.metrics import wilson_interval
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import Selection

# Pools made of FER-2013's test faces by blur, noise, darkening, other crops and turning: at a distance below 0.1 the
# estimate was at most 3.4 points off, beyond it 4 to 43 (with a threshold of 0.5). Of one kind, pools are hardly ever
# 0.1 apart with 400 validation faces, and often with 50; then the p-value decides.
SHIFT_STATISTIC = 0.1
SHIFT_P_VALUE = 0.001


def estimate_precision(
    evidence: Evidence, selection: Selection, thresholds: Float[np.ndarray, " classes"], emotions: Sequence[str]
) -> dict[str, Any]:
    """The precision of the accepted faces, from the validation faces that `thresholds` and agreement would accept.

    Over all emotions it is the mean of theirs, weighted by the accepted faces of each; its interval is that of Zou &
    Donner 2008, doi:10.1002/sim.3095, from Wilson's of the emotions. An emotion that no such validation face is taken
    for has no estimate, and `share_without_estimate` of the accepted faces are of such emotions.
    """
    predicted = evidence.probs.argmax(axis=1)
    taken = evidence.valid & evidence.agreed & (max_confidence(evidence.probs) >= thresholds[predicted])
    right = taken & (predicted == evidence.labels)
    counts = np.bincount(predicted[taken], minlength=len(emotions))
    hits = np.bincount(predicted[right], minlength=len(emotions))
    each: dict[str, dict[str, Any]] = {}
    for emotion, n, of_them in zip(emotions, counts.tolist(), hits.tolist(), strict=True):
        each[emotion] = {"estimated_from": n}
        if n:
            each[emotion] |= {
                "estimated_precision": of_them / n,
                "estimated_precision_interval": wilson_interval(of_them, n),
            }

    weight = class_prior(selection.emotion[selection.accepted], len(emotions))
    known = (counts > 0) & (weight > 0)
    overall: dict[str, Any] = {"estimated_from": int(counts[known].sum())}
    if selection.accepted.any():
        overall["share_without_estimate"] = float(weight[~known].sum())
    if known.any():
        found = [each[emotion] for emotion, is_known in zip(emotions, known, strict=True) if is_known]
        overall |= _combine_emotions(found, weight[known] / weight[known].sum())
    return overall | {"per_emotion": each}


def _combine_emotions(found: Sequence[dict[str, Any]], weight: Float[np.ndarray, " strata"]) -> dict[str, Any]:
    precision = np.array([one["estimated_precision"] for one in found])
    low, high = (np.array([one["estimated_precision_interval"][end] for one in found]) for end in ("low", "high"))
    centre = min(float(weight @ precision), 1.0)
    down, up = (float(np.linalg.norm(weight * reach)) for reach in (precision - low, high - precision))
    return {
        "estimated_precision": centre,
        "estimated_precision_interval": {"low": max(centre - down, 0.0), "high": min(centre + up, 1.0)},
    }


def measure_shift(evidence: Evidence) -> dict[str, Any]:
    """How far the pool's confidences are from validation's: Kolmogorov and Smirnov's statistic and its p-value.

    The statistic is the largest difference in the share of faces above any confidence; the two shares stand beside it.
    Empty without a pool.
    """
    if not evidence.pool.any():
        return {}
    sure = max_confidence(evidence.probs)
    valid, pool = sure[evidence.valid], sure[evidence.pool]
    test = ks_2samp(valid, pool, method="asymp")
    at = float(test.statistic_location)
    return {
        "statistic": float(test.statistic),
        "p_value": float(test.pvalue),
        "confidence": at,
        "share_of_pool_above": float((pool > at).mean()),
        "share_of_valid_above": float((valid > at).mean()),
        "shifted": bool(test.statistic >= SHIFT_STATISTIC and test.pvalue < SHIFT_P_VALUE),
    }


def format_estimate(estimate: dict[str, Any], shift: dict[str, Any]) -> list[str]:
    """A line on the estimate, and a warning where the pool is unlike validation; none if nothing was accepted."""
    if "share_without_estimate" not in estimate:
        return []
    if "estimated_precision" not in estimate:
        return ["no estimate of how many are right: no validation face is accepted as one of these emotions"]
    low, high = (100 * estimate["estimated_precision_interval"][end] for end in ("low", "high"))
    lines = [
        f"an estimate from {estimate['estimated_from']} validation faces: "
        f"{100 * estimate['estimated_precision']:.0f} % right ({low:.0f} to {high:.0f})"
    ]
    if missing := estimate["share_without_estimate"]:
        lines[0] += (
            f"; it leaves out {100 * missing:.2g} % of the accepted, of emotions no validation face is accepted as"
        )
    if shift["shifted"]:
        pool, valid = (100 * shift[f"share_of_{name}_above"] for name in ("pool", "valid"))
        lines.append(
            f"warning: the pool is unlike validation, so the estimate may not hold: {pool:.0f} % of its faces have a "
            f"confidence above {shift['confidence']:.2g}, and {valid:.0f} % of validation's; "
            "look at some accepted faces in labels.csv before you trust them"
        )
    return lines
