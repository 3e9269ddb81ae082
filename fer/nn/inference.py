"""Predict logits of faces: views, precision, batches."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate
from tqdm import tqdm

from fer.nn.devices import autocast
from fer.nn.weights import normalize_faces

CPU_BATCH = 32  # faces; their feature maps fit the cache of a CPU, which makes prediction up to twice as fast
MAX_GPU_PIXELS = 2**31 // 64  # of a batch: torch's fast kernels index maps with 32 bits; first maps have 64 channels
CROP_MARGIN = 1 / 24  # share of the side on each side of the centre crop: 44 of 48 pixels, as usual with FER-2013


def make_views(faces: Float[Tensor, "n size size"], views: Sequence[str]) -> dict[str, Float[Tensor, "n size size"]]:
    """Return the views of the faces by name.

    plain: unchanged. flip: mirrored. ten_crop: the four corners and the centre, plain and mirrored, each enlarged to
    the size of the face (Krizhevsky et al. 2012); their names tell them apart.
    """
    views_by_name = {}
    for view in views:
        match view:
            case "plain":
                views_by_name["plain"] = faces
            case "flip":
                views_by_name["flip"] = faces.flip(-1)
            case "ten_crop":
                for name, crop in _make_crops(faces).items():
                    views_by_name |= {name: crop, f"{name} flipped": crop.flip(-1)}
    return views_by_name


def view_names(views: Sequence[str]) -> list[str]:
    """Return the names of all views, in the order of the second axis of `predict_logits`."""
    return list(make_views(torch.zeros(1, 12, 12), views))


def _make_crops(faces: Float[Tensor, "n size size"]) -> dict[str, Float[Tensor, "n size size"]]:
    size = faces.shape[-1]
    margin = max(1, round(CROP_MARGIN * size))
    last, side = 2 * margin, size - 2 * margin
    corners = {
        "top left": (0, 0),
        "top right": (0, last),
        "bottom left": (last, 0),
        "bottom right": (last, last),
        "centre": (margin, margin),
    }
    return {
        name: interpolate(faces[:, None, y : y + side, x : x + side], size=(size, size), mode="bilinear")[:, 0]
        for name, (y, x) in corners.items()
    }


@torch.inference_mode()
def predict_logits(
    network: nn.Module,
    faces: UInt8[np.ndarray, "n size size"],
    *,
    views: Sequence[str],
    batch: int,
    precision: str,
    progress: str | None = None,
) -> Float[np.ndarray, "n views classes"]:
    """Return float32 logits of every face in each of `views`.

    `faces` may be memory-mapped: one batch at a time is read. `progress` names a bar that is shown on a terminal.
    """
    device = next(network.parameters()).device
    network.eval()
    n_classes = network(normalize_faces(torch.zeros(1, *faces.shape[1:], device=device))).shape[1]
    logits = torch.zeros(len(faces), len(view_names(views)), n_classes, device=device)
    starts = range(0, len(faces), batch)
    for start in tqdm(starts, desc=progress, unit="batch", disable=None if progress else True, leave=False):
        pixels = torch.from_numpy(np.array(faces[start : start + batch])).to(device)
        logits[start : start + batch] = predict_batch(network, pixels, views, precision)
    return logits.cpu().numpy()


@torch.inference_mode()
def predict_batch(
    network: Callable[[Tensor], Tensor], faces: UInt8[Tensor, "n size size"], views: Sequence[str], precision: str
) -> Float[Tensor, "n views classes"]:
    """Return float32 logits of a batch of faces; `network` is in evaluation mode, all tensors are on its device."""
    logits = []
    with autocast(faces.device, precision):
        for part in faces.split(largest_part(faces)):
            images = make_views(part.float() / 255, views).values()
            logits.append(torch.stack([network(normalize_faces(image)).float() for image in images], dim=1))
    return torch.cat(logits)


def largest_part(faces: UInt8[Tensor, "n size size"]) -> int:
    """Return how many of the faces the network should get at once on their device."""
    return CPU_BATCH if faces.device.type == "cpu" else max(1, MAX_GPU_PIXELS // faces.shape[1:].numel())
