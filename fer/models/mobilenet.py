"""MobileNet (Howard et al. 2017, arXiv:1704.04861) as the "FER applications performance evaluation" (Data 240) uses it.

It has ImageNet weights and the head of `inception_v3`. For 7 classes: 3,216,199 parameters, 3,206,976 of them in the
backbone, as in Keras.
"""

from fer.nn.transfer import TransferNetwork, pooled_head

BACKBONE = "mobilenetv1_100.ra4_e3600_r224_in1k"


def build(n_classes: int, size: int, dropout: float) -> TransferNetwork:
    return TransferNetwork(BACKBONE, size, min_px=32, head=pooled_head(1024, n_classes, dropout))
