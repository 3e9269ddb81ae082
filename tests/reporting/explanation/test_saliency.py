"""What speaks for an emotion is found in every network, and looking for it leaves no trace."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fer.core.labels import EMOTIONS
from fer.nn import weights as nn_weights
from fer.params import load_params
from fer.reporting.explanation import saliency

ROWS = load_params(Path(__file__).parents[3] / "params.yaml").networks
FACES = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
ASKED = np.array([0, 3, 6])
CAM = {"se_resnet9": True, "mobilenet": True, "vgg16": False, "mini_vgg_no_fc": False, "improved_se": False}


@cache
def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    input_px = 96 if ROWS[name].transfer else None
    facts = nn_weights.ModelConfig(network=name, emotions=EMOTIONS[:7], size=48, dropout=0.3, input_px=input_px)
    return facts.build().eval()


def hooks(looked_at: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in looked_at.modules())


@pytest.mark.parametrize("name", nn_weights.list_models())
def test_every_network_has_heat_and_is_left_as_it_was(name: str) -> None:
    looked_at = network(name)
    way, heat = saliency.explain_faces(looked_at, FACES, ASKED)
    assert (way == "Grad-CAM") == any(isinstance(module, nn.Conv2d) for module in looked_at.modules())
    assert heat.shape == FACES.shape
    assert heat.dtype == np.float32
    assert np.isfinite(heat).all()
    assert heat.min() >= 0
    greatest = heat.max(axis=(1, 2))
    np.testing.assert_array_equal(greatest, greatest > 0)
    assert hooks(looked_at) == 0
    assert all(parameter.grad is None for parameter in looked_at.parameters())


@pytest.mark.parametrize("name", nn_weights.list_models())
def test_captum_finds_the_same(name: str) -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed (pip install '.[dev]')")
    looked_at = network(name)
    pixels = nn_weights.normalize_faces(torch.from_numpy(FACES) / 255).requires_grad_()
    chosen = torch.from_numpy(ASKED)
    if module := saliency.target_layer(looked_at, 48):
        theirs = attr.LayerGradCam(looked_at, module).attribute(pixels, chosen, relu_attributions=True)
        theirs = attr.LayerAttribution.interpolate(theirs, (48, 48), "bilinear")[:, 0].detach().numpy()
        theirs = theirs / theirs.max(axis=(1, 2), keepdims=True).clip(min=1e-12)
        np.testing.assert_allclose(saliency.grad_cam(looked_at, FACES, ASKED), theirs, atol=1e-4)
    theirs = attr.Saliency(looked_at).attribute(pixels, chosen)[:, 0].numpy()
    theirs = theirs / theirs.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(saliency.pixel_gradient(looked_at, FACES, ASKED), theirs, atol=1e-4)


@pytest.mark.parametrize(("name", "applies"), CAM.items())
def test_cam_is_for_networks_that_end_in_a_mean_and_one_layer(name: str, applies: bool) -> None:
    heat = saliency.cam(network(name), FACES, ASKED)
    assert (heat is not None) == applies
    assert heat is None or heat.shape == FACES.shape


@pytest.mark.parametrize("name", ["resnet18", "se_resnet9"])
def test_cam_is_grad_cam_where_both_see_the_last_map(name: str) -> None:
    heat = saliency.grad_cam(network(name), FACES, ASKED)
    assert heat is not None
    assert heat.any()
    np.testing.assert_allclose(saliency.cam(network(name), FACES, ASKED), heat, atol=1e-4)


class Corners(nn.Module):
    """Light above the diagonal speaks for emotion 0 and, around a branch that sees all, below it for emotion 1."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Conv2d(1, 2, 1, bias=False)
        self.joined = nn.Identity()
        self.branch.weight.data[:] = 1

    def forward(self, pixels: Tensor) -> Tensor:
        upper = torch.ones(pixels.shape[2:]).triu()
        sides = torch.cat([pixels * upper, pixels * (1 - upper)], dim=1)
        return self.joined(sides + 0 * self.branch(pixels)).mean(dim=(2, 3))


def test_heat_is_where_the_evidence_is() -> None:
    white = np.full((2, 8, 8), 255, dtype=np.uint8)
    heat = saliency.grad_cam(Corners(), white, np.array([0, 1]))
    np.testing.assert_array_equal(heat, [np.triu(np.ones((8, 8))), np.tril(np.ones((8, 8)), -1)])


def test_a_branch_that_others_go_around_is_not_the_target() -> None:
    corners = Corners()
    assert saliency.target_layer(corners, 8) is corners.joined


def test_pixels_matter_by_their_weight() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    weights = linear[1].weight.detach().abs().numpy().reshape(2, 4, 4)
    heat = saliency.pixel_gradient(linear, FACES[:2, :4, :4], np.array([0, 1]))
    np.testing.assert_allclose(heat, weights / weights.max(axis=(1, 2), keepdims=True), rtol=1e-5)


def test_a_network_without_maps_has_no_grad_cam() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, 7))
    assert saliency.grad_cam(linear, FACES, ASKED) is None
    assert saliency.cam(linear, FACES, ASKED) is None
    assert saliency.feature_maps(linear, FACES[0]) == []


def test_the_batch_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = saliency.grad_cam(network("se_resnet9"), FACES, ASKED)
    monkeypatch.setattr(saliency, "GRADIENT_BATCH", 2)
    np.testing.assert_allclose(saliency.grad_cam(network("se_resnet9"), FACES, ASKED), whole, atol=1e-4)
    none = saliency.pixel_gradient(network("se_resnet9"), FACES[:0], ASKED[:0])
    assert none.shape == (0, 48, 48)


def test_frozen_weights_are_explained_too() -> None:
    frozen = network("se_resnet9")
    before = saliency.grad_cam(frozen, FACES, ASKED)
    frozen.requires_grad_(False)
    try:
        np.testing.assert_array_equal(saliency.grad_cam(frozen, FACES, ASKED), before)
    finally:
        frozen.requires_grad_(True)


def test_hooks_are_released_when_a_network_fails() -> None:
    broken = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(1, 1))
    for explain in (saliency.grad_cam, saliency.cam, saliency.pixel_gradient):
        with pytest.raises(RuntimeError, match="shapes"):
            explain(broken, FACES, ASKED)
    with pytest.raises(RuntimeError, match="shapes"):
        saliency.feature_maps(broken, FACES[0])
    assert hooks(broken) == 0


def test_feature_maps_come_in_the_order_of_the_way() -> None:
    shapes = [each.shape for each in saliency.feature_maps(network("se_resnet9"), FACES[0])]
    assert shapes == [(64, 48, 48), (128, 24, 24), (256, 12, 12), (256, 6, 6)]
