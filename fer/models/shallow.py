"""The shallow network of "CNN with SE for FER" (ECE 176 final project, 2024), the first and weakest of that report.

conv 32 · BN · ReLU · dropout · conv 64 · BN · ReLU · pool · dropout · dense 512 · ReLU · dropout · dense. The report
does not give the dropout rates: we use one rate, half of it after convolutions. For 7 classes at 48 pixels: 18,897,479
parameters (18,897,671 as Keras counts them), nearly all in the first dense layer.
"""

from jaxtyping import Float
from torch import Tensor, nn


class Shallow(nn.Module):
    def __init__(self, n_classes: int, size: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Dropout(dropout / 2),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout / 2),
            nn.Flatten(),
            nn.Linear(64 * (size // 2) ** 2, 512),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(512, n_classes),
        )

    def forward(self, faces: Float[Tensor, "n 1 size size"]) -> Float[Tensor, "n classes"]:
        return self.layers(faces)


def build(n_classes: int, size: int, dropout: float) -> Shallow:
    return Shallow(n_classes, size, dropout)
