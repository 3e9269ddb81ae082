"""Xception (Chollet 2017, arXiv:1610.02357) as the "FER applications performance evaluation" (Data 240) uses it.

It has ImageNet weights and the head of `inception_v3`. The variant is Xception-41 of Chen et al. 2018
(arXiv:1802.02611), with strides instead of pooling: timm has the weights of the original only as a pickle. For 7
classes: 24,938,999 parameters, 24,920,560 of them in the backbone; Keras has the original, with 20,806,952.
"""

from fer.nn.transfer import TransferNetwork, pooled_head

BACKBONE = "xception41.tf_in1k"


def build(n_classes: int, size: int, dropout: float) -> TransferNetwork:
    return TransferNetwork(BACKBONE, size, min_px=32, head=pooled_head(2048, n_classes, dropout))
