"""Random cameras: faces as another camera would show them, each face of a batch with its own.

A camera is a resolution, a blur, light with a gamma, the noise of a sensor and JPEG compression, in this order. All is
computed for a batch on its device, by functions of tensors alone, so that a GPU can fuse them.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from fer.training.params import Camera

# The chance that a camera has each part
PART_CHANCES = {"resolution": 0.6, "blur": 0.3, "gamma": 0.3, "gain": 0.3, "noise": 0.3, "compression": 0.6}
NO_COMPRESSION = 101.0  # in the place of a quality
BLOCK = 8  # pixels of a block of JPEG
JPEG_LUMINANCE = (  # quantisation at quality 50, ISO/IEC 10918-1, table K.1
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


class CameraDraws(NamedTuple):
    """The random numbers of the cameras, one of each for every face."""

    side: Float[Tensor, " n"]  # pixels that the camera has for a side of the face; at least its size: unchanged
    blur: Float[Tensor, " n"]  # standard deviation in pixels; 0: none
    gamma: Float[Tensor, " n"]
    gain: Float[Tensor, " n"]
    noise: Float[Tensor, " n"]  # standard deviation in 0..1
    quality: Float[Tensor, " n"]  # of JPEG, 1..100; `NO_COMPRESSION`: none
    sensor: Float[Tensor, "n size size"]  # standard normal


def draw_cameras(n: int, size: int, camera: Camera, generator: torch.Generator) -> CameraDraws:
    """Return the random numbers of `n` faces with sides of `size` pixels, on the device of `generator`."""

    def uniform(low: float, high: float) -> Float[Tensor, " n"]:
        return torch.empty(n, device=generator.device).uniform_(low, high, generator=generator)

    is_changed = uniform(0.0, 1.0) < camera.share

    def choose(part: str, value: Float[Tensor, " n"], unchanged: float) -> Float[Tensor, " n"]:
        return torch.where(is_changed & (uniform(0.0, 1.0) < PART_CHANCES[part]), value, unchanged)

    side = choose("resolution", uniform(camera.min_side * size, float(size)), float(size))
    blur = choose("blur", uniform(camera.max_blur / 4, camera.max_blur), 0.0)
    gamma = choose("gamma", uniform(camera.min_gamma, camera.max_gamma), 1.0)
    gain = choose("gain", uniform(camera.min_gain, 1.0), 1.0)
    noise = choose("noise", uniform(camera.max_noise / 8, camera.max_noise), 0.0)
    quality = choose("compression", uniform(float(camera.min_quality), 95.0), NO_COMPRESSION)
    sensor = torch.empty(n, size, size, device=generator.device).normal_(generator=generator)
    return CameraDraws(side, blur, gamma, gain, noise, quality, sensor)


def apply_cameras(pixels: Float[Tensor, "n size size"], draws: CameraDraws) -> Float[Tensor, "n size size"]:
    """Return the faces, in 0..1, as the cameras `draws` show them."""
    size = pixels.shape[1]
    optics = _blur_matrix(draws.blur, size) @ _resolution_matrices(size, pixels.device)[draws.side.round().long()]
    pixels = optics @ pixels @ optics.transpose(1, 2)
    pixels = draws.gain[:, None, None] * pixels.clamp(min=1e-6) ** draws.gamma[:, None, None]
    pixels = (pixels + draws.noise[:, None, None] * draws.sensor).clamp(0, 1)
    is_compressed = (draws.quality < NO_COMPRESSION)[:, None, None]
    return torch.where(is_compressed, compress_jpeg(pixels, draws.quality.clamp(max=100)), pixels)


def compress_jpeg(pixels: Float[Tensor, "n size size"], quality: Float[Tensor, " n"]) -> Float[Tensor, "n size size"]:
    """Return grey images, in 0..1, after JPEG compression at `quality` (1..100), scaled as by libjpeg."""
    size, missing = pixels.shape[1], -pixels.shape[1] % BLOCK
    grey = (255 * pixels).round() - 128
    if missing:
        grey = pad(grey[:, None], (0, missing, 0, missing), mode="replicate")[:, 0]
    blocks = grey.unflatten(2, (-1, BLOCK)).unflatten(1, (-1, BLOCK)).transpose(2, 3)  # n, rows, columns, 8, 8
    transform = _cosine_transform(pixels.device)
    quality = quality.round()
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    table = ((_luminance_table(pixels.device) * scale + 50) / 100).floor().clamp(1, 255)[:, None, None]
    coefficients = ((transform @ blocks @ transform.T) / table).round() * table
    decoded = (transform.T @ coefficients @ transform).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return ((decoded + 128).round().clamp(0, 255) / 255)[:, :size, :size]


def _blur_matrix(sigma: Float[Tensor, " n"], size: int) -> Float[Tensor, "n size size"]:
    """Return the Gaussian blur of a row of pixels as matrices; at the border the kernel is cut and renormalised."""
    position = torch.arange(size, device=sigma.device, dtype=torch.float32)
    distance = (position[:, None] - position) ** 2
    weights = torch.exp(-distance / (2 * sigma.clamp(min=1e-3)[:, None, None] ** 2))
    return weights / weights.sum(dim=2, keepdim=True)


@cache
def _resolution_matrices(size: int, device: torch.device) -> Float[Tensor, "sides size size"]:
    """Return for each side from 0 to `size` the matrix that shrinks a row of pixels to it and enlarges it again.

    Pixels of the smaller row are means over their area, as of a sensor; between them values are linear.
    """
    matrices = torch.eye(size).repeat(size + 1, 1, 1)
    for side in range(1, size):
        edges = torch.arange(side + 1) * size / side
        pixel = torch.arange(size)
        overlap = torch.minimum(edges[1:, None], pixel + 1.0) - torch.maximum(edges[:-1, None], pixel + 0.0)
        shrink = overlap.clamp(min=0) * side / size
        centre = ((pixel + 0.5) * side / size - 0.5).clamp(0, side - 1)
        enlarge = (1 - (centre[:, None] - torch.arange(side)).abs()).clamp(min=0)
        matrices[side] = enlarge @ shrink
    return matrices.to(device)


@cache
def _cosine_transform(device: torch.device) -> Float[Tensor, "8 8"]:
    """Return the matrix of the orthonormal discrete cosine transform of a block."""
    frequency, position = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)
    matrix = torch.cos(math.pi * (2 * position + 1) * frequency / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix.to(device)


@cache
def _luminance_table(device: torch.device) -> Float[Tensor, "8 8"]:
    return torch.tensor(JPEG_LUMINANCE, dtype=torch.float32, device=device)
