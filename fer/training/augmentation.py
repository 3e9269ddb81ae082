"""Augmentation: random transforms of a batch of faces on its device, mixup, and copies that balance the classes.

torchvision's transforms draw one set of parameters for a whole batch; here every face has its own. Borders repeat the
nearest pixel, as in the recipe of the ECE 176 report (`fill_mode="nearest"`).
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from fer.training.cameras import CameraDraws, apply_cameras, draw_cameras
from fer.training.params import Transforms

MIN_ERASED_AREA = 0.02  # of the face, as in Zhong et al. 2017 (arXiv:1708.04896); their largest, 0.4, can hide a mouth
ERASED_ASPECT_RATIO = (0.3, 3.3)  # height over width


class TransformDraws(NamedTuple):
    """The random numbers of the transforms, one of each for every face."""

    rotation: Float[Tensor, " n"]  # radians
    shear: Float[Tensor, " n"]
    zoom_x: Float[Tensor, " n"]
    zoom_y: Float[Tensor, " n"]
    shift_x: Float[Tensor, " n"]  # grid units, of which a side has 2
    shift_y: Float[Tensor, " n"]
    mirror: Float[Tensor, " n"]  # -1 or 1
    contrast: Float[Tensor, " n"]
    brightness: Float[Tensor, " n"]
    y_min: Float[Tensor, " n"]  # of the erased rectangle, in sides of the face
    x_min: Float[Tensor, " n"]
    height: Float[Tensor, " n"]
    width: Float[Tensor, " n"]
    is_erased: Bool[Tensor, " n"]
    camera: CameraDraws | None


def transform_faces(
    faces: UInt8[Tensor, "n size size"], transforms: Transforms, generator: torch.Generator
) -> Float[Tensor, "n size size"]:
    """Return the faces in 0..1, each transformed at random; `generator` is on the device of `faces`."""
    return apply_transforms(faces, draw_transforms(len(faces), faces.shape[1], transforms, generator))


def draw_transforms(n: int, size: int, transforms: Transforms, generator: torch.Generator) -> TransformDraws:
    """Return the random numbers of `n` faces with sides of `size` pixels, on the device of `generator`."""

    def uniform(low: float, high: float) -> Float[Tensor, " n"]:
        return torch.empty(n, device=generator.device).uniform_(low, high, generator=generator)

    max_rotation = math.radians(transforms.rotation_degrees)
    max_shear = math.tan(math.radians(transforms.shear_degrees))
    rotation, shear = uniform(-max_rotation, max_rotation), uniform(-max_shear, max_shear)
    zoom_x, zoom_y = (uniform(1 - transforms.zoom, 1 + transforms.zoom) for _ in range(2))
    shift_x, shift_y = (uniform(-2 * transforms.shift, 2 * transforms.shift) for _ in range(2))
    mirror = 1 - 2 * (uniform(0.0, 1.0) < transforms.flip).float()
    contrast = uniform(1 - transforms.contrast, 1 + transforms.contrast)
    brightness = uniform(1 - transforms.brightness, 1 + transforms.brightness)
    area = uniform(min(MIN_ERASED_AREA, transforms.erased_area), transforms.erased_area)
    ratio = uniform(math.log(ERASED_ASPECT_RATIO[0]), math.log(ERASED_ASPECT_RATIO[1])).exp()
    height, width = (area * ratio).sqrt(), (area / ratio).sqrt()
    y_min, x_min = uniform(0.0, 1.0) * (1 - height), uniform(0.0, 1.0) * (1 - width)
    is_erased = uniform(0.0, 1.0) < transforms.erasing
    camera = draw_cameras(n, size, transforms.camera, generator) if transforms.camera else None
    return TransformDraws(
        rotation, shear, zoom_x, zoom_y, shift_x, shift_y, mirror, contrast, brightness, y_min, x_min, height, width,
        is_erased, camera,
    )  # fmt: skip


def apply_transforms(faces: UInt8[Tensor, "n size size"], draws: TransformDraws) -> Float[Tensor, "n size size"]:
    """Return the faces in 0..1, transformed by `draws`: a function of tensors alone, so that a GPU can fuse it."""
    pixels = faces.float() / 255
    if not len(pixels):
        return pixels
    pixels = _erase_rectangles(_adjust_light(_apply_affine(pixels, draws), draws), draws)
    return apply_cameras(pixels, draws.camera) if draws.camera else pixels


def mixup(
    faces: Float[Tensor, "n size size"], targets: Float[Tensor, "n classes"], weights: Float[Tensor, "2"]
) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n classes"]]:
    """Blend each face and its targets, by the first weight, with another face of the batch, by the second.

    Mixup (Zhang et al. 2018, arXiv:1710.09412), with the same weights for the whole batch as in the authors' code.
    """
    first, second = weights
    return first * faces + second * faces.flip(0), first * targets + second * targets.flip(0)


def _apply_affine(pixels: Float[Tensor, "n size size"], draws: TransformDraws) -> Float[Tensor, "n size size"]:
    """Flip, rotate, shear, zoom and shift, in one resampling."""
    cos, sin, mirror, shear = draws.rotation.cos(), draws.rotation.sin(), draws.mirror, draws.shear
    row_x = torch.stack([mirror * cos / draws.zoom_x, mirror * (shear * cos - sin) / draws.zoom_y, draws.shift_x], 1)
    row_y = torch.stack([sin / draws.zoom_x, (shear * sin + cos) / draws.zoom_y, draws.shift_y], 1)
    grid = affine_grid(torch.stack([row_x, row_y], dim=1), [len(pixels), 1, *pixels.shape[1:]], align_corners=False)
    return grid_sample(pixels[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]


def _adjust_light(pixels: Float[Tensor, "n size size"], draws: TransformDraws) -> Float[Tensor, "n size size"]:
    """Scale the contrast around each face's mean, then the brightness."""
    contrast, brightness = draws.contrast[:, None, None], draws.brightness[:, None, None]
    mean = pixels.mean(dim=(1, 2), keepdim=True)
    return (((pixels - mean) * contrast + mean) * brightness).clamp(0, 1)


def _erase_rectangles(pixels: Float[Tensor, "n size size"], draws: TransformDraws) -> Float[Tensor, "n size size"]:
    """Fill one rectangle of some faces with the mean grey of the face (random erasing)."""
    centre = (torch.arange(pixels.shape[1], device=pixels.device) + 0.5) / pixels.shape[1]
    inside_y = (centre >= draws.y_min[:, None]) & (centre < (draws.y_min + draws.height)[:, None])
    inside_x = (centre >= draws.x_min[:, None]) & (centre < (draws.x_min + draws.width)[:, None])
    inside = inside_y[:, :, None] & inside_x[:, None, :] & draws.is_erased[:, None, None]
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
