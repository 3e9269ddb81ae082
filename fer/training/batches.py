"""Batches of faces on the device, in an order that depends on a seed alone."""

from collections.abc import Iterator
from itertools import islice
from math import prod

import numpy as np
import torch
from jaxtyping import Int, UInt8

from fer.core.store import FaceRows
from fer.nn import distributed
from fer.runtime.errors import InputError

DEVICE_SHARE = 0.5  # of the free memory of a GPU that a set of faces may take


class FaceBatches:
    """The batches of a set of faces: `rows` and `pixels` of one batch, at an address that does not change.

    The faces lie on the GPU if they fit there. Otherwise each batch is gathered from memory, or from the file of
    `FaceRows`. A process gets its share of each batch.

    Raises:
        InputError: The processes cannot share a batch evenly.
    """

    def __init__(
        self, faces: UInt8[np.ndarray | FaceRows, "n size size"], batch: int, seed: int, device: torch.device
    ) -> None:
        world_size = distributed.world_size()
        if batch % world_size:
            raise InputError(f"{world_size} processes cannot share batches of {batch} faces evenly; change train.batch")
        share = batch // world_size
        self.rows = torch.zeros(share, dtype=torch.int64, device=device)
        self.pixels = torch.zeros(share, *faces.shape[1:], dtype=torch.uint8, device=device)
        is_on_gpu = fits_on_gpu(prod(faces.shape), device)
        self._on_gpu = torch.from_numpy(np.asarray(faces)).to(device) if is_on_gpu else None
        self._faces, self._device = faces, device
        self._batches, self._next_step = shuffled_batches(len(faces), batch, seed), 0

    def start_epoch(self, first_step: int, end_step: int) -> None:
        """Draw the rows of the steps from `first_step` to `end_step` - 1, and copy them to the device at once.

        Steps must increase; a resumed training skips some.
        """
        rank, world_size = distributed.rank(), distributed.world_size()
        batches = islice(self._batches, first_step - self._next_step, end_step - self._next_step)
        self._order = np.stack([rows[rank::world_size] for rows in batches])
        self._next_step = end_step
        self._device_order = torch.from_numpy(self._order).to(self._device)

    def load(self, index: int) -> None:
        """Set `rows` and `pixels` to those of batch `index` of the epoch."""
        self.rows.copy_(self._device_order[index])
        if self._on_gpu is not None:
            torch.index_select(self._on_gpu, 0, self.rows, out=self.pixels)
            return
        pixels = torch.from_numpy(self._faces[self._order[index]])
        self.pixels.copy_(pixels.pin_memory() if self.pixels.is_cuda else pixels, non_blocking=True)


def fits_on_gpu(n_bytes: int, device: torch.device) -> bool:
    """Return whether `device` is a GPU with room for so many bytes beside a training."""
    return device.type == "cuda" and n_bytes <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]


def shuffled_batches(n: int, batch: int, seed: int) -> Iterator[Int[np.ndarray, " batch"]]:
    """Yield endless batches of rows, shuffled by `seed`: each row of 0..n - 1 comes once before any comes again."""
    generator = np.random.default_rng(seed)
    queue = np.zeros(0, dtype=np.int64)
    while True:
        while len(queue) < batch:
            queue = np.concatenate([queue, generator.permutation(n)])
        yield queue[:batch]
        queue = queue[batch:]
