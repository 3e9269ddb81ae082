"""Random changes to a batch of faces, on its device, drawn for each face apart.

torchvision's transforms draw one set of parameters for a whole batch; here every face has its own. Edges repeat the
nearest pixel, as in the report's recipe (`fill_mode="nearest"`).
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from fer.training.params import Transforms

ERASED_AREA = (0.02, 0.2)  # of the face; Zhong et al. 2017, arXiv:1708.04896, go to 0.4, which hides a mouth whole
ERASED_ASPECT_RATIO = (0.3, 3.3)  # height over width


def transform_faces(
    faces: UInt8[Tensor, "n size size"], transforms: Transforms, generator: torch.Generator
) -> Float[Tensor, "n size size"]:
    """The faces in 0..1, each changed at random; `generator` is on the device of `faces`."""
    pixels = faces.float() / 255
    if not len(pixels):
        return pixels
    pixels = _apply_affine(pixels, transforms, generator)
    pixels = _adjust_light(pixels, transforms, generator)
    return _erase_rectangles(pixels, transforms, generator)


def mixup(
    faces: Float[Tensor, "n size size"], targets: Float[Tensor, "n classes"], lam: float
) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n classes"]]:
    """Each face blended with another of the batch, of which it keeps `lam`, and so are their goals.

    Mixup (Zhang et al. 2018, arXiv:1710.09412), with one share for the batch as in its authors' code.
    """
    return lam * faces + (1 - lam) * faces.flip(0), lam * targets + (1 - lam) * targets.flip(0)


def _uniform(low: float, high: float, like: Tensor, generator: torch.Generator) -> Float[Tensor, " n"]:
    return torch.empty(len(like), device=like.device).uniform_(low, high, generator=generator)


def _apply_affine(
    pixels: Float[Tensor, "n size size"], transforms: Transforms, generator: torch.Generator
) -> Float[Tensor, "n size size"]:
    """Flip, rotate, shear, zoom and shift, in one resampling."""
    angle = math.radians(transforms.rotation_degrees)
    slant = math.tan(math.radians(transforms.shear_degrees))
    turned = _uniform(-angle, angle, pixels, generator)
    shear = _uniform(-slant, slant, pixels, generator)
    zoom_x = _uniform(1 - transforms.zoom, 1 + transforms.zoom, pixels, generator)
    zoom_y = _uniform(1 - transforms.zoom, 1 + transforms.zoom, pixels, generator)
    shift_x = _uniform(-2 * transforms.shift, 2 * transforms.shift, pixels, generator)  # the side is 2 in grid units
    shift_y = _uniform(-2 * transforms.shift, 2 * transforms.shift, pixels, generator)
    mirror = 1 - 2 * (_uniform(0.0, 1.0, pixels, generator) < transforms.flip).float()

    cos, sin = turned.cos(), turned.sin()
    row_x = torch.stack([mirror * cos / zoom_x, mirror * (shear * cos - sin) / zoom_y, shift_x], dim=1)
    row_y = torch.stack([sin / zoom_x, (shear * sin + cos) / zoom_y, shift_y], dim=1)
    grid = affine_grid(torch.stack([row_x, row_y], dim=1), [len(pixels), 1, *pixels.shape[1:]], align_corners=False)
    return grid_sample(pixels[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]


def _adjust_light(
    pixels: Float[Tensor, "n size size"], transforms: Transforms, generator: torch.Generator
) -> Float[Tensor, "n size size"]:
    """Change contrast about each face's own mean, then brightness by a factor."""
    contrast = _uniform(1 - transforms.contrast, 1 + transforms.contrast, pixels, generator)[:, None, None]
    brightness = _uniform(1 - transforms.brightness, 1 + transforms.brightness, pixels, generator)[:, None, None]
    mean = pixels.mean(dim=(1, 2), keepdim=True)
    return (((pixels - mean) * contrast + mean) * brightness).clamp(0, 1)


def _erase_rectangles(
    pixels: Float[Tensor, "n size size"], transforms: Transforms, generator: torch.Generator
) -> Float[Tensor, "n size size"]:
    """Paint one rectangle in the face's mean grey (random erasing)."""
    area = _uniform(*ERASED_AREA, pixels, generator)
    ratio = _uniform(math.log(ERASED_ASPECT_RATIO[0]), math.log(ERASED_ASPECT_RATIO[1]), pixels, generator).exp()
    height, width = (area * ratio).sqrt(), (area / ratio).sqrt()
    top = _uniform(0.0, 1.0, pixels, generator) * (1 - height)
    left = _uniform(0.0, 1.0, pixels, generator) * (1 - width)
    chosen = _uniform(0.0, 1.0, pixels, generator) < transforms.erasing

    place = (torch.arange(pixels.shape[1], device=pixels.device) + 0.5) / pixels.shape[1]
    inside_y = (place >= top[:, None]) & (place < (top + height)[:, None])
    inside_x = (place >= left[:, None]) & (place < (left + width)[:, None])
    inside = inside_y[:, :, None] & inside_x[:, None, :] & chosen[:, None, None]
    return torch.where(inside, pixels.mean(dim=(1, 2), keepdim=True), pixels)


def select_rows_to_copy(
    labels: Int[np.ndarray, " n"], balance: float, max_copies: int, generator: np.random.Generator
) -> Int[np.ndarray, " m"]:
    """Which faces to copy, and how often, so that each label has `balance` of the commonest one's faces.

    The faces of a label are copied equally often, to within one, and none more than `max_copies` times.
    """
    counts = np.bincount(labels)
    rows = []
    for value in np.flatnonzero(counts):
        faces = np.flatnonzero(labels == value)
        missing = min(int(balance * counts.max()) - len(faces), max_copies * len(faces))
        rows += [generator.permutation(faces)[: missing - start] for start in range(0, missing, len(faces))]
    return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *rows]))
