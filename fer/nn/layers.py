"""Layers and blocks that several networks share."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Channel weights in 0..1, computed from channel means (squeeze-and-excite, Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)

    def forward(self, maps: Float[Tensor, "n channels h w"]) -> Float[Tensor, "n channels 1 1"]:
        # .mean has a slow gradient on a CPU in channels-last. Without dtype, autocast on a GPU sums a copy in fp32.
        squeezed = maps.sum(dim=(2, 3), dtype=maps.dtype) / maps.shape[2:].numel()
        return torch.sigmoid(self.expand(torch.relu(self.reduce(squeezed))))[:, :, None, None]


class SEBlock(nn.Module):
    """Block conv 3×3 · ReLU · BN · squeeze-and-excite, with a 2×2 max-pool if `pool`.

    The channel weights are positive, so maxpool(weight · maps) = weight · maxpool(maps): scaling after the pool gives
    the same with a quarter of the multiplications.
    """

    def __init__(self, channels_in: int, channels: int, pool: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.weigh = SqueezeExcite(channels)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, maps: Float[Tensor, "n channels_in h w"]) -> Float[Tensor, "n channels h2 w2"]:
        maps = self.norm(torch.relu(self.conv(maps)))
        return self.pool(maps) * self.weigh(maps)


def conv_norm_relu(channels_in: int, channels: int, kernel_size: int = 3) -> list[nn.Module]:
    """Return the layers conv · BN · ReLU, which keep the size of the maps."""
    return [
        nn.Conv2d(channels_in, channels, kernel_size, padding=kernel_size // 2),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]


def dense_bn_head(inputs: int, hidden: Sequence[int], n_classes: int, dropout: float) -> nn.Sequential:
    """Return dense · ReLU · BN · dropout for each width in `hidden`, then dense."""
    layers: list[nn.Module] = []
    for width_in, width in pairwise([inputs, *hidden]):
        layers += [nn.Linear(width_in, width), nn.ReLU(), nn.BatchNorm1d(width), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], n_classes))


def dense_head(inputs: int, hidden: Sequence[int], n_classes: int, dropout: float) -> nn.Sequential:
    """Return dense · ReLU · dropout for each width in `hidden`, then dense."""
    layers: list[nn.Module] = []
    for width_in, width in pairwise([inputs, *hidden]):
        layers += [nn.Linear(width_in, width), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], n_classes))


def vgg_stages(widths: Sequence[int], dropout: float) -> list[nn.Module]:
    """Return for each width twice conv 3×3 · BN · ReLU, then a 2×2 max-pool and dropout at half the rate."""
    layers: list[nn.Module] = []
    for width_in, width in pairwise([1, *widths]):
        layers += [*conv_norm_relu(width_in, width), *conv_norm_relu(width, width)]
        layers += [nn.MaxPool2d(2), nn.Dropout(dropout / 2)]
    return layers


class ConvStage(nn.Module):
    """Stage conv 3×3 · BN · ReLU · 2×2 max-pool, with optional squeeze-and-excite and residual connection."""

    def __init__(self, channels_in: int, channels: int, squeeze: bool, residual: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.weigh = SqueezeExcite(channels) if squeeze else None
        self.short = None
        if residual:
            self.short = nn.Sequential(nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.pool = nn.MaxPool2d(2)

    def forward(self, maps: Float[Tensor, "n channels_in h w"]) -> Float[Tensor, "n channels h2 w2"]:
        out = self.norm(self.conv(maps))
        if self.weigh:
            out = out * self.weigh(out)
        if self.short:
            out = out + self.short(maps)
        return self.pool(torch.relu(out))
