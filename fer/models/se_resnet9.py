"""Our own: a short residual network with squeeze-and-excite for grey faces of 48 pixels.

Two convolutions at full size, then three stages, each a pool, a residual block with squeeze-and-excite and, but for the
first, a convolution that widens; global average, dropout, dense. The layout is that of the fast networks for small
pictures (ResNet-9 of Page 2018, "How to train your ResNet"), with squeeze-and-excite from Hu et al. 2018
(arXiv:1709.01507). For 7 classes: 4,387,399 parameters, at any size.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fer.models.blocks import SqueezeExcite, conv_norm_relu

STEM = 48
WIDTHS = (96, 192, 384)


class Residual(nn.Module):
    """Two 3×3 convolutions with BN, weighed by channel and added to what they were given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *conv_norm_relu(channels, channels),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.weigh = SqueezeExcite(channels)

    def forward(self, maps: Float[Tensor, "n channels h w"]) -> Float[Tensor, "n channels h w"]:
        changed = self.convs(maps)
        return torch.relu(maps + changed * self.weigh(changed))


def build(classes: int, size: int, dropout: float) -> nn.Sequential:
    layers = conv_norm_relu(1, STEM)
    for before, width in pairwise((STEM, *WIDTHS)):
        layers += [*conv_norm_relu(before, width), nn.MaxPool2d(2), Residual(width)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(WIDTHS[-1], classes)
    )
