"""Inception v3 (Szegedy et al. 2016, arXiv:1512.00567), from the "FER applications performance evaluation" (Data 240).

It has the ImageNet weights of Keras and a new head. For 7 classes: 21,804,007 parameters. 17,216 of them are scales of
batch norm that Keras omits. Without them there are 21,786,791; the report counts 21,786,797.
"""

from fer.nn.transfer import TransferNetwork, pooled_head

BACKBONE = "inception_v3.tf_in1k"


def build(n_classes: int, size: int, dropout: float) -> TransferNetwork:
    return TransferNetwork(BACKBONE, size, min_px=75, head=pooled_head(2048, n_classes, dropout))
