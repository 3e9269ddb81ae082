"""`mini_vgg` without fully connected layers, of the "FER applications performance evaluation" (Data 240, team 2).

A 1×1 convolution maps to the classes, and its maps are averaged, as in Lin et al. 2014 (arXiv:1312.4400). For 7
classes: 1,147,847 parameters, at any size.
"""

from torch import nn

from fer.nn.layers import vgg_stages

WIDTHS = (64, 128, 256)


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        *vgg_stages(WIDTHS, dropout),
        nn.Dropout(dropout),
        nn.Conv2d(WIDTHS[-1], n_classes, kernel_size=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
