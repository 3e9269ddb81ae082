"""The deeper network of "CNN with SE for FER" (ECE 176 final project, 2024), with a 5×5 second convolution.

Four times conv · BN · ReLU · pool · dropout, with 64, 128, 512 and 512 channels · dense 256 · BN · ReLU · dropout ·
dense 512 · BN · ReLU · dropout · dense. The report does not give the dropout rates: we use one rate, and half of it
after convolutions. For 7 classes at 48 pixels: 4,474,759 parameters (4,478,727 as Keras counts them).
"""

from torch import nn

from fer.nn.layers import conv_norm_relu

WIDTHS = (64, 128, 512, 512)
KERNEL_SIZES = (3, 5, 3, 3)
HIDDEN = (256, 512)


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    width_in = 1
    for width, kernel_size in zip(WIDTHS, KERNEL_SIZES, strict=True):
        layers += [*conv_norm_relu(width_in, width, kernel_size), nn.MaxPool2d(2), nn.Dropout(dropout / 2)]
        width_in = width
    layers.append(nn.Flatten())
    width_in *= (size // 16) ** 2
    for width in HIDDEN:
        layers += [nn.Linear(width_in, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]
        width_in = width
    return nn.Sequential(*layers, nn.Linear(width_in, n_classes))
