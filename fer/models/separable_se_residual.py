"""The separable network of "A robust improved network for facial expression recognition" (Gao & Ma).

A convolutional stem, then blocks of depthwise separable convolutions (K² · C1 + C1 · C2 weights instead of
K² · C1 · C2) with squeeze-and-excite, a residual connection, BN and dropout. The report gives neither the widths nor
the number of blocks: these are ours, like the middle blocks of Chollet 2017 (arXiv:1610.02357). For 7 classes: 762,535
parameters, at any size.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fer.nn.layers import SqueezeExcite, conv_norm_relu

STEM_WIDTH = 32
WIDTHS = (64, 128, 256, 512)


class SeparableBlock(nn.Module):
    """Two separable convolutions with channel weights, a projected residual connection and a 2×2 max-pool."""

    def __init__(self, channels_in: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *separable_conv_norm(channels_in, channels), nn.ReLU(), *separable_conv_norm(channels, channels)
        )
        self.weigh = SqueezeExcite(channels)
        self.dropout = nn.Dropout(dropout)
        self.short = nn.Sequential(nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.pool = nn.MaxPool2d(2)

    def forward(self, maps: Float[Tensor, "n channels_in h w"]) -> Float[Tensor, "n channels h2 w2"]:
        out = self.convs(maps)
        out = self.dropout(out * self.weigh(out))
        return self.pool(torch.relu(out + self.short(maps)))


def separable_conv_norm(channels_in: int, channels: int) -> list[nn.Module]:
    """Return a depthwise 3×3 convolution, a pointwise 1×1 convolution, and BN."""
    return [
        nn.Conv2d(channels_in, channels_in, kernel_size=3, padding=1, groups=channels_in, bias=False),
        nn.Conv2d(channels_in, channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(channels),
    ]


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [*conv_norm_relu(1, STEM_WIDTH)]
    width_in = STEM_WIDTH
    for width in WIDTHS:
        layers.append(SeparableBlock(width_in, width, dropout / 2))
        width_in = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(width_in, n_classes)
    )
