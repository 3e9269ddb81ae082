"""The audit of the pseudo-labels beyond the hidden truth: the estimate, the shift, class balance, near-duplicates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.core.files import read_json
from fer.core.labels import encode_labels
from fer.predictions.confidence import class_prior

TRAIN_DUPLICATE_REASON = "same picture as a train face"  # the reason that `unify` gives


def read_estimates(folder: Path, rounds: Sequence[int]) -> dict[int, Any]:
    """What `pseudo_label` wrote into `folder` / round of the estimate and the shift, by round."""
    summaries = {round_: read_json(folder / str(round_) / "summary.json") for round_ in rounds}
    return {round_: {key: summary[key] for key in ("estimate", "shift")} for round_, summary in summaries.items()}


def complete_audits(
    audits: Mapping[int, Any],
    estimates: Mapping[int, Any],
    table: pd.DataFrame,
    report: Mapping[str, Any],
    emotions: Sequence[str],
) -> dict[int, Any]:
    """`evaluation.audits` with the rest of the audit, by round.

    Beside the true precision stands the estimated one; beside each emotion's count its share of the labelled training
    faces, and of these and the accepted ones together. Unlabelled faces that are nearly the same picture as a labelled
    training face would be no gain; `unify` leaves them out of the pool, and here they are counted.
    """
    labelled = encode_labels(table.loc[table["fold"] == "train", "emotion"], emotions)
    before = class_prior(labelled, len(emotions))
    left_out = report["excluded"].get(TRAIN_DUPLICATE_REASON, 0)
    found = {}
    for round_, audit in audits.items():
        estimate, shift = estimates[round_]["estimate"], estimates[round_]["shift"]
        per_emotion = audit.get("per_emotion", {emotion: {} for emotion in emotions})
        accepted = np.array([per_emotion[emotion].get("accepted", 0) for emotion in emotions])
        after = (before * len(labelled) + accepted) / (len(labelled) + accepted.sum())
        each = {
            emotion: per_emotion[emotion]
            | estimate["per_emotion"][emotion]
            | {"share_of_labelled": float(one), "share_with_pseudo_labels": float(other)}
            for emotion, one, other in zip(emotions, before, after, strict=True)
        }
        found[round_] = (
            {key: value for key, value in audit.items() if key != "per_emotion"}
            | {"left_out_as_pictures_of_training_faces": left_out}
            | estimate
            | ({"shift": shift} if shift else {})
            | {"per_emotion": each}
        )
    return found
