"""The arms of `fer benchmark ssl`: what a student is given to learn of the pool."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fer.predictions.confidence import shares
from fer.pseudo_labels.params import Fixed, Policies, PseudoLabel
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import select
from fer.training.params import Retrain

NO_POOL, RANDOM, TRUE = CONTROLS = "no_pool", "random_labels", "true_labels"
FIXED = "fixed_95"  # one emotion each, from a confidence of .95 on: plain pseudo-labels (Lee 2013)
ONLINE = "online_"
ARMS = (
    *CONTROLS,
    FIXED,
    *Policies.model_fields,
    *(f"{ONLINE}{policy}" for policy in ("fixmatch", "freematch", "softmatch")),
)


@dataclass(frozen=True)
class Lesson:
    """What the faces of the pool are to be taken for, and how much each counts; the faces as in the evidence."""

    targets: Float[np.ndarray, "n classes"]
    weights: Float[np.ndarray, " n"]  # 0 where a face is not learnt from


def lesson(
    arm: str,
    said: Evidence,
    truth: Int[np.ndarray, " n"],
    rules: PseudoLabel,
    retrain: Retrain,
    emotions: Sequence[str],
    seed: int,
) -> Lesson:
    """What `arm` makes of the pool. `truth`, an emotion's index or another number, is read by `TRUE` alone."""
    n, classes = said.probs.shape
    one_hot = np.eye(classes, dtype=np.float32)
    nothing = np.zeros(n, dtype=np.float32)
    if arm == NO_POOL or arm.startswith(ONLINE):
        return Lesson(one_hot[np.zeros(n, dtype=np.int64)], nothing)
    if arm == TRUE:
        known = (truth >= 0) & (truth < classes)
        return Lesson(one_hot[truth.clip(0, classes - 1)], (said.pool & known).astype(np.float32))
    if arm == RANDOM:
        drawn = np.random.default_rng(seed).choice(classes, n, p=shares(said.labels[said.valid], classes))
        return Lesson(one_hot[drawn], said.pool.astype(np.float32))
    policy = Fixed(threshold=0.95) if arm == FIXED else getattr(rules.policies, arm)
    selection = select(said, policy, emotions)
    hard = arm == FIXED or retrain.labels == "hard"
    targets = one_hot[said.probs.argmax(axis=1)] if hard else said.probs
    return Lesson(targets, selection.weight * np.float32(retrain.weight))
