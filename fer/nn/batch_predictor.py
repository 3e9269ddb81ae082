"""Predict faces batch by batch on a CPU or GPU: compiled, and in smaller batches when the memory runs out."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import pad

from fer.nn.inference import largest_part, predict_batch
from fer.nn.recording import print_fusion_notice


@contextmanager
def count_operations(network: nn.Module) -> Iterator[list[int]]:
    """Yield a list to which each convolution and dense layer that runs adds its floating-point operations.

    torch's `FlopCounterMode` counts the same, but takes a second to start, in every prediction.
    """
    counts = []

    def count(layer: nn.Conv2d | nn.Linear, inputs: object, output: Tensor) -> None:
        counts.append(2 * output.numel() * layer.weight[0].numel())

    layers = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_hook(count).remove)
        yield counts


@dataclass
class BatchPredictor:
    """A network, in evaluation mode on its device, that predicts any number of faces."""

    network: Callable[[Tensor], Tensor]
    views: Sequence[str]
    batch: int
    precision: str
    is_compiled: bool = False

    def compile(self, face: UInt8[Tensor, "1 size size"]) -> "BatchPredictor":
        """Return a predictor with the network compiled for the size and device of `face`; this one if that fails."""
        # On a CPU, freezing turns weights into constants, in the layout and precision in which they are used.
        options: dict[str, Any] | None = {"freezing": True} if face.device.type == "cpu" else None
        compiled = replace(self, network=torch.compile(self.network, dynamic=False, options=options), is_compiled=True)
        try:
            list(compiled(face))
        except Exception as error:  # no C++ compiler, no Triton, an old GPU, a full disk, …: each has its own type
            print_fusion_notice(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
            return self
        return compiled

    def __call__(self, faces: UInt8[Tensor, "n size size"]) -> Iterator[Float[Tensor, "m views classes"]]:
        """Yield the float32 logits of one batch after the other. A batch for which a GPU lacks memory is halved."""
        start = 0
        while start < len(faces):
            part = faces[start : start + self.batch]
            try:
                logits = self._predict_batch(part)
            except torch.OutOfMemoryError:  # raised for GPUs only
                if self.batch == 1:
                    raise
                self.batch //= 2
                print(f"out of GPU memory: predicting batches of {self.batch} faces from here on", file=sys.stderr)
            else:
                yield logits
                start += len(part)

    def _predict_batch(self, faces: UInt8[Tensor, "n size size"]) -> Float[Tensor, "n views classes"]:
        """Return logits; a compiled network gets parts of one size only, as it is compiled again for each other."""
        part = min(self.batch, largest_part(faces))
        n_missing = -len(faces) % part if self.is_compiled else 0
        padded = pad(faces, (0, 0, 0, 0, 0, n_missing)) if n_missing else faces
        return predict_batch(self.network, padded, self.views, self.precision)[: len(faces)]
