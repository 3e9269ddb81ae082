"""The audit has the class balance, the estimate, the shift and the excluded duplicates."""

import numpy as np
import pandas as pd
import pytest

from fer.core.labels import EMOTIONS
from fer.evaluation import audit, evaluate
from fer.evaluation.inputs import RoundPseudoLabels

SEVEN = EMOTIONS[:7]
ESTIMATE = {"estimated_from": 0, "per_emotion": {emotion: {"estimated_from": 0} for emotion in SEVEN}}
REPORT = {"excluded": {"same picture as a train face": 4, "same picture as a test face": 2}}
LABELLED = ["happy"] * 6 + ["sad"] * 2 + ["angry", "fear"]
TABLE = pd.DataFrame(
    {"fold": ["train"] * 10 + ["valid", "unlabelled"], "emotion": [*LABELLED, "neutral", ""]},
)


def make_audit(predicted: list[int], shift: dict[str, bool]) -> dict:
    """Return the audit of a round that accepted every face."""
    probs = np.eye(7, dtype=np.float32)[predicted]
    accepted = np.ones(len(probs), dtype=bool)
    summary = {"reviewed": 0, "set_aside": 0, "estimate": ESTIMATE, "shift": shift}
    labels = RoundPseudoLabels(np.arange(len(probs)), probs, accepted, np.full(len(probs), -1), summary)
    audits = evaluate.audit_rounds({1: labels}, SEVEN)
    return audit.complete_audits(audits, {1: labels}, TABLE, REPORT, SEVEN)[1]


def test_the_class_balance_is_measured_without_and_with_pseudo_labels() -> None:
    result = make_audit([4] * 8 + [1] * 2, {"shifted": False})
    without, combined = (
        {emotion: values[key] for emotion, values in result["per_emotion"].items()}
        for key in ("share_of_labelled", "share_with_pseudo_labels")
    )
    assert (without["happy"], without["sad"], without["disgust"], without["neutral"]) == (0.6, 0.2, 0, 0)
    assert (combined["happy"], combined["sad"], combined["disgust"], combined["neutral"]) == (0.3, 0.5, 0.1, 0)
    assert sum(without.values()) == pytest.approx(1) == sum(combined.values())


def test_duplicates_of_training_faces_are_counted() -> None:
    assert make_audit([3], {"shifted": False})["left_out_as_pictures_of_training_faces"] == 4


def test_without_a_pool_the_balance_is_unchanged_and_there_is_no_shift() -> None:
    result = make_audit([], {})
    assert "shift" not in result
    for values in result["per_emotion"].values():
        assert values["share_of_labelled"] == values["share_with_pseudo_labels"]


def test_the_estimate_and_the_shift_are_those_of_the_stage_before() -> None:
    result = make_audit([3], {"shifted": True})
    assert (result["estimated_from"], result["shift"]) == (0, {"shifted": True})
