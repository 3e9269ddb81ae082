"""Augmentation: random transforms of a batch of faces on its device, mixup, and copies that balance the classes.

torchvision's transforms draw one set of parameters for a whole batch; here every face has its own. Borders repeat the
nearest pixel, as in the recipe of the ECE 176 report (`fill_mode="nearest"`).
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from fer.training.params import Transforms

ERASED_AREA = (0.02, 0.2)  # of the face; 0.4, as in Zhong et al. 2017 (arXiv:1708.04896), can hide a whole mouth
ERASED_ASPECT_RATIO = (0.3, 3.3)  # height over width


def transform_faces(
    faces: UInt8[Tensor, "n size size"], transforms: Transforms, generator: torch.Generator
) -> Float[Tensor, "n size size"]:
    """Return the faces in 0..1, each transformed at random; `generator` is on the device of `faces`."""
    pixels = faces.float() / 255
    if not len(pixels):
        return pixels
    pixels = _apply_affine(pixels, transforms, generator)
    pixels = _adjust_light(pixels, transforms, generator)
    return _erase_rectangles(pixels, transforms, generator)


def mixup(
    faces: Float[Tensor, "n size size"], targets: Float[Tensor, "n classes"], lam: float
) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n classes"]]:
    """Blend each face and its targets, weighted `lam`, with another face of the batch, weighted 1 - `lam`.

    Mixup (Zhang et al. 2018, arXiv:1710.09412), with one `lam` for the batch as in the authors' code.
    """
    return lam * faces + (1 - lam) * faces.flip(0), lam * targets + (1 - lam) * targets.flip(0)


def _uniform(low: float, high: float, like: Tensor, generator: torch.Generator) -> Float[Tensor, " n"]:
    return torch.empty(len(like), device=like.device).uniform_(low, high, generator=generator)


def _apply_affine(
    pixels: Float[Tensor, "n size size"], transforms: Transforms, generator: torch.Generator
) -> Float[Tensor, "n size size"]:
    """Flip, rotate, shear, zoom and shift, in one resampling."""
    max_rotation = math.radians(transforms.rotation_degrees)
    max_shear = math.tan(math.radians(transforms.shear_degrees))
    rotation = _uniform(-max_rotation, max_rotation, pixels, generator)
    shear = _uniform(-max_shear, max_shear, pixels, generator)
    zoom_x = _uniform(1 - transforms.zoom, 1 + transforms.zoom, pixels, generator)
    zoom_y = _uniform(1 - transforms.zoom, 1 + transforms.zoom, pixels, generator)
    shift_x = _uniform(-2 * transforms.shift, 2 * transforms.shift, pixels, generator)  # a side has 2 grid units
    shift_y = _uniform(-2 * transforms.shift, 2 * transforms.shift, pixels, generator)
    mirror = 1 - 2 * (_uniform(0.0, 1.0, pixels, generator) < transforms.flip).float()

    cos, sin = rotation.cos(), rotation.sin()
    row_x = torch.stack([mirror * cos / zoom_x, mirror * (shear * cos - sin) / zoom_y, shift_x], dim=1)
    row_y = torch.stack([sin / zoom_x, (shear * sin + cos) / zoom_y, shift_y], dim=1)
    grid = affine_grid(torch.stack([row_x, row_y], dim=1), [len(pixels), 1, *pixels.shape[1:]], align_corners=False)
    return grid_sample(pixels[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]


def _adjust_light(
    pixels: Float[Tensor, "n size size"], transforms: Transforms, generator: torch.Generator
) -> Float[Tensor, "n size size"]:
    """Scale the contrast around each face's mean, then the brightness."""
    contrast = _uniform(1 - transforms.contrast, 1 + transforms.contrast, pixels, generator)[:, None, None]
    brightness = _uniform(1 - transforms.brightness, 1 + transforms.brightness, pixels, generator)[:, None, None]
    mean = pixels.mean(dim=(1, 2), keepdim=True)
    return (((pixels - mean) * contrast + mean) * brightness).clamp(0, 1)


def _erase_rectangles(
    pixels: Float[Tensor, "n size size"], transforms: Transforms, generator: torch.Generator
) -> Float[Tensor, "n size size"]:
    """Fill one rectangle of some faces with the mean grey of the face (random erasing)."""
    area = _uniform(*ERASED_AREA, pixels, generator)
    ratio = _uniform(math.log(ERASED_ASPECT_RATIO[0]), math.log(ERASED_ASPECT_RATIO[1]), pixels, generator).exp()
    height, width = (area * ratio).sqrt(), (area / ratio).sqrt()
    y_min = _uniform(0.0, 1.0, pixels, generator) * (1 - height)
    x_min = _uniform(0.0, 1.0, pixels, generator) * (1 - width)
    is_erased = _uniform(0.0, 1.0, pixels, generator) < transforms.erasing

    centre = (torch.arange(pixels.shape[1], device=pixels.device) + 0.5) / pixels.shape[1]
    inside_y = (centre >= y_min[:, None]) & (centre < (y_min + height)[:, None])
    inside_x = (centre >= x_min[:, None]) & (centre < (x_min + width)[:, None])
    inside = inside_y[:, :, None] & inside_x[:, None, :] & is_erased[:, None, None]
    return torch.where(inside, pixels.mean(dim=(1, 2), keepdim=True), pixels)


def select_rows_to_copy(
    labels: Int[np.ndarray, " n"], balance: float, max_copies: int, generator: np.random.Generator
) -> Int[np.ndarray, " m"]:
    """Return the rows to copy, once per copy, so that each label has `balance` of the faces of the most frequent one.

    Copies are spread evenly over the faces of a label, at most `max_copies` each.
    """
    counts = np.bincount(labels)
    rows = []
    for label in np.flatnonzero(counts):
        faces = np.flatnonzero(labels == label)
        missing = min(int(balance * counts.max()) - len(faces), max_copies * len(faces))
        rows += [generator.permutation(faces)[: missing - start] for start in range(0, missing, len(faces))]
    return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *rows]))
