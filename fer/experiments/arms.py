"""The methods (arms) of `fer benchmark ssl`: the targets that a student learns for the unlabelled pool."""

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
FIXED_95 = "fixed_95"  # hard labels with a confidence of 0.95 or more: plain pseudo-labels (Lee 2013)
ONLINE_PREFIX = "online_"
METHODS = (
    *CONTROLS,
    FIXED_95,
    *POLICIES,
    *(f"{ONLINE_PREFIX}{policy}" for policy in ("fixmatch", "freematch", "softmatch")),
)


@dataclass(frozen=True)
class PseudoTargets:
    """Targets and loss weights of the faces of an `Evidence`, in its order."""

    targets: Float[np.ndarray, "n classes"]
    weights: Float[np.ndarray, " n"]  # 0: the student does not learn this face


def make_targets(
    method: str,
    evidence: Evidence,
    truth: Int[np.ndarray, " n"],
    pseudo_label: PseudoLabel,
    retrain: Retrain,
    emotions: Sequence[str],
    seed: int,
) -> PseudoTargets:
    """Return the pseudo-targets of `method`.

    Args:
        truth: The true emotion's index, or a number out of range if it is unknown. Only `TRUE_LABELS` reads it.
        seed: The seed of `RANDOM_LABELS`.
    """
    n, classes = evidence.probs.shape
    one_hot = np.eye(classes, dtype=np.float32)
    if method == NO_POOL or method.startswith(ONLINE_PREFIX):
        return PseudoTargets(one_hot[np.zeros(n, dtype=np.int64)], np.zeros(n, dtype=np.float32))
    if method == TRUE_LABELS:
        is_known = (truth >= 0) & (truth < classes)
        return PseudoTargets(one_hot[truth.clip(0, classes - 1)], (evidence.pool & is_known).astype(np.float32))
    if method == RANDOM_LABELS:
        prior = class_prior(evidence.labels[evidence.valid], classes)
        labels = np.random.default_rng(seed).choice(classes, n, p=prior)
        return PseudoTargets(one_hot[labels], evidence.pool.astype(np.float32))
    policy = fixed.Options(threshold=0.95) if method == FIXED_95 else getattr(pseudo_label.policies, method)
    selection = select(evidence, policy, emotions, "none" if method == FIXED_95 else pseudo_label.weights)
    is_hard = method == FIXED_95 or retrain.labels == "hard"
    targets = one_hot[evidence.probs.argmax(axis=1)] if is_hard else evidence.probs
    return PseudoTargets(targets, selection.weight * np.float32(retrain.weight))
