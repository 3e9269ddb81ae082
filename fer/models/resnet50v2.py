"""ResNet-50 v2 (He et al. 2016, arXiv:1603.05027) of the "FER applications performance evaluation" (Data 240, team 2).

It has ImageNet weights and the report's head: global average · BN · dropout .5 · dense 1024 · BN · dropout .4 · dense
512 · BN · dropout .3 · dense 128 · dropout .2 · dense, with ELU. `dropout` is the first rate; the others are in
proportion. Weight decay of the optimiser replaces the L2 penalty of .01 on the first dense layer. For 7 classes:
26,197,063 parameters, 23,500,352 of them in the backbone. Keras has 19,008 more, biases of convolutions, and halves
the maps in the last block of a stage instead of the first.
"""

from torch import nn

from fer.nn.transfer import TransferNetwork

BACKBONE = "resnetv2_50.a1h_in1k"


def build(n_classes: int, size: int, dropout: float) -> TransferNetwork:
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(2048),
        nn.Dropout(dropout),
        nn.Linear(2048, 1024),
        nn.ELU(),
        nn.BatchNorm1d(1024),
        nn.Dropout(0.8 * dropout),
        nn.Linear(1024, 512),
        nn.ELU(),
        nn.BatchNorm1d(512),
        nn.Dropout(0.6 * dropout),
        nn.Linear(512, 128),
        nn.ELU(),
        nn.Dropout(0.4 * dropout),
        nn.Linear(128, n_classes),
    )
    return TransferNetwork(BACKBONE, size, min_px=32, head=head)
