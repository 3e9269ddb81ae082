"""The VGG of Khaireddin & Chen 2021 (arXiv:2105.03588), cited by "Image-based FER using CNN" (Nazarbayev University).

Four stages of two (conv 3×3 · ReLU · BN) blocks and a max-pool, then three dense layers. The widths are those of VGG.
Their 73.28 % is with ten crops on the fold that others call PublicTest: their code swaps the two test folds.
For 7 classes at 48 pixels: 40,376,519 parameters.
"""

from torch import nn

from fer.nn.layers import dense_head

WIDTHS = (64, 128, 256, 512)
HIDDEN = (4096, 4096)


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    width_in = 1
    for width in WIDTHS:
        for channels_in in (width_in, width):
            layers += [nn.Conv2d(channels_in, width, kernel_size=3, padding=1), nn.ReLU(), nn.BatchNorm2d(width)]
        layers.append(nn.MaxPool2d(2))
        width_in = width
    return nn.Sequential(*layers, nn.Flatten(), dense_head(width_in * (size // 16) ** 2, HIDDEN, n_classes, dropout))
