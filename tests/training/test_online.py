"""Labels made in every step: the rules are those of numpy, and each acts on what is learnt."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_loop import RECIPE, TRANSFORMS, examples, same, small_network
from torch import nn

from fer.pseudo_labels.policies import freematch, softmatch
from fer.pseudo_labels.policy import Evidence, align_distribution
from fer.training import loop
from fer.training.examples import UnlabelledPool
from fer.training.online import OnlinePseudoLabeller, ThresholdTracker
from fer.training.params import Online

CPU = torch.device("cpu")
RULES = Online(policy="softmatch", threshold=0.6, share=0.5, alignment="none")


def drawn(seed: int, n: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(3, 0.4), n)


def judge(policy: str, decay: float = 0.0, wanted: np.ndarray | None = None) -> ThresholdTracker:
    return ThresholdTracker(RULES.model_copy(update={"policy": policy}), wanted, 3, decay, CPU)


@given(st.integers(0, 1000))
def test_thresholds_and_weights_of_one_batch_are_those_of_numpy(seed: int) -> None:
    probs = drawn(seed)
    sure, emotion, everyone = probs.max(axis=1), probs.argmax(axis=1), np.ones(len(probs), dtype=bool)
    evidence = Evidence(probs, emotion, ~everyone, everyone, everyone)
    expected = {
        "fixmatch": sure >= 0.6,
        "freematch": sure >= freematch.Options().thresholds(evidence, ["angry", "happy", "sad"])[emotion] - 1e-6,
        "softmatch": softmatch.Options().weights(evidence),
    }
    for policy, weights in expected.items():
        judged, found = judge(policy)(torch.from_numpy(probs).float())
        np.testing.assert_allclose(found.numpy(), weights, atol=1e-4)
        np.testing.assert_allclose(judged.numpy(), probs, atol=1e-6)


@given(st.integers(0, 1000))
def test_the_alignment_of_one_batch_is_that_of_numpy(seed: int) -> None:
    probs, wanted = drawn(seed).astype(np.float32), np.array([0.5, 0.3, 0.2])
    judged, _ = judge("fixmatch", wanted=wanted)(torch.from_numpy(probs))
    np.testing.assert_allclose(judged, align_distribution(probs, np.ones(40, dtype=bool), wanted), atol=1e-4)


def test_averages_move_by_what_the_decay_leaves() -> None:
    slow, batch = judge("softmatch", decay=0.9), torch.tensor([[0.8, 0.2, 0.0], [0.6, 0.4, 0.0]])
    slow(batch)
    assert slow.confidence.item() == pytest.approx(0.9 / 3 + 0.1 * 0.7)
    assert slow.variance.item() == pytest.approx(0.9 + 0.1 * 0.01)
    np.testing.assert_allclose(slow.p_model_aligned, [0.3 + 0.07, 0.3 + 0.03, 0.3], atol=1e-6)
    slow(batch)
    assert slow.confidence.item() == pytest.approx(0.9 * 0.37 + 0.1 * 0.7)


def pool(n: int = 64, labels: str = "soft", wanted: np.ndarray | None = None, **rules: Any) -> UnlabelledPool:
    return UnlabelledPool(examples(n, 5).pixels, RULES.model_copy(update=rules), labels, 3, wanted)


class Sure(nn.Module):
    """Takes every face for the third emotion, with two thirds of the probability for it."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        assert not self.training, "a teacher drops nothing out"
        return torch.tensor([[1.0, 1.0, 4.0]]).log().expand(len(faces), 3)


def labeller(faces: UnlabelledPool, batch: int = 16) -> OnlinePseudoLabeller:
    recipe = RECIPE.model_copy(update={"batch": batch})
    return OnlinePseudoLabeller(faces, recipe, TRANSFORMS, 0, "fp32", CPU)


@pytest.mark.parametrize(("labels", "goal"), [("soft", [1 / 6, 1 / 6, 2 / 3]), ("hard", [0, 0, 1])])
def test_a_face_is_learnt_as_what_the_averaged_weights_say(labels: str, goal: list[float]) -> None:
    at_work = labeller(pool(labels=labels, policy="fixmatch"))
    faces, goals = at_work.label(0, Sure(), torch.Generator().manual_seed(0))
    assert faces.shape == (8, *examples(1, 0).pixels.shape[1:])
    np.testing.assert_allclose(goals, [goal] * 8, atol=1e-6)
    none = labeller(pool(labels=labels, policy="fixmatch", threshold=0.7))
    assert not none.label(0, Sure(), torch.Generator().manual_seed(0))[1].any()


@pytest.mark.parametrize(("share", "batch", "expected"), [(0.5, 16, 8), (0.01, 16, 1), (0.99, 16, 15), (0.9, 2, 1)])
def test_every_batch_has_faces_of_both_kinds(share: float, batch: int, expected: int) -> None:
    assert labeller(pool(share=share), batch).batch_size == expected


def learnt(faces: UnlabelledPool | None) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    network = small_network(RECIPE.dropout)
    curve = loop.train_phase(
        network,
        examples(24, 0),
        examples(60, 1),
        recipe=RECIPE,
        transforms=TRANSFORMS,
        steps=24,
        seed=0,
        precision="fp32",
        name="small",
        unlabelled=faces,
    )
    return network.state_dict(), curve


def test_training_with_a_pool_is_repeatable_and_tells_how_much_of_it_was_learnt() -> None:
    (first, curve), (again, _) = learnt(pool()), learnt(pool())
    assert same(first, again)
    assert all(0 < row["unlabelled_weight"] <= 1 for row in curve)
    assert "unlabelled_weight" not in learnt(None)[1][0]


@pytest.mark.parametrize(
    "other",
    [
        {"policy": "fixmatch"},
        {"policy": "freematch"},
        {"policy": "fixmatch", "threshold": 0.3},
        {"share": 0.25},
        {"labels": "hard"},
        {"wanted": np.array([0.8, 0.1, 0.1])},
        {"n": 32},
    ],
    ids=str,
)
def test_no_rule_is_dead(other: dict[str, Any]) -> None:
    assert not same(learnt(pool())[0], learnt(pool(**other))[0])


def test_where_no_face_is_sure_enough_none_of_the_pool_is_learnt() -> None:
    assert all(row["unlabelled_weight"] == 0 for row in learnt(pool(policy="fixmatch", threshold=1.0))[1])
