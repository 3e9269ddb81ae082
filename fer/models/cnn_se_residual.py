"""`cnn_se` with a residual connection around every convolution ("Emotion recognition from facial expressions", LMU).

The report does not say how the widths are matched: we use a 1×1 convolution with BN, as in He et al. 2016
(arXiv:1512.03385). For 7 classes at 48 pixels: 4,194,695 parameters.
"""

from itertools import pairwise

from torch import nn

from fer.nn.layers import ConvStage, dense_head

WIDTHS = (64, 128, 256, 512)
HIDDEN = (512, 128)


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    stages = [ConvStage(width_in, width, squeeze=True, residual=True) for width_in, width in pairwise((1, *WIDTHS))]
    head = dense_head(WIDTHS[-1] * (size // 16) ** 2, HIDDEN, n_classes, dropout)
    return nn.Sequential(*stages, nn.Flatten(), head)
