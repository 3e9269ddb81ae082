"""Our own: ResNet-18 for small pictures with squeeze-and-excite in every block.

The stem of `resnet18` (one 3×3 convolution, no pool), four stages of two residual blocks (He et al. 2016,
arXiv:1512.03385), each block's sum weighed by channel (Hu et al. 2018, arXiv:1709.01507), global average, dropout,
dense. For 7 classes: 11,258,311 parameters, at any size, and 1,247 million multiply-adds at 48 pixels.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fer.models.blocks import SqueezeExcite

WIDTHS = (64, 128, 256, 512)


class Residual(nn.Module):
    """Two 3×3 convolutions with BN, weighed by channel and added to what they were given, or to its projection."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(channels_in, channels, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.weigh = SqueezeExcite(channels)
        self.short: nn.Module = nn.Identity()
        if (channels_in, stride) != (channels, 1):
            self.short = nn.Sequential(
                nn.Conv2d(channels_in, channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(channels)
            )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: Float[Tensor, "n channels_in h w"]) -> Float[Tensor, "n channels h2 w2"]:
        changed = self.convs(maps)
        return torch.relu(self.short(maps) + changed * self.weigh(changed))


def build(classes: int, size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(1, WIDTHS[0], kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(WIDTHS[0]),
        nn.ReLU(),
        Residual(WIDTHS[0], WIDTHS[0], stride=1),
        Residual(WIDTHS[0], WIDTHS[0], stride=1),
    ]
    for before, width in pairwise(WIDTHS):
        layers += [Residual(before, width, stride=2), Residual(width, width, stride=1)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(WIDTHS[-1], classes)
    )
