"""Rounds are compared replica by replica, on the test fold, in the variant that validation prefers."""

from typing import Any

import numpy as np
import pytest

from fer.core.files import write_json
from fer.evaluation.inputs import HeldOutFaces, RoundPredictions
from fer.evaluation.verdict import AS_PREDICTED, CORRECTED, compare_rounds, judge_effect
from fer.predictions.ensembles import CalibratedEnsemble

EMOTIONS = ["angry", "disgust", "happy"]
N = 900
LABELS = np.random.default_rng(0).choice(3, N, p=[0.3, 0.1, 0.6])
TEST = np.arange(N) >= N // 3
ONE_REPLICA = [{"se-0": 1.0}]
ROSE, FELL, NEITHER = {"low": 0.01, "high": 0.05}, {"low": -0.05, "high": -0.01}, {"low": -0.01, "high": 0.05}


def make_faces(labels: np.ndarray = LABELS, test: np.ndarray = TEST) -> HeldOutFaces:
    rows = np.arange(len(labels))
    return HeldOutFaces(rows, labels, np.full(len(rows), "faces", dtype=object), test, rows < 0)


def make_probs(accuracy: float | list[float], seed: int = 0) -> np.ndarray:
    """Return certain predictions, right for a share of the faces or of each emotion's faces; nothing corrects them."""
    rng = np.random.default_rng([seed, 1])
    is_right = rng.random(N) < np.broadcast_to(accuracy, 3)[LABELS]
    predicted = np.where(is_right, LABELS, (LABELS + rng.integers(1, 3, N)) % 3)
    return np.eye(3, dtype=np.float32)[predicted]


def make_round(**members: np.ndarray) -> RoundPredictions:
    """Return a round with the probabilities of its members; "se_0" is the member se-0."""
    probs = {name.replace("_", "-"): member_probs for name, member_probs in members.items()}
    calibrated = CalibratedEnsemble(probs, np.mean(list(probs.values()), axis=0, dtype=np.float32), {})
    return RoundPredictions(calibrated, {}, None, {}, {})


def compare(
    teacher: RoundPredictions,
    student: RoundPredictions,
    replicas: Any = ONE_REPLICA,
    faces: HeldOutFaces | None = None,
) -> dict[str, Any]:
    return compare_rounds({0: teacher, 1: student}, faces or make_faces(), replicas, EMOTIONS, 0)[1]


def right(probs: np.ndarray) -> float:
    return float((probs.argmax(axis=1) == LABELS)[TEST].mean())


@pytest.mark.parametrize(
    ("accuracy", "macro_f1", "recall", "effect"),
    [
        (ROSE, NEITHER, NEITHER, "helped"),
        (ROSE, ROSE, NEITHER, "helped"),
        (ROSE, FELL, NEITHER, "mixed"),
        (ROSE, NEITHER, FELL, "mixed"),
        (NEITHER, ROSE, FELL, "mixed"),
        (NEITHER, ROSE, NEITHER, "no clear difference"),
        (NEITHER, NEITHER, FELL, "no clear difference"),
        (NEITHER, FELL, FELL, "no clear difference"),
        (FELL, NEITHER, NEITHER, "hurt"),
        (FELL, ROSE, NEITHER, "hurt"),
    ],
)
def test_the_effect_follows_from_all_intervals(
    accuracy: dict[str, float], macro_f1: dict[str, float], recall: dict[str, float], effect: str
) -> None:
    comparison = {"accuracy": accuracy, "macro_f1": macro_f1, "recall": {"angry": NEITHER, "sad": recall}}
    assert judge_effect(comparison) == effect


def test_later_rounds_are_compared_with_round_0_on_the_test_fold() -> None:
    worse, better = make_probs(0.6), make_probs(0.8, 1)
    rounds = {0: make_round(se_0=worse), 1: make_round(se_0=better), 2: make_round(se_0=worse)}
    results = compare_rounds(rounds, make_faces(), ONE_REPLICA, EMOTIONS, 0)
    assert list(results) == [1, 2]
    assert (results[1]["against"], results[1]["n"], results[1]["replicas"]) == (0, TEST.sum(), 1)
    assert results[1]["accuracy"]["baseline"] == pytest.approx(right(worse))
    assert results[1]["accuracy"]["new"] == pytest.approx(right(better))
    assert results[1]["effect"] == "helped"
    assert results[1]["verdict"].startswith("The pseudo-labels helped: accuracy +")
    assert results[2]["effect"] == "no clear difference"
    assert results[2]["verdict"].startswith("The pseudo-labels made no clear difference: accuracy +0.0 (")


def test_each_replica_is_compared_with_its_own_teacher() -> None:
    teachers, students = (
        {f"se_{i}": make_probs(share, seed + i) for i in range(3)} for seed, share in ((0, 0.6), (9, 0.7))
    )
    replicas = [{f"se-{i}": 1.0} for i in range(3)]
    result = compare(make_round(**teachers), make_round(**students), replicas)
    assert result["replicas"] == 3
    assert result["accuracy"]["baseline"] == pytest.approx(np.mean([right(probs) for probs in teachers.values()]))
    assert result["accuracy"]["new"] == pytest.approx(np.mean([right(probs) for probs in students.values()]))
    assert "mean of 3 replicas." in result["verdict"]
    assert "unknown" not in result["verdict"]


def test_the_networks_of_a_replica_vote_with_their_weights() -> None:
    good, bad = make_probs(0.9), make_probs(0.3, 1)
    result = compare(make_round(se_0=bad, cnn_0=good), make_round(se_0=good, cnn_0=bad), [{"se-0": 1.0, "cnn-0": 0.0}])
    assert result["accuracy"]["baseline"] == pytest.approx(right(bad))
    assert result["accuracy"]["new"] == pytest.approx(right(good))


def test_the_better_variant_on_validation_is_compared_on_both_sides() -> None:
    """A network that takes every emotion for as frequent is corrected; the confident one stays as it is."""
    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(N, 3)) + 1.5 * np.eye(3)[LABELS]
    balanced = np.exp(1.5 * evidence) / np.exp(1.5 * evidence).sum(axis=1, keepdims=True)
    teacher, student = make_round(se_0=balanced.astype(np.float32)), make_round(se_0=make_probs(0.9))
    result = compare(teacher, student)
    assert (result["teacher"], result["student"]) == (CORRECTED, AS_PREDICTED)
    assert result["accuracy"]["baseline"] > right(balanced) + 0.02
    assert f"the student {AS_PREDICTED}, against the teacher {CORRECTED};" in result["verdict"]
    preferring_the_other = np.where(TEST, balanced.argmax(axis=1), LABELS)
    other = compare(teacher, student, faces=make_faces(preferring_the_other))
    assert (other["teacher"], other["student"]) == (CORRECTED, AS_PREDICTED), "the test fold chooses nothing"


def test_emotions_that_fell_are_named_the_worst_first() -> None:
    teacher, student = make_round(se_0=make_probs([0.8, 0.9, 0.5])), make_round(se_0=make_probs([0.6, 0.3, 0.9], 1))
    result = compare(teacher, student)
    assert result["effect"] == "mixed"
    assert result["verdict"].startswith("The pseudo-labels had mixed effects: accuracy +")
    assert result["losses"].startswith("Recall fell: disgust -")
    assert result["losses"].index("disgust") < result["losses"].index("angry")
    assert "happy" not in result["losses"]


def test_without_a_fallen_emotion_the_lowest_change_is_named() -> None:
    result = compare(make_round(se_0=make_probs(0.6)), make_round(se_0=make_probs([0.9, 0.6, 0.9], 1)))
    assert result["losses"].startswith("No emotion's recall fell beyond its interval; the lowest change is disgust ")


def test_one_replica_says_that_the_training_variance_is_unknown() -> None:
    result = compare(make_round(se_0=make_probs(0.6)), make_round(se_0=make_probs(0.7, 1)))
    assert result["verdict"].endswith("; one replica, so the training variance is unknown.")
    assert "p =" not in result["verdict"]


def test_there_is_no_verdict_without_test_faces(tmp_path: Any) -> None:
    result = compare(
        make_round(se_0=make_probs(0.6)), make_round(se_0=make_probs(0.7)), faces=make_faces(test=TEST & False)
    )
    assert (result["n"], result["losses"]) == (0, "")
    assert result["verdict"].startswith("No verdict")
    write_json(tmp_path / "verdict.json", result)
