"""Saliency maps: which pixels of a face support an emotion, by Grad-CAM, CAM or the gradient of the pixels.

Every module output of shape (n, channels, h, w) with several cells a side counts as a feature map, so a network need
not name its feature maps. Heat lies between 0 and 1, and its maximum is 1. It is 0 everywhere if no pixel supports the
emotion.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from fer.nn.weights import normalize_faces

FaceArray = UInt8[np.ndarray, "n size size"]
EmotionCodes = Int[np.ndarray, " n"]
Heatmaps = Float[np.ndarray, "n size size"]
FeatureMaps = dict[nn.Module, Tensor]

MIN_MAP_SIDE = 4  # cells; a coarser feature map cannot separate the eyes from the mouth
GRADIENT_BATCH = 16  # faces; the gradient needs the feature maps of the whole batch in memory


@contextmanager
def capture_feature_maps(network: nn.Module) -> Iterator[FeatureMaps]:
    """Yield the feature maps that `network` computes within the block, the latest last. All hooks are then removed."""
    maps: FeatureMaps = {}

    def store_output(module: nn.Module, _inputs: object, output: object) -> None:
        maps.pop(module, None)  # a module that is called again moves to the end
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            maps[module] = output

    with ExitStack() as hooks:
        for module in network.modules():
            hooks.enter_context(module.register_forward_hook(store_output))
        yield maps


def target_layer(network: nn.Module, size: int) -> nn.Module | None:
    """Return the module whose feature map Grad-CAM uses, or None if the network has none.

    It is the last feature map with at least `MIN_MAP_SIDE` cells a side that no other path bypasses. A feature map
    within a residual block, or of one of several branches, carries only part of the evidence.
    """
    pixels = _to_input(network.eval(), np.zeros((1, size, size), dtype=np.uint8)).requires_grad_()
    with capture_feature_maps(network) as maps:
        network(pixels)
    candidates = [module for module, feature_map in maps.items() if min(feature_map.shape[2:]) >= MIN_MAP_SIDE]
    return next((module for module in reversed(candidates) if not _is_bypassed(module, network, pixels)), None)


def grad_cam(network: nn.Module, faces: FaceArray, codes: EmotionCodes) -> Heatmaps | None:
    """Return the Grad-CAM heatmap of each face for its emotion (Selvaraju et al. 2017, arXiv:1610.02391).

    The channels of the map of `target_layer` are weighted by the mean gradient of the emotion's logit; evidence against
    the emotion is clipped to 0. Returns None if the network has no such layer.
    """
    if (module := target_layer(network, faces.shape[1])) is None:
        return None

    def batch_heat(_pixels: Tensor, maps: FeatureMaps, logits: Tensor, codes: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(logits.gather(1, codes).sum(), maps[module])
        return torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * maps[module]).sum(dim=1))

    return _compute_heatmaps(network, faces, codes, batch_heat)


def cam(network: nn.Module, faces: FaceArray, codes: EmotionCodes) -> Heatmaps | None:
    """Return the CAM heatmap of each face for its emotion (Zhou et al. 2016, arXiv:1512.04150).

    The channels of the last feature map are weighted by the last layer's weights; evidence against the emotion is
    clipped to 0. Returns None if the network does not end in global average pooling and one linear layer.
    """
    linear_layers = [module for module in network.modules() if isinstance(module, nn.Linear)]

    def batch_heat(_pixels: Tensor, maps: FeatureMaps, logits: Tensor, codes: Tensor) -> Tensor | None:
        last = next(reversed(maps.values()), None)
        if last is None or not linear_layers or linear_layers[-1].in_features != last.shape[1]:
            return None
        if not torch.allclose(linear_layers[-1](last.mean(dim=(2, 3))), logits, rtol=1e-4, atol=1e-4):
            return None
        return torch.relu((linear_layers[-1].weight[codes[:, 0], :, None, None] * last).sum(dim=1))

    return _compute_heatmaps(network, faces, codes, batch_heat)


def pixel_gradient(network: nn.Module, faces: FaceArray, codes: EmotionCodes) -> Heatmaps:
    """Return the absolute gradient of the emotion's logit at each pixel (Simonyan et al. 2014, arXiv:1312.6034)."""

    def batch_heat(pixels: Tensor, _maps: FeatureMaps, logits: Tensor, codes: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(logits.gather(1, codes).sum(), pixels)
        return gradient[:, 0].abs()

    heatmaps = _compute_heatmaps(network, faces, codes, batch_heat)
    assert heatmaps is not None, "batch_heat never returns None"
    return heatmaps


def explain_faces(network: nn.Module, faces: FaceArray, codes: EmotionCodes) -> tuple[str, Heatmaps]:
    """Return the method's name and its heatmaps: Grad-CAM, or the pixel gradient if the network has no target layer."""
    heat = grad_cam(network, faces, codes)
    return ("Grad-CAM", heat) if heat is not None else ("pixel gradient", pixel_gradient(network, faces, codes))


def feature_maps(
    network: nn.Module, face: UInt8[np.ndarray, "size size"]
) -> list[Float[np.ndarray, "channels height width"]]:
    """Return the last feature map of each size that `network` computes for a face, in order of computation."""
    with capture_feature_maps(network.eval()) as maps, torch.no_grad():
        network(_to_input(network, face[None]))
    last_by_size = {feature_map.shape[2:]: feature_map for feature_map in maps.values()}
    return [feature_map[0].cpu().numpy() for feature_map in last_by_size.values()]


def _is_bypassed(module: nn.Module, network: nn.Module, pixels: Float[Tensor, "1 1 size size"]) -> bool:
    """Return whether the logits depend on the pixels along a path around the output of `module`."""
    with module.register_forward_hook(lambda _module, _inputs, output: output.detach()):
        logits = network(pixels)
    return logits.requires_grad and torch.autograd.grad(logits.sum(), pixels, allow_unused=True)[0] is not None


def _compute_heatmaps(
    network: nn.Module,
    faces: FaceArray,
    codes: EmotionCodes,
    batch_heat: Callable[[Tensor, FeatureMaps, Tensor, Tensor], Tensor | None],
) -> Heatmaps | None:
    """Return heatmaps of the size of the faces, or None if `batch_heat` returns None.

    `batch_heat` computes the heat of one batch from its pixels, feature maps, logits and emotion codes (n, 1).
    """
    network.eval()
    parts = [np.zeros(faces.shape, dtype=np.float32)[:0]]
    for start in range(0, len(faces), GRADIENT_BATCH):
        pixels = _to_input(network, faces[start : start + GRADIENT_BATCH]).requires_grad_()
        batch_codes = torch.from_numpy(codes[start : start + GRADIENT_BATCH, None]).to(pixels.device)
        with capture_feature_maps(network) as maps:
            heat = batch_heat(pixels, maps, network(pixels), batch_codes)
        if heat is None:
            return None
        heat = interpolate(heat.detach()[:, None], size=pixels.shape[2:], mode="bilinear")[:, 0]
        max_heat = heat.amax(dim=(1, 2), keepdim=True)
        parts.append((heat / torch.where(max_heat > 0, max_heat, 1)).cpu().numpy())
    return np.concatenate(parts)


def _to_input(network: nn.Module, faces: FaceArray) -> Float[Tensor, "n 1 size size"]:
    device = next(network.parameters()).device
    return normalize_faces(torch.from_numpy(np.array(faces)).to(device).float() / 255)
