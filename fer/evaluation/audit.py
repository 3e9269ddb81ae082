"""Extend the audit of pseudo-labels by the estimated precision, the shift, the class balance and duplicates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fer.core.labels import encode_labels
from fer.evaluation.inputs import RoundPseudoLabels
from fer.predictions.confidence import class_prior

TRAIN_DUPLICATE_REASON = "same picture as a train face"  # of the stage `unify`


def complete_audits(
    audits: Mapping[int, Any],
    pseudo_labels: Mapping[int, RoundPseudoLabels],
    table: pd.DataFrame,
    report: Mapping[str, Any],
    emotions: Sequence[str],
) -> dict[int, Any]:
    """Return the audits of `audit_rounds` with the estimate and the shift of each round and further entries.

    These are each emotion's share of the training labels without and with the accepted faces, and the number of
    unlabelled faces that `unify` excluded as duplicates of training faces, from its `report`.
    """
    labelled = encode_labels(table.loc[table["fold"] == "train", "emotion"], emotions)
    labelled_prior = class_prior(labelled, len(emotions))
    n_duplicates = report["excluded"].get(TRAIN_DUPLICATE_REASON, 0)
    completed = {}
    for round_, audit in audits.items():
        estimate, shift = (pseudo_labels[round_].summary[key] for key in ("estimate", "shift"))
        per_emotion = audit.get("per_emotion", {emotion: {} for emotion in emotions})
        accepted = np.array([per_emotion[emotion].get("accepted", 0) for emotion in emotions])
        extended_prior = (labelled_prior * len(labelled) + accepted) / (len(labelled) + accepted.sum())
        per_emotion = {
            emotion: per_emotion[emotion]
            | estimate["per_emotion"][emotion]
            | {
                "share_of_labelled": float(labelled_prior[code]),
                "share_with_pseudo_labels": float(extended_prior[code]),
            }
            for code, emotion in enumerate(emotions)
        }
        completed[round_] = (
            {key: value for key, value in audit.items() if key != "per_emotion"}
            | {"left_out_as_pictures_of_training_faces": n_duplicates}
            | estimate
            | ({"shift": shift} if shift else {})
            | {"per_emotion": per_emotion}
        )
    return completed
