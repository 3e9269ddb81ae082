"""The first squeeze-and-excitation network of "CNN with SE for FER" (ECE 176 final project, 2024).

block(64) · block(128) · pool · dropout · block(512) · pool · block(512) · pool · dropout · dense 256 · BN · dropout ·
dense 512 · BN · dropout · dense, where block(c) is `layers.SEBlock`. Details that the report omits
are as in `improved_se`. For 7 classes at 48 pixels: 7,950,727 parameters (7,954,695 as Keras counts them).
"""

from torch import nn

from fer.nn.layers import SEBlock, dense_bn_head

WIDTHS = (64, 128, 512, 512)
HIDDEN = (256, 512)


def build(n_classes: int, size: int, dropout: float) -> nn.Sequential:
    width_1, width_2, width_3, width_4 = WIDTHS
    return nn.Sequential(
        SEBlock(1, width_1),
        SEBlock(width_1, width_2, pool=True),
        nn.Dropout(dropout / 2),
        SEBlock(width_2, width_3, pool=True),
        SEBlock(width_3, width_4, pool=True),
        nn.Dropout(dropout / 2),
        nn.Flatten(),
        dense_bn_head(width_4 * (size // 8) ** 2, HIDDEN, n_classes, dropout),
    )
