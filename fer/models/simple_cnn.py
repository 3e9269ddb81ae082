"""The simple CNN that the "FER applications performance evaluation" (Data 240, team 2) names without details.

Three times conv 3×3 · ReLU · pool, of 32, 64 and 128 channels, and one hidden dense layer with dropout; no batch norm.
The widths are ours. For 7 classes at 48 pixels: 683,527 parameters.
"""

from torch import nn

from fer.nn.layers import dense_head

WIDTHS = (32, 64, 128)
HIDDEN = (128,)


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 1
    for width in WIDTHS:
        layers += [nn.Conv2d(before, width, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before = width
    return nn.Sequential(*layers, nn.Flatten(), dense_head(before * (size // 8) ** 2, HIDDEN, n_classes, dropout))
