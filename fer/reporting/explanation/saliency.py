"""What in a face speaks for an emotion, as a network sees it: Grad-CAM, CAM, the gradient of the pixels, and its maps.

A map is whatever a module gives out as (n, channels, h, w) with several cells a side: so a network need not name its
maps. Heat is between 0 and 1, and 1 where it is greatest; a face in which nothing speaks for the emotion has none.
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

MIN_MAP_SIDE = 4  # a side: a coarser map can't tell an eye from the mouth, so Grad-CAM takes an earlier one
GRADIENT_BATCH = 16  # faces: the gradient needs all maps of all of them at once


@contextmanager
def capture_feature_maps(network: nn.Module) -> Iterator[FeatureMaps]:
    """Yield the maps that the modules of `network` will give out, the latest last; no hook outlives the block."""
    maps: FeatureMaps = {}

    def keep(module: nn.Module, _given: object, returned: object) -> None:
        maps.pop(module, None)  # one that is used again moves to the end
        if isinstance(returned, Tensor) and returned.ndim == 4 and min(returned.shape[2:]) > 1:
            maps[module] = returned

    with ExitStack() as hooks:
        for module in network.modules():
            hooks.enter_context(module.register_forward_hook(keep))
        yield maps


def target_layer(network: nn.Module, size: int) -> nn.Module | None:
    """The module whose map Grad-CAM explains: the last map of `CELLS` a side or more that nothing goes around.

    A map within a residual block, or of one branch among several, tells of a part of the way only. None where there is
    no such map.
    """
    pixels = _to_input(network.eval(), np.zeros((1, size, size), dtype=np.uint8)).requires_grad_()
    with capture_feature_maps(network) as maps:
        network(pixels)
    fine = [module for module, each in maps.items() if min(each.shape[2:]) >= MIN_MAP_SIDE]
    return next((module for module in reversed(fine) if not _is_bypassed(module, network, pixels)), None)


def grad_cam(network: nn.Module, faces: FaceArray, codes: EmotionCodes) -> Heatmaps | None:
    """Where in each face the map of `target` speaks for its emotion (Selvaraju et al. 2017, arXiv:1610.02391).

    The emotions are indices of logits. Channels are weighed by the mean gradient of the emotion's logit; what speaks
    against it is left out. None where the network has no such map.
    """
    if (module := target_layer(network, faces.shape[1])) is None:
        return None

    def heat(_pixels: Tensor, maps: FeatureMaps, logits: Tensor, chosen: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(logits.gather(1, chosen).sum(), maps[module])
        return torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * maps[module]).sum(dim=1))

    return _compute_heatmaps(network, faces, codes, heat)


def cam(network: nn.Module, faces: FaceArray, codes: EmotionCodes) -> Heatmaps | None:
    """Where in each face the last map speaks for its emotion, by the last layer's weights (Zhou et al. 2016).

    What speaks against it is left out, as in Grad-CAM. None where the network does not end in the mean of its last map
    and one linear layer.
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]

    def heat(_pixels: Tensor, maps: FeatureMaps, logits: Tensor, chosen: Tensor) -> Tensor | None:
        last = next(reversed(maps.values()), None)
        if last is None or not linear or linear[-1].in_features != last.shape[1]:
            return None
        if not torch.allclose(linear[-1](last.mean(dim=(2, 3))), logits, rtol=1e-4, atol=1e-4):
            return None
        return torch.relu((linear[-1].weight[chosen[:, 0], :, None, None] * last).sum(dim=1))

    return _compute_heatmaps(network, faces, codes, heat)


def pixel_gradient(network: nn.Module, faces: FaceArray, codes: EmotionCodes) -> Heatmaps:
    """How much each pixel of each face matters to its emotion (Simonyan et al. 2014, arXiv:1312.6034)."""

    def heat(pixels: Tensor, _maps: FeatureMaps, logits: Tensor, chosen: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(logits.gather(1, chosen).sum(), pixels)
        return gradient[:, 0].abs()

    found = _compute_heatmaps(network, faces, codes, heat)
    assert found is not None, "every network has pixels"
    return found


def explain_faces(network: nn.Module, faces: FaceArray, codes: EmotionCodes) -> tuple[str, Heatmaps]:
    """The heat of Grad-CAM, or of the pixel gradient where the network has no map for it, with the name of the way."""
    heat = grad_cam(network, faces, codes)
    return ("Grad-CAM", heat) if heat is not None else ("pixel gradient", pixel_gradient(network, faces, codes))


def feature_maps(
    network: nn.Module, face: UInt8[np.ndarray, "size size"]
) -> list[Float[np.ndarray, "channels height width"]]:
    """The last map of each size on the way of a face through `network`, in the order of the way."""
    with capture_feature_maps(network.eval()) as maps, torch.no_grad():
        network(_to_input(network, face[None]))
    last = {each.shape[2:]: each for each in maps.values()}
    return [each[0].cpu().numpy() for each in last.values()]


def _is_bypassed(module: nn.Module, network: nn.Module, pixels: Float[Tensor, "1 1 size size"]) -> bool:
    """Whether the logits depend on the pixels by another way than what `module` gives out."""
    with module.register_forward_hook(lambda _module, _given, returned: returned.detach()):
        logits = network(pixels)
    return logits.requires_grad and torch.autograd.grad(logits.sum(), pixels, allow_unused=True)[0] is not None


def _compute_heatmaps(
    network: nn.Module,
    faces: FaceArray,
    codes: EmotionCodes,
    heat_of_batch: Callable[[Tensor, FeatureMaps, Tensor, Tensor], Tensor | None],
) -> Heatmaps | None:
    """What `heat_of_batch` makes of pixels, maps, logits and emotions (n, 1), a batch at a time, in the size of the faces."""
    network.eval()
    parts = [np.zeros(faces.shape, dtype=np.float32)[:0]]
    for start in range(0, len(faces), GRADIENT_BATCH):
        pixels = _to_input(network, faces[start : start + GRADIENT_BATCH]).requires_grad_()
        chosen = torch.from_numpy(codes[start : start + GRADIENT_BATCH, None]).to(pixels.device)
        with capture_feature_maps(network) as maps:
            found = heat_of_batch(pixels, maps, network(pixels), chosen)
        if found is None:
            return None
        found = interpolate(found.detach()[:, None], size=pixels.shape[2:], mode="bilinear")[:, 0]
        greatest = found.amax(dim=(1, 2), keepdim=True)
        parts.append((found / torch.where(greatest > 0, greatest, 1)).cpu().numpy())
    return np.concatenate(parts)


def _to_input(network: nn.Module, faces: FaceArray) -> Float[Tensor, "n 1 size size"]:
    where = next(network.parameters()).device
    return normalize_faces(torch.from_numpy(np.array(faces)).to(where).float() / 255)
