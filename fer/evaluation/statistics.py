"""Changes of accuracy, macro F1 and recall between two sets of predictions, with 95 % intervals.

A change varies with the training (initial weights, orders of faces) and with the draw of the test faces. Replicas
measure the first. All of them share the test faces, like the readers and cases of a study in radiology, so an interval
is that of Obuchowski & Rockette (1995, doi:10.1080/03610919508813243) with the degrees of freedom of Hillis (2007,
doi:10.1002/sim.2532): Student's t over the replicas, with their covariance by common faces added to the variance.

With three replicas it covers 92 to 98 %, simulated for a training variance of 0 to 93 % of the whole; a bootstrap of
replicas and faces covers 81 to 95 %, since resampling three replicas loses a third of their variance. With two replicas
it covers 88 % at least. One replica leaves the training variance unknown: its interval is of the test faces alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student_t

from fer.predictions.metrics import NORMAL_QUANTILE

# Two further faces add nothing to a sum of differences and 1 to the sum of their squares. So do the half faces in each
# of four cells of Agresti & Min (2005, doi:10.1002/sim.1781), without which few faces without a change prove that
# nothing changed.
PSEUDO_FACES = np.sqrt([0.5, 0.5]) * (1, -1)


def compare_predictions(
    baseline: Int[np.ndarray, "replicas n"],
    new: Int[np.ndarray, "replicas n"],
    labels: Int[np.ndarray, " n"],
    emotions: Sequence[str],
) -> dict[str, Any]:
    """Return the number of faces and replicas, and the change of accuracy, of macro F1 and of each emotion's recall.

    A change has "baseline" and "new", means over the replicas, their "difference", and its interval "low" to "high".
    Rows with the same number are compared with each other. Emotions without labels have no recall and do not count for
    macro F1. The comparison on no faces is {"n": 0}.

    Args:
        baseline: The emotion that each replica predicts for each face.
        new: The same of the replicas that are compared with `baseline`.
    """
    if not len(labels):
        return {"n": 0}
    correct = baseline == labels, new == labels
    (f1_of_baseline, influence_on_baseline), (f1_of_new, influence_on_new) = (
        _macro_f1(rows, labels) for rows in (baseline, new)
    )
    changes = f1_of_new - f1_of_baseline
    return {
        "n": len(labels),
        "replicas": len(baseline),
        "accuracy": compare_correct(*correct),
        "macro_f1": {
            "baseline": float(f1_of_baseline.mean()),
            "new": float(f1_of_new.mean()),
            "difference": float(changes.mean()),
            **change_interval(changes, influence_on_new - influence_on_baseline),
        },
        "recall": {
            emotion: compare_correct(*(rows[:, labels == code] for rows in correct))
            for code, emotion in enumerate(emotions)
            if (labels == code).any()
        },
    }


def compare_correct(baseline: Bool[np.ndarray, "replicas n"], new: Bool[np.ndarray, "replicas n"]) -> dict[str, float]:
    """Return the change of the share of correct faces, as in `compare_predictions`; there must be a face."""
    differences = new.astype(np.float64) - baseline
    padded = np.hstack([differences, np.tile(PSEUDO_FACES, (len(differences), 1))])
    return {
        "baseline": float(baseline.mean()),
        "new": float(new.mean()),
        "difference": float(differences.mean()),
        **change_interval(padded.mean(axis=1), padded),
    }


def change_interval(
    changes: Float[np.ndarray, " replicas"], influences: Float[np.ndarray, "replicas n"]
) -> dict[str, float]:
    """Return the 95 % interval of the mean of `changes`.

    Args:
        changes: The change of a figure in each replica.
        influences: How much each face contributes to it: the variance of the change by the draw of n faces is that of
            the row divided by n.
    """
    replicas, n = influences.shape
    covariance = np.atleast_2d(np.cov(influences, bias=True)) / n
    own = float(covariance.trace()) / replicas
    variance, quantile = own, NORMAL_QUANTILE
    if replicas > 1:
        shared = max(float(covariance.sum() - covariance.trace()) / (replicas * (replicas - 1)), 0.0)
        measured = float(changes.var(ddof=1)) / replicas
        variance = shared + max(measured, (own - shared) / replicas)  # the draw of faces alone causes the latter
        if measured:
            quantile = float(student_t.ppf(0.975, (replicas - 1) * (variance / measured) ** 2))
    centre, half = float(changes.mean()), quantile * variance**0.5
    return {"low": max(centre - half, -1.0), "high": min(centre + half, 1.0)}


def _macro_f1(
    predicted: Int[np.ndarray, "replicas n"], labels: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " replicas"], Float[np.ndarray, "replicas n"]]:
    """Return macro F1 and the influence of each face on it, its derivative by the weight of the face."""
    emotions = np.unique(labels)[:, None]
    is_label, is_predicted = labels == emotions, predicted[:, None] == emotions
    hits, counts = is_label & is_predicted, is_label.astype(np.float64) + is_predicted
    f1 = 2 * hits.sum(axis=2, keepdims=True) / counts.sum(axis=2, keepdims=True)
    influences = (2 * hits - f1 * counts) / counts.mean(axis=2, keepdims=True)
    return f1[:, :, 0].mean(axis=1), influences.mean(axis=1)
