"""The small VGG of the "FER applications performance evaluation" (Data 240, team 2).

Three stages of two 3×3 convolutions (stride 1, padding 1), each with BN and ReLU, and a max-pool; two dense layers. The
report does not give the widths: 64, 128 and 256 channels and 512 hidden units are ours, after Simonyan & Zisserman 2015
(arXiv:1409.1556). BN is ours, too. For 7 classes at 48 pixels: 5,868,743 parameters.
"""

from torch import nn

from fer.nn.layers import dense_head, vgg_stages

WIDTHS = (64, 128, 256)
HIDDEN = (512,)


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        *vgg_stages(WIDTHS, dropout),
        nn.Flatten(),
        dense_head(WIDTHS[-1] * (size // 8) ** 2, HIDDEN, n_classes, dropout),
    )
