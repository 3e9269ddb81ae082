"""VGG-16 (Simonyan & Zisserman 2015, arXiv:1409.1556) of "Image-based FER using CNN" (Nazarbayev University).

Thirteen convolutions with ImageNet weights and three new dense layers on the global average of the maps, because the
dense layers of VGG require maps of 7 × 7. The width of 512 is ours. For 7 classes: 15,243,591 parameters.
"""

from torch import nn

from fer.nn.layers import dense_head
from fer.nn.transfer import TransferNetwork

BACKBONE = "vgg16.tv_in1k"
HIDDEN = (512, 512)


def build(n_classes: int, size: int, dropout: float) -> TransferNetwork:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense_head(512, HIDDEN, n_classes, dropout))
    return TransferNetwork(BACKBONE, size, min_px=32, head=head)
