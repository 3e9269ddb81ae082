"""The simple CNN that the "FER applications performance evaluation" (Data 240, team 2) names without details.

Three times conv 3×3 · ReLU · pool, with 32, 64 and 128 channels, and one hidden dense layer with dropout, without BN.
The widths are ours. For 7 classes at 48 pixels: 683,527 parameters.
"""

from torch import nn

from fer.nn.layers import dense_head

WIDTHS = (32, 64, 128)
HIDDEN = (128,)


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    width_in = 1
    for width in WIDTHS:
        layers += [nn.Conv2d(width_in, width, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        width_in = width
    return nn.Sequential(*layers, nn.Flatten(), dense_head(width_in * (size // 8) ** 2, HIDDEN, n_classes, dropout))
