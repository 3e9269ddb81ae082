"""What each policy accepts, and that a file and a row add a policy."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import binom

from fer.pseudo_labels.policies import ada_cm, fixed, flexmatch, freematch, precision, quota, softmatch, top_k
from fer.pseudo_labels.policy import UNREACHABLE_THRESHOLD, kth_largest
from fer.pseudo_labels.selection import count_accepted, select, thresholds
from tests.pseudo_labels.cases import ANY_POLICY, EMOTIONS, make_evidence, probs_of

ROOT = Path(__file__).parents[2]
NEW_POLICY = """
import numpy as np

from fer.pseudo_labels.policy import Policy


class Options(Policy):
    step: float

    def thresholds(self, evidence, emotions):
        return self.step * np.arange(len(emotions))

    def weights(self, evidence):
        return np.full(len(evidence.probs), 0.5)
"""
USE_OF_IT = """
import numpy as np

from fer.params import load_params
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import select

policy = load_params().pseudo_label.active_policy
everyone = np.ones(2, dtype=bool)
evidence = Evidence(np.array([[0.6, 0.4], [0.4, 0.6]]), np.array([-1, -1]), ~everyone, everyone, everyone)
print(policy.step, select(evidence, policy, ["angry", "happy"]).weight.tolist())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the library and of params.yaml with one more policy, `stairs`."""
    shutil.copytree(ROOT / "fer", tmp_path / "fer", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "fer" / "pseudo_labels" / "policies" / "stairs.py").write_text(NEW_POLICY)
    text = (ROOT / "params.yaml").read_text()
    text = text.replace("  policy: fixed ", "  policy: stairs ").replace(
        "  policies:\n", "  policies:\n    stairs: {step: 0.7}\n"
    )
    (tmp_path / "params.yaml").write_text(text)
    return tmp_path


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=project, capture_output=True, text=True, check=False)


def test_a_file_and_a_row_add_a_policy(project: Path) -> None:
    process = run(project, "-c", USE_OF_IT)
    assert process.stdout == "0.7 [0.5, 0.0]\n", process.stderr


@pytest.mark.parametrize(
    ("row", "wrong", "problem"),
    [
        ("    stairs: {step: 0.7}\n", "", "pseudo_label.policies.stairs is missing"),
        ("stairs: {step", "stair: {step", "pseudo_label.policies.stair is not a key; did you mean stairs?"),
        ("{step", "{stpe", "pseudo_label.policies.stairs.stpe is not a key; did you mean step?"),
        ("policy: stairs", "policy: stars", "pseudo_label.policy is 'stars'; it should be 'ada_cm', "),
        ("policy: stairs", "policy: stars", "'softmatch', 'stairs' or 'top_k'"),
    ],
)
def test_a_wrong_row_or_name_is_reported_by_its_key(project: Path, row: str, wrong: str, problem: str) -> None:
    text = (project / "params.yaml").read_text()
    assert row in text
    (project / "params.yaml").write_text(text.replace(row, wrong))
    process = run(project, "-m", "fer.params")
    assert process.returncode == 1
    assert problem in process.stderr


def test_reading_params_does_not_import_scipy() -> None:
    code = "import sys; from fer.params import load_params; load_params(); sys.exit('scipy' in sys.modules)"
    assert run(ROOT, "-c", code).returncode == 0


def test_fixed_uses_the_threshold_of_the_predicted_emotion() -> None:
    probs = np.array([[0.7, 0.3, 0, 0], [0.3, 0.7, 0, 0]], dtype=np.float32)
    policy = fixed.Options(threshold={"angry": 0.6, "happy": 0.8, "sad": 0.1, "neutral": 0.1})
    selection = select(make_evidence(probs), policy, EMOTIONS)
    assert selection.threshold.tolist() == [0.6, 0.8]
    assert selection.accepted.tolist() == [True, False]
    assert selection.reason.tolist() == ["accepted", "confidence below the threshold of happy"]


def test_precision_takes_the_lowest_threshold_whose_bound_reaches_the_target() -> None:
    confidence = np.linspace(0.99, 0.50, 50)
    correct = np.arange(50) < 40  # the 40 most confident are correct
    threshold = precision.Options(target=0.8, confidence=0.9, fallback=0.97).find_threshold(confidence, correct)
    above = confidence >= threshold
    hits, n = int(correct[above].sum()), int(above.sum())
    assert binom.sf(hits - 1, n, 0.8) <= 0.1  # so many hits would be rare if the precision were below the target
    lower = confidence[confidence < threshold].max()
    hits, n = int(correct[confidence >= lower].sum()), int((confidence >= lower).sum())
    assert binom.sf(hits - 1, n, 0.8) > 0.1


def test_precision_falls_back_if_validation_is_too_small() -> None:
    policy = precision.Options(target=0.9, confidence=0.9, fallback=0.97)
    assert policy.find_threshold(np.full(5, 0.9), np.ones(5, dtype=bool)) == 0.97
    assert policy.find_threshold(np.zeros(0), np.zeros(0, dtype=bool)) == 0.97
    assert policy.find_threshold(np.full(22, 0.9), np.ones(22, dtype=bool)) == 0.9


def test_precision_depends_on_validation_faces_only() -> None:
    pool = np.repeat([False, True], 30)
    probs = probs_of("angry", *[0.8] * 30, *[0.6] * 30)
    policy = precision.Options(target=0.9, confidence=0.9, fallback=0.97)
    evidence = make_evidence(probs, pool, np.where(pool, -1, 0))
    assert thresholds(evidence, policy, EMOTIONS)[0] == pytest.approx(0.8)


def test_precision_accepts_all_or_none_of_equal_confidences() -> None:
    policy = precision.Options(target=0.5, confidence=0.6, fallback=1.0)
    confidence = np.array([0.9, 0.9, 0.9, 0.9])
    for correct in ([True, True, False, False], [False, False, True, True]):
        assert policy.find_threshold(confidence, np.array(correct)) == 1.0


def test_precision_names_the_emotions_that_use_the_fallback() -> None:
    policy = precision.Options(target=0.9, confidence=0.9, fallback=0.97)
    assert policy.format_note(np.array([0.97, 0.5, 0.97, 0.8]), EMOTIONS) == (
        "no threshold reaches 90% precision on validation for angry, sad; using the fallback, 0.97"
    )
    assert policy.format_note(np.array([0.9, 0.5, 0.9, 0.8]), EMOTIONS) is None
    assert fixed.Options(threshold=0.97).format_note(np.array([0.97] * 4), EMOTIONS) is None


def test_top_k_takes_the_most_confident_faces_of_each_emotion() -> None:
    probs = np.vstack([probs_of("angry", 0.9, 0.8, 0.7), probs_of("happy", 0.6, 0.5)])
    selection = select(make_evidence(probs), top_k.Options(faces=2), EMOTIONS)
    assert selection.accepted.tolist() == [True, True, False, True, True]
    assert kth_largest(np.array([0.9, 0.8, 0.8]), 2) == 0.8, "equal confidences are all accepted"


def test_quota_follows_the_validation_fold() -> None:
    confidences = np.linspace(0.6, 0.9, 10)
    probs = np.vstack([probs_of("angry", *confidences), probs_of("happy", *confidences), probs_of("angry", *[0.9] * 4)])
    labels = np.array([-1] * 20 + [0, 0, 0, 1])
    selection = select(make_evidence(probs, np.arange(24) < 20, labels), quota.Options(share=0.4), EMOTIONS)
    assert count_accepted(selection, EMOTIONS)["per_emotion"] == {"angry": 6, "happy": 2, "sad": 0, "neutral": 0}


def test_flexmatch_lowers_the_threshold_of_emotions_with_few_confident_faces() -> None:
    policy = flexmatch.Options(threshold=0.9)
    probs = np.vstack([probs_of("angry", *[0.95] * 4), probs_of("happy", 0.95, 0.95), probs_of("sad", 0.6)])
    expected = 0.9 * np.array([1, 0.5 / 1.5, 0, 0])
    np.testing.assert_allclose(policy.thresholds(make_evidence(probs), EMOTIONS), expected)
    below = make_evidence(probs_of("angry", *[0.5] * 7))
    assert (policy.thresholds(below, EMOTIONS) == 0).all(), "everything is accepted at first, as in the paper's warm-up"


def test_freematch_uses_the_mean_confidence_for_the_most_probable_emotion() -> None:
    evidence = make_evidence(np.array([[0.8, 0.2, 0, 0], [0.4, 0.6, 0, 0]]))
    expected = [0.7, 0.7 * 0.4 / 0.6, 0, 0]
    np.testing.assert_allclose(thresholds(evidence, freematch.Options(), EMOTIONS), expected, atol=1e-6)


def test_ada_cm_uses_a_share_of_the_mean_confidence_of_correct_faces() -> None:
    probs = np.vstack([probs_of("angry", 0.9, 0.7, 0.5), probs_of("happy", 0.8)])
    evidence = make_evidence(probs, np.zeros(4, bool), np.array([0, 0, 2, 2]))
    np.testing.assert_allclose(thresholds(evidence, ada_cm.Options(factor=0.5), EMOTIONS), [0.4, 1, 1, 1])


def test_softmatch_accepts_all_and_lowers_the_weight_below_the_mean() -> None:
    confidences = np.array([0.4, 0.5, 0.6, 0.9])
    selection = select(make_evidence(probs_of("angry", *confidences)), softmatch.Options(), EMOTIONS)
    assert selection.accepted.all()
    expected = np.exp(-((confidences.mean() - confidences[:2]) ** 2) / 2 / confidences.var())
    np.testing.assert_allclose(selection.weight[:2], expected, atol=1e-5)
    assert selection.weight[2:].tolist() == [1, 1]


@pytest.mark.parametrize("probs", [probs_of("angry", 1.0, 1.0), np.full((2, 4), 0.25), probs_of("angry", 0.7)])
@given(policy=ANY_POLICY)
def test_thresholds_and_weights_of_unusual_pools_are_finite(probs, policy) -> None:
    selection = select(make_evidence(probs), policy, EMOTIONS)
    assert np.isfinite(selection.threshold).all()
    assert (selection.threshold <= UNREACHABLE_THRESHOLD).all()
    assert np.isfinite(selection.weight).all()
