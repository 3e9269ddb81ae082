"""ResNet-18 (He et al. 2016, arXiv:1512.03385) for small images, from torchvision.

The stem is one 3×3 convolution with stride 1 and without pooling, as for CIFAR-10: the 7×7 stem with its pool would
reduce faces of 48 pixels to maps of 12. For 7 classes: 11,171,271 parameters, at any size.
"""

from torch import nn
from torchvision.models import ResNet
from torchvision.models import resnet18 as imagenet_resnet18


def build(n_classes: int, size: int, dropout: float) -> ResNet:
    network = imagenet_resnet18(weights=None)
    network.conv1 = nn.Conv2d(1, 64, kernel_size=3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    network.fc = nn.Sequential(nn.Dropout(dropout), nn.Linear(network.fc.in_features, n_classes))
    return network
