"""The deeper network of "CNN with SE for FER" (ECE 176 final project, 2024); its second convolution is 5×5.

Four times conv · BN · ReLU · pool · dropout, of 64, 128, 512 and 512 channels · dense 256 · BN · ReLU · dropout ·
dense 512 · BN · ReLU · dropout · dense. The report does not give the dropout rates: here one rate, half of it after
convolutions. For 7 classes at 48 pixels: 4,474,759 parameters (4,478,727 as Keras counts them).
"""

from torch import nn

from fer.nn.layers import conv_norm_relu

WIDTHS = (64, 128, 512, 512)
KERNEL_SIZES = (3, 5, 3, 3)
HIDDEN = (256, 512)


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 1
    for width, kernel_size in zip(WIDTHS, KERNEL_SIZES, strict=True):
        layers += [*conv_norm_relu(before, width, kernel_size), nn.MaxPool2d(2), nn.Dropout(dropout / 2)]
        before = width
    layers.append(nn.Flatten())
    before *= (size // 16) ** 2
    for width in HIDDEN:
        layers += [nn.Linear(before, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, n_classes))
