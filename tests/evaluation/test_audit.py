"""The audit tells the balance of the emotions, the estimate and what was left out."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer.core.labels import EMOTIONS
from fer.evaluation import audit, evaluate
from fer.evaluation.evaluate import RoundPseudoLabels

SEVEN = EMOTIONS[:7]
ESTIMATE = {"estimated_from": 0, "per_emotion": {emotion: {"estimated_from": 0} for emotion in SEVEN}}
REPORT = {"excluded": {"same picture as a train face": 4, "same picture as a test face": 2}}
LABELLED = ["happy"] * 6 + ["sad"] * 2 + ["angry", "fear"]
TABLE = pd.DataFrame(
    {"fold": ["train"] * 10 + ["valid", "unlabelled"], "emotion": [*LABELLED, "neutral", ""]},
)


def completed(taken_for: list[int], shift: dict[str, bool]) -> dict:
    probs = np.eye(7, dtype=np.float32)[taken_for]
    everyone = np.ones(len(probs), dtype=bool)
    unknown, thresholds = np.full(len(probs), -1), dict.fromkeys(SEVEN, 0.5)
    labels = RoundPseudoLabels(
        np.arange(len(probs)), probs, everyone, unknown, thresholds, {"reviewed": 0, "set_aside": 0}
    )
    audits = evaluate.audit_rounds({1: labels}, SEVEN)
    return audit.complete_audits(audits, {1: {"estimate": ESTIMATE, "shift": shift}}, TABLE, REPORT, SEVEN)[1]


def test_the_balance_is_of_labelled_training_faces_before_and_with_the_accepted_after() -> None:
    found = completed([4] * 8 + [1] * 2, {"shifted": False})
    before = {name: figures["share_of_labelled"] for name, figures in found["per_emotion"].items()}
    after = {name: figures["share_with_pseudo_labels"] for name, figures in found["per_emotion"].items()}
    assert (before["happy"], before["sad"], before["disgust"], before["neutral"]) == (0.6, 0.2, 0, 0)
    assert (after["happy"], after["sad"], after["disgust"], after["neutral"]) == (0.3, 0.5, 0.1, 0)
    assert sum(before.values()) == pytest.approx(1) == sum(after.values())


def test_near_duplicates_of_training_faces_are_counted_apart() -> None:
    assert completed([3], {"shifted": False})["left_out_as_pictures_of_training_faces"] == 4


def test_without_a_pool_nothing_changes_and_no_shift_is_told() -> None:
    found = completed([], {})
    assert "shift" not in found
    for figures in found["per_emotion"].values():
        assert figures["share_of_labelled"] == figures["share_with_pseudo_labels"]


def test_the_estimates_of_the_rounds_are_read(tmp_path: Path) -> None:
    for round_ in (1, 2):
        (tmp_path / str(round_)).mkdir()
        summary = {"thresholds": {}, "estimate": {"estimated_from": round_}, "shift": {}}
        (tmp_path / str(round_) / "summary.json").write_text(json.dumps(summary))
    found = audit.read_estimates(tmp_path, [1, 2])
    assert found == {round_: {"estimate": {"estimated_from": round_}, "shift": {}} for round_ in (1, 2)}
