"""Online pseudo-labelling follows the numpy policies, and every option has an effect on training."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_loop import RECIPE, TRANSFORMS, are_equal, make_faces, small_network

from fer.pseudo_labels.policies import freematch, softmatch
from fer.pseudo_labels.policy import Evidence, align_distribution
from fer.training import loop
from fer.training.examples import UnlabelledPool
from fer.training.online import OnlinePseudoLabeller, ThresholdTracker
from fer.training.params import Online

CPU = torch.device("cpu")
ONLINE = Online(policy="softmatch", threshold=0.6, share=0.5, alignment="none")


def random_probs(seed: int, n: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(3, 0.4), n)


def make_tracker(policy: str, decay: float = 0.0, prior: np.ndarray | None = None) -> ThresholdTracker:
    return ThresholdTracker(ONLINE.model_copy(update={"policy": policy}), prior, 3, decay, CPU)


@given(st.integers(0, 1000))
def test_weights_of_one_batch_equal_those_of_the_numpy_policies(seed: int) -> None:
    probs = random_probs(seed)
    confidence, emotion, all_faces = probs.max(axis=1), probs.argmax(axis=1), np.ones(len(probs), dtype=bool)
    evidence = Evidence(probs, emotion, ~all_faces, all_faces, all_faces)
    freematch_thresholds = freematch.Options().thresholds(evidence, ["angry", "happy", "sad"])
    expected = {
        "fixmatch": confidence >= 0.6,
        "freematch": confidence >= freematch_thresholds[emotion] - 1e-6,
        "softmatch": softmatch.Options().weights(evidence),
    }
    for policy, expected_weights in expected.items():
        aligned_probs, weights = make_tracker(policy)(torch.from_numpy(probs).float())
        np.testing.assert_allclose(weights.numpy(), expected_weights, atol=1e-4)
        np.testing.assert_allclose(aligned_probs.numpy(), probs, atol=1e-6)


@given(st.integers(0, 1000))
def test_the_alignment_of_one_batch_equals_that_of_numpy(seed: int) -> None:
    probs, prior = random_probs(seed).astype(np.float32), np.array([0.5, 0.3, 0.2])
    aligned_probs, _ = make_tracker("fixmatch", prior=prior)(torch.from_numpy(probs))
    np.testing.assert_allclose(aligned_probs, align_distribution(probs, np.ones(40, dtype=bool), prior), atol=1e-4)


def test_averages_move_by_one_minus_the_decay() -> None:
    tracker, batch = make_tracker("softmatch", decay=0.9), torch.tensor([[0.8, 0.2, 0.0], [0.6, 0.4, 0.0]])
    tracker(batch)
    assert tracker.confidence.item() == pytest.approx(0.9 / 3 + 0.1 * 0.7)
    assert tracker.variance.item() == pytest.approx(0.9 + 0.1 * 0.01)
    np.testing.assert_allclose(tracker.p_model_aligned, [0.3 + 0.07, 0.3 + 0.03, 0.3], atol=1e-6)
    tracker(batch)
    assert tracker.confidence.item() == pytest.approx(0.9 * 0.37 + 0.1 * 0.7)


def pool(n: int = 64, labels: str = "soft", prior: np.ndarray | None = None, **online: Any) -> UnlabelledPool:
    return UnlabelledPool(make_faces(n, 5).pixels, ONLINE.model_copy(update=online), labels, 3, prior)


def make_labeller(faces: UnlabelledPool, batch: int = 16, flip: float = 0.5) -> OnlinePseudoLabeller:
    return OnlinePseudoLabeller(faces, RECIPE.model_copy(update={"batch": batch}), flip, CPU)


@pytest.mark.parametrize(("labels", "target"), [("soft", [1 / 6, 1 / 6, 2 / 3]), ("hard", [0, 0, 1])])
def test_the_target_of_a_face_is_the_prediction_of_the_teacher(labels: str, target: list[float]) -> None:
    teacher_probs = torch.tensor([[1 / 6, 1 / 6, 2 / 3]]).repeat(8, 1)
    labeller = make_labeller(pool(labels=labels, policy="fixmatch"))
    np.testing.assert_allclose(labeller.label(teacher_probs), [target] * 8, atol=1e-6)
    assert not make_labeller(pool(labels=labels, policy="fixmatch", threshold=0.7)).label(teacher_probs).any()


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_teacher_sees_faces_plain_or_mirrored(flip: float) -> None:
    pixels = torch.from_numpy(pool().pixels)
    views = make_labeller(pool(), flip=flip).make_views(pixels, torch.Generator().manual_seed(0))
    assert torch.equal(views, (pixels.flip(-1) if flip else pixels) / 255)


@pytest.mark.parametrize(("share", "batch", "expected"), [(0.5, 16, 8), (0.01, 16, 1), (0.99, 16, 15), (0.9, 2, 1)])
def test_every_batch_has_labelled_and_unlabelled_faces(share: float, batch: int, expected: int) -> None:
    assert make_labeller(pool(share=share), batch).batch_size == expected


def train_with(faces: UnlabelledPool | None) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Train a small network, and return its weights and learning curve."""
    network = small_network(RECIPE.dropout)
    curve = loop.train_phase(
        network,
        make_faces(24, 0),
        make_faces(60, 1),
        recipe=RECIPE,
        transforms=TRANSFORMS,
        steps=24,
        seed=0,
        precision="fp32",
        name="small",
        unlabelled=faces,
    )
    return network.state_dict(), curve


def test_training_with_a_pool_is_repeatable_and_records_the_mean_weight() -> None:
    (first, curve), (second, _) = train_with(pool()), train_with(pool())
    assert are_equal(first, second)
    assert all(0 < row["unlabelled_weight"] <= 1 for row in curve)
    assert "unlabelled_weight" not in train_with(None)[1][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": "fixmatch"},
        {"policy": "freematch"},
        {"policy": "fixmatch", "threshold": 0.3},
        {"share": 0.25},
        {"labels": "hard"},
        {"prior": np.array([0.8, 0.1, 0.1])},
        {"n": 32},
    ],
    ids=str,
)
def test_every_option_has_an_effect(changes: dict[str, Any]) -> None:
    assert not are_equal(train_with(pool())[0], train_with(pool(**changes))[0])


def test_no_face_below_the_threshold_has_a_weight() -> None:
    assert all(row["unlabelled_weight"] == 0 for row in train_with(pool(policy="fixmatch", threshold=1.0))[1])
