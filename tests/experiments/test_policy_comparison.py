"""The comparison of policies agrees with the selection, and its model of a gain with what was measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from fer.experiments.policies import (
    compare_policies,
    effective_labels,
    format_best,
    format_comparison,
    format_policy,
    list_candidates,
    policy_changes,
    teacher_warnings,
)
from fer.experiments.policies_plot import plot_policies
from fer.pseudo_labels.estimates import estimate_precision
from fer.pseudo_labels.params import POLICIES, PseudoLabel, make_policy
from fer.pseudo_labels.policy import Evidence
from fer.pseudo_labels.selection import select, thresholds
from fer.runtime.errors import InputError
from tests.pseudo_labels.cases import ANY_POLICY, EMOTIONS, any_evidence, fixed_policy, make_evidence, probs_of

DEFAULT = PseudoLabel.default()
SHARES = st.floats(0, 1)
# Students of one teacher with 1,750 labels and a pool of 24,775 faces of FER-2013, seven emotions, by threshold:
# share accepted, share of them right, accuracy in percent
MEASURED = {
    0.0: (1.0, 0.538, 56.2),
    0.4: (0.76, 0.609, 56.6),
    0.5: (0.58, 0.674, 56.9),
    0.6: (0.43, 0.742, 56.8),
    0.7: (0.28, 0.819, 56.4),
    0.8: (0.14, 0.894, 55.8),
    0.9: (0.02, 0.921, 53.5),
}


def random_evidence(n: int = 400, seed: int = 0) -> tuple[Evidence, np.ndarray]:
    """Return calibrated evidence, a quarter of it of validation, and the true emotions."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(len(EMOTIONS), 0.3), n).astype(np.float32)
    truth = np.array([rng.choice(len(EMOTIONS), p=row / row.sum()) for row in probs.astype(np.float64)])
    pool = np.arange(n) % 4 > 0
    return make_evidence(probs, pool, np.where(pool, -1, truth)), truth


def compare(evidence: Evidence, truth: np.ndarray | None = None, **policies) -> list[dict]:
    truth = np.full(len(evidence.pool), -1) if truth is None else truth
    return compare_policies(evidence, policies or list_candidates(DEFAULT), EMOTIONS, truth, 100, 1.0)


@given(any_evidence(), ANY_POLICY)
def test_the_counts_are_those_of_the_selection_and_equal_weights_keep_them(evidence, policy):
    assume(evidence.pool.any())
    [row], selection = compare(evidence, chosen=policy), select(evidence, policy, EMOTIONS)
    counts = np.bincount(selection.emotion[selection.accepted], minlength=len(EMOTIONS))
    assert row["accepted"] == selection.accepted.sum()
    assert row["share"] == row["accepted"] / evidence.pool.sum()
    assert (row["rarest"], row["rarest_accepted"]) == (EMOTIONS[counts.argmin()], counts.min())
    estimate = estimate_precision(evidence, selection, thresholds(evidence, policy, EMOTIONS), EMOTIONS)
    assert row.get("estimated_precision") == estimate.get("estimated_precision")
    if not isinstance(policy, POLICIES["softmatch"]):
        assert row.get("effective", 0) == pytest.approx(row["accepted"])


def test_unequal_weights_lower_the_effective_size_and_help_where_confidence_is_right() -> None:
    evidence, _ = random_evidence()
    soft, every = compare(evidence, softmatch=make_policy("softmatch"), every=fixed_policy(0.0))
    assert soft["policy"] == "softmatch"
    assert soft["effective"] < every["effective"] == every["accepted"] == soft["accepted"]
    weight = select(evidence, make_policy("softmatch"), EMOTIONS).weight[evidence.pool].astype(float)
    assert soft["effective"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


@given(st.integers(1, 10_000), st.integers(1, 100_000), SHARES, SHARES, st.integers(2, 8))
def test_the_model_obeys_its_laws(n_labels, n_pseudo, precision, other, classes):
    def worth(share: float) -> float:
        return effective_labels(n_labels, np.ones(n_pseudo), share, classes)

    assert worth(1.0) == pytest.approx(n_labels + n_pseudo)
    assert worth(1 / classes) == pytest.approx(n_labels**2 / (n_labels + n_pseudo))
    assert worth(min(precision, other)) <= worth(max(precision, other)) + 1e-6
    assert effective_labels(n_labels, np.zeros(n_pseudo), precision, classes) == pytest.approx(n_labels)


def test_the_model_ranks_measured_thresholds_except_that_it_overrates_low_ones() -> None:
    pool, n_labels = 24_775, 1_750
    worth = {
        threshold: effective_labels(n_labels, np.ones(round(share * pool)), precision, 7)
        for threshold, (share, precision, _) in MEASURED.items()
    }
    assert sorted(worth, key=worth.__getitem__, reverse=True) == [0.5, 0.4, 0.6, 0.0, 0.7, 0.8, 0.9]
    accuracy = {threshold: values[-1] for threshold, values in MEASURED.items()}
    assert sorted(accuracy, key=accuracy.__getitem__, reverse=True) == [0.5, 0.6, 0.4, 0.7, 0.0, 0.8, 0.9]


def test_the_truth_changes_nothing_but_the_true_precision() -> None:
    evidence, truth = random_evidence()
    without, with_truth = compare(evidence), compare(evidence, np.where(evidence.pool, truth, -1))
    assert not any("precision" in row for row in without)
    for row, other in zip(without, with_truth, strict=True):
        assert row == {key: value for key, value in other.items() if key != "precision"}
    every = next(row for row in with_truth if row["policy"] == "softmatch")
    assert every["precision"] == pytest.approx((evidence.predicted == truth)[evidence.pool].mean())


def test_the_largest_gain_comes_first_and_missing_estimates_come_last() -> None:
    pool = np.array([True] * 4 + [False] * 6)
    probs = np.concatenate([probs_of("sad", 0.99, 0.6), probs_of("happy", 0.6, 0.6), probs_of("happy", *[0.6] * 6)])
    rows = compare(
        make_evidence(probs, pool), unknown=fixed_policy(0.9), none=fixed_policy(1.0), every=fixed_policy(0.5)
    )
    assert [row["policy"] for row in rows] == ["every", "none", "unknown"]
    assert "gain" not in rows[2]
    assert rows[1]["gain"] == 0
    cells = [cell.strip() for cell in format_comparison(rows, "every").splitlines()[-1].split("|")[1:-1]]
    assert cells == ["unknown", "1 (25%)", "–", "–", "1.00", "angry 0", "1", "–"]


def test_the_balance_is_the_distance_from_the_emotions_of_validation() -> None:
    probs = np.concatenate([probs_of("sad", 0.9, 0.6), probs_of("happy", 0.6, 0.6), probs_of("sad", 0.9, 0.9)])
    probs = np.concatenate([probs, probs_of("happy", 0.9, 0.9)])
    evidence = make_evidence(probs, np.array([True] * 4 + [False] * 4))
    rows = compare(evidence, every=fixed_policy(0.5), sad=fixed_policy(0.8))
    assert {row["policy"]: row["balance"] for row in rows} == {"every": 0, "sad": 0.5}


def test_pseudo_labels_without_loss_weight_are_worth_nothing() -> None:
    evidence, truth = random_evidence()
    assert {row["gain"] for row in compare_policies(evidence, list_candidates(DEFAULT), EMOTIONS, truth, 9, 0.0)} == {0}


def test_a_teacher_worse_than_chance_is_no_help_and_reported() -> None:
    evidence, _ = random_evidence()
    wrong = replace(evidence, labels=np.where(evidence.valid, evidence.probs.argmin(axis=1), -1))
    rows = compare(wrong)
    assert rows[0]["gain"] <= 0
    assert format_best(rows).startswith("no policy is worth a label")
    assert teacher_warnings(wrong, EMOTIONS)[0].startswith("the teacher is right on 0% of the validation faces, no be")
    assert teacher_warnings(evidence, EMOTIONS) == []


def test_few_validation_faces_and_absent_emotions_are_reported() -> None:
    evidence = make_evidence(probs_of("happy", 0.9, 0.8, 0.7), np.array([True, False, False]))
    assert teacher_warnings(evidence, EMOTIONS) == [
        "only 2 validation faces: the estimates are too uncertain to choose by",
        "no validation face is labelled angry, sad, neutral: all such pseudo-labels count as wrong",
    ]


def test_every_policy_is_compared_as_configured_and_can_be_chosen_by_its_text() -> None:
    candidates = list_candidates(DEFAULT)
    assert {text.partition("=")[0] for text in candidates} == set(POLICIES)
    assert {f"fixed={percent / 100}" for percent in range(30, 100, 5)} < candidates.keys()
    for name in POLICIES:
        configured = getattr(DEFAULT.policies, name)
        assert candidates[format_policy(name, configured)] == configured
    for text, policy in candidates.items():
        changed = {key.split(".")[-1]: new for key, (_, new) in policy_changes(DEFAULT, text, None).items()}
        name = changed.pop("policy", DEFAULT.policy)
        assert getattr(DEFAULT.policies, name).model_copy(update=changed) == policy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("best", "policy 'best' is unknown; choose from ada_cm, fixed"),
        ("fixed=high", "--set fixed=high: 'high' is not a number; write --set fixed=NUMBER"),
        ("fixed=1.5", "policy fixed: threshold is 1.5; it should be less than or equal to 1"),
        ("fixed=nan", "policy fixed: threshold is nan; it should be"),
        ("top_k=5.5", "policy top_k: faces is 5.5; it should be a valid integer"),
        ("softmatch=1", "--set softmatch=1: softmatch has no parameter; write --set softmatch"),
    ],
)
def test_a_policy_that_does_not_exist_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        policy_changes(DEFAULT, text, None)
    assert str(refused.value).startswith(message)


def test_the_table_of_a_million_faces_fits_120_columns() -> None:
    row = {"accepted": 1_000_000, "share": 1.0, "estimated_precision": 1.0, "precision": 1.0, "balance": 0.5}
    row |= {"estimated_precision_interval": {"low": 0.99, "high": 1.0}, "rarest": "surprise", "rarest_accepted": 99_999}
    row |= {"policy": "precision=0.95", "effective": 1e6, "gain": 999_999.0}
    lines = format_comparison([row], "precision=0.95").splitlines()
    assert max(map(len, lines)) <= 120
    assert "| precision=0.95 * | 1,000,000 (100%) | 100% (99–100) |" in lines[2]


@pytest.mark.parametrize("threshold", [0.8, dict.fromkeys(EMOTIONS, 0.7)])
def test_the_plot_shows_results_with_and_without_truth_and_estimates(tmp_path: Path, threshold) -> None:
    evidence, truth = random_evidence(80)
    configured = fixed_policy(threshold)
    candidates = list_candidates(DEFAULT) | {format_policy("fixed", configured): configured}
    bare = replace(evidence, valid=evidence.valid & (np.arange(80) < 4))
    for name, faces, known in (("all", evidence, truth), ("bare", bare, np.full(80, -1))):
        rows = compare_policies(faces, candidates, EMOTIONS, known, 9, 1.0)
        plot_policies(tmp_path / f"{name}.png", rows, format_policy("fixed", configured))
        with Image.open(tmp_path / f"{name}.png") as image:
            assert 1200 < image.width < 1700
