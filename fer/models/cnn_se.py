"""`cnn` with squeeze-and-excite after every convolution ("Emotion recognition from facial expressions", LMU).

For 7 classes at 48 pixels: 4,020,679 parameters.
"""

from itertools import pairwise

from torch import nn

from fer.nn.layers import Stage, plain_head

WIDTHS = (64, 128, 256, 512)
HIDDEN = (512, 128)


def build(classes: int, size: int, dropout: float) -> nn.Sequential:
    stages = [Stage(before, width, squeeze=True, residual=False) for before, width in pairwise((1, *WIDTHS))]
    head = plain_head(WIDTHS[-1] * (size // 16) ** 2, HIDDEN, classes, dropout)
    return nn.Sequential(*stages, nn.Flatten(), head)
