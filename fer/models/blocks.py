"""Layers that several networks share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Channel weights in 0..1 from what each channel holds on average (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)

    def forward(self, maps: Float[Tensor, "n channels h w"]) -> Float[Tensor, "n channels 1 1"]:
        squeezed = maps.mean(dim=(2, 3))
        return torch.sigmoid(self.expand(torch.relu(self.reduce(squeezed))))[:, :, None, None]


class SEBlock(nn.Module):
    """conv 3×3 · ReLU · BN · squeeze-and-excite, and a 2×2 max-pool where asked for.

    The weights are positive, so maxpool(weight · maps) = weight · maxpool(maps): scaling comes after the pool, on a
    quarter of the elements.
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
