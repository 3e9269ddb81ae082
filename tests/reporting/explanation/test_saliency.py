"""Every network has saliency maps, and computing them does not change the network."""

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

NETWORK_PARAMS = load_params(Path(__file__).parents[3] / "params.yaml").networks
FACES = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
CODES = np.array([0, 3, 6])
CAM_APPLIES = {"se_resnet9": True, "mobilenet": True, "vgg16": False, "mini_vgg_no_fc": False, "improved_se": False}


@cache
def make_network(name: str) -> nn.Module:
    torch.manual_seed(0)
    input_px = 96 if NETWORK_PARAMS[name].transfer else None
    config = nn_weights.ModelConfig(network=name, emotions=EMOTIONS[:7], size=48, dropout=0.3, input_px=input_px)
    return config.build().eval()


def count_hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


@pytest.mark.parametrize("name", nn_weights.list_models())
def test_every_network_has_heat_and_stays_unchanged(name: str) -> None:
    network = make_network(name)
    method, heat = saliency.explain_faces(network, FACES, CODES)
    assert (method == "Grad-CAM") == any(isinstance(module, nn.Conv2d) for module in network.modules())
    assert heat.shape == FACES.shape
    assert heat.dtype == np.float32
    assert np.isfinite(heat).all()
    assert heat.min() >= 0
    max_heat = heat.max(axis=(1, 2))
    np.testing.assert_array_equal(max_heat, max_heat > 0)
    assert count_hooks(network) == 0
    assert all(parameter.grad is None for parameter in network.parameters())


LARGE_NETWORKS = [name for name, row in NETWORK_PARAMS.items() if row.transfer and name != "mobilenet"]
CAPTUM_CASES = [
    pytest.param(name, marks=pytest.mark.harden if name in LARGE_NETWORKS else ()) for name in nn_weights.list_models()
]


@pytest.mark.parametrize("name", CAPTUM_CASES)
def test_heat_agrees_with_captum(name: str) -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed (pip install '.[dev]')")
    network = make_network(name)
    pixels = nn_weights.normalize_faces(torch.from_numpy(FACES) / 255).requires_grad_()
    targets = torch.from_numpy(CODES)
    if module := saliency.target_layer(network, 48):
        expected = attr.LayerGradCam(network, module).attribute(pixels, targets, relu_attributions=True)
        expected = attr.LayerAttribution.interpolate(expected, (48, 48), "bilinear")[:, 0].detach().numpy()
        expected = expected / expected.max(axis=(1, 2), keepdims=True).clip(min=1e-12)
        np.testing.assert_allclose(saliency.grad_cam(network, FACES, CODES), expected, atol=1e-4)
    expected = attr.Saliency(network).attribute(pixels, targets)[:, 0].numpy()
    expected = expected / expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(saliency.pixel_gradient(network, FACES, CODES), expected, atol=1e-4)


@pytest.mark.parametrize(("name", "applies"), CAM_APPLIES.items())
def test_cam_needs_global_average_pooling_and_one_linear_layer(name: str, applies: bool) -> None:
    heat = saliency.cam(make_network(name), FACES, CODES)
    assert (heat is not None) == applies
    assert heat is None or heat.shape == FACES.shape


@pytest.mark.parametrize("name", ["resnet18", "se_resnet9"])
def test_cam_equals_grad_cam_on_the_last_feature_map(name: str) -> None:
    heat = saliency.grad_cam(make_network(name), FACES, CODES)
    assert heat is not None
    assert heat.any()
    np.testing.assert_allclose(saliency.cam(make_network(name), FACES, CODES), heat, atol=1e-4)


class Corners(nn.Module):
    """Light above the diagonal supports emotion 0, below it emotion 1; a branch with all pixels has no effect."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Conv2d(1, 2, 1, bias=False)
        self.sum = nn.Identity()
        self.branch.weight.data[:] = 1

    def forward(self, pixels: Tensor) -> Tensor:
        upper = torch.ones(pixels.shape[2:]).triu()
        sides = torch.cat([pixels * upper, pixels * (1 - upper)], dim=1)
        return self.sum(sides + 0 * self.branch(pixels)).mean(dim=(2, 3))


def test_heat_is_where_the_evidence_is() -> None:
    white = np.full((2, 8, 8), 255, dtype=np.uint8)
    heat = saliency.grad_cam(Corners(), white, np.array([0, 1]))
    np.testing.assert_array_equal(heat, [np.triu(np.ones((8, 8))), np.tril(np.ones((8, 8)), -1)])


def test_bypassed_branch_is_not_the_target_layer() -> None:
    corners = Corners()
    assert saliency.target_layer(corners, 8) is corners.sum


def test_pixel_gradient_is_the_weight_of_a_linear_network() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    weights = linear[1].weight.detach().abs().numpy().reshape(2, 4, 4)
    heat = saliency.pixel_gradient(linear, FACES[:2, :4, :4], np.array([0, 1]))
    np.testing.assert_allclose(heat, weights / weights.max(axis=(1, 2), keepdims=True), rtol=1e-5)


def test_network_without_feature_maps_has_no_grad_cam() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, 7))
    assert saliency.grad_cam(linear, FACES, CODES) is None
    assert saliency.cam(linear, FACES, CODES) is None
    assert saliency.feature_maps(linear, FACES[0]) == []


def test_heat_does_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    one_batch = saliency.grad_cam(make_network("se_resnet9"), FACES, CODES)
    monkeypatch.setattr(saliency, "GRADIENT_BATCH", 2)
    np.testing.assert_allclose(saliency.grad_cam(make_network("se_resnet9"), FACES, CODES), one_batch, atol=1e-4)
    empty = saliency.pixel_gradient(make_network("se_resnet9"), FACES[:0], CODES[:0])
    assert empty.shape == (0, 48, 48)


def test_frozen_networks_have_heat() -> None:
    frozen = make_network("se_resnet9")
    expected = saliency.grad_cam(frozen, FACES, CODES)
    frozen.requires_grad_(False)
    try:
        np.testing.assert_array_equal(saliency.grad_cam(frozen, FACES, CODES), expected)
    finally:
        frozen.requires_grad_(True)


def test_hooks_are_removed_if_the_network_fails() -> None:
    broken = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(1, 1))
    for explain in (saliency.grad_cam, saliency.cam, saliency.pixel_gradient):
        with pytest.raises(RuntimeError, match="shapes"):
            explain(broken, FACES, CODES)
    with pytest.raises(RuntimeError, match="shapes"):
        saliency.feature_maps(broken, FACES[0])
    assert count_hooks(broken) == 0


def test_feature_maps_are_in_order_of_computation() -> None:
    shapes = [feature_map.shape for feature_map in saliency.feature_maps(make_network("se_resnet9"), FACES[0])]
    assert shapes == [(64, 48, 48), (128, 24, 24), (256, 12, 12), (256, 6, 6)]
