"""The arms of `fer benchmark ssl`: what a student is given to learn of the pool."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fer.predictions.confidence import class_prior
from fer.pseudo_labels.params import POLICIES, PseudoLabel
from fer.pseudo_labels.policies import fixed
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import select
from fer.training.params import Retrain

NO_POOL, RANDOM_LABELS, TRUE_LABELS = CONTROLS = "no_pool", "random_labels", "true_labels"
FIXED_95 = "fixed_95"  # one emotion each, from a confidence of .95 on: plain pseudo-labels (Lee 2013)
ONLINE_PREFIX = "online_"
METHODS = (
    *CONTROLS,
    FIXED_95,
    *POLICIES,
    *(f"{ONLINE_PREFIX}{policy}" for policy in ("fixmatch", "freematch", "softmatch")),
)


@dataclass(frozen=True)
class PseudoTargets:
    """What the faces of the pool are to be taken for, and how much each counts; the faces as in the evidence."""

    targets: Float[np.ndarray, "n classes"]
    weights: Float[np.ndarray, " n"]  # 0 where a face is not learnt from


def make_targets(
    method: str,
    evidence: Evidence,
    truth: Int[np.ndarray, " n"],
    pseudo_label: PseudoLabel,
    retrain: Retrain,
    emotions: Sequence[str],
    seed: int,
) -> PseudoTargets:
    """What `method` makes of the pool. `truth`, an emotion's index or another number, is read by `TRUE` alone."""
    n, classes = evidence.probs.shape
    one_hot = np.eye(classes, dtype=np.float32)
    nothing = np.zeros(n, dtype=np.float32)
    if method == NO_POOL or method.startswith(ONLINE_PREFIX):
        return PseudoTargets(one_hot[np.zeros(n, dtype=np.int64)], nothing)
    if method == TRUE_LABELS:
        known = (truth >= 0) & (truth < classes)
        return PseudoTargets(one_hot[truth.clip(0, classes - 1)], (evidence.pool & known).astype(np.float32))
    if method == RANDOM_LABELS:
        drawn = np.random.default_rng(seed).choice(classes, n, p=class_prior(evidence.labels[evidence.valid], classes))
        return PseudoTargets(one_hot[drawn], evidence.pool.astype(np.float32))
    policy = fixed.Options(threshold=0.95) if method == FIXED_95 else getattr(pseudo_label.policies, method)
    selection = select(evidence, policy, emotions)
    hard = method == FIXED_95 or retrain.labels == "hard"
    targets = one_hot[evidence.probs.argmax(axis=1)] if hard else evidence.probs
    return PseudoTargets(targets, selection.weight * np.float32(retrain.weight))
