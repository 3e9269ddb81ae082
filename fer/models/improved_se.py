"""The improved squeeze-and-excitation network of "CNN with SE for FER" (ECE 176 final project, 2024).

block(32) · block(64) · pool · dropout · block(128) · pool · block(128) · pool · dropout · dense 1024 · BN · dropout ·
dense 256 · BN · dropout · dense, where block(c) is `layers.SEBlock`. The report gives neither the activation of the two
hidden dense layers nor the dropout rates: we use ReLU before BN, as in the blocks, and one rate, half of it after
convolutions. For 7 classes at 48 pixels: 5,232,071 parameters (5,235,335 as Keras counts them, with the running means
and variances of BN), 111.8 million multiply-adds per face.
"""

from jaxtyping import Float
from torch import Tensor, nn

from fer.nn.layers import SEBlock, dense_bn_head

WIDTHS = (32, 64, 128, 128)
HIDDEN = (1024, 256)


class ImprovedSE(nn.Module):
    def __init__(self, n_classes: int, size: int, dropout: float) -> None:
        super().__init__()
        width_1, width_2, width_3, width_4 = WIDTHS
        self.features = nn.Sequential(
            SEBlock(1, width_1),
            SEBlock(width_1, width_2, pool=True),
            nn.Dropout(dropout / 2),
            SEBlock(width_2, width_3, pool=True),
            SEBlock(width_3, width_4, pool=True),
            nn.Dropout(dropout / 2),
            nn.Flatten(),
        )
        self.head = dense_bn_head(width_4 * (size // 8) ** 2, HIDDEN, n_classes, dropout)

    def forward(self, faces: Float[Tensor, "n 1 size size"]) -> Float[Tensor, "n classes"]:
        return self.head(self.features(faces))


def build(n_classes: int, size: int, dropout: float) -> ImprovedSE:
    return ImprovedSE(n_classes, size, dropout)
