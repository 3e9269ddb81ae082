"""Prediction for a pool of any size: in slices, by several processes, and going on where it was killed."""

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from math import prod
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from tqdm import tqdm

from fer.core.store import open_faces
from fer.nn.distributed import broadcast_from_main, is_main_process, rank, wait_for_processes, world_size
from fer.nn.inference import predict_batch, predict_logits
from fer.runtime.errors import InputError

FACES_PER_SLICE = 16_384  # faces read, computed and written at a time, about: what is lost by being killed
DONE_MARK = b"\1"  # the mark of a slice

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


def predict_pool(
    network: nn.Module,
    faces: Path,
    out: Path,
    manifest: Mapping[str, object],
    *,
    views: Sequence[str],
    batch: int,
    precision: str,
    progress: str | None = None,
) -> None:
    """Write to `out` what `np.save` would of the `logits` of all `faces`; memory does not grow with them.

    What is done stands in an `Unfinished` file beside `out`. Killed and called again, this goes on from there if
    `manifest`, which name the weights, and all else that the answers follow from are the same. Of several processes each
    takes its share of the slices, and the first one puts the file in its place.

    Raises:
        InputError: slices are missing, as where the processes have not one file system.
        OSError: the disk is full, for example; what is done stays.
    """
    pool, where = open_faces(faces), next(network.parameters()).device
    shape = (len(pool), *predict_logits(network, pool[:0], views=views, batch=batch, precision=precision).shape[1:])
    size = max(
        batch, FACES_PER_SLICE // batch * batch
    )  # no batch lies in two slices: its answers are those of `logits`
    settings = {"views": list(views), "batch": batch, "precision": precision, "device": where.type, "slice": size}
    followed = {
        **manifest,
        **settings,
        "faces": _file_identity(faces),
        "code": _hash_loaded_code(),
        "torch": torch.__version__,
    }
    unfinished = PartialPredictions(out.with_name(f".{out.name}.part"), shape, size, json.dumps(followed))

    starts = broadcast_from_main(unfinished.resume_or_create)[rank() :: world_size()]
    left = sum(min(size, len(pool) - start) for start in starts)
    shown = None if progress and is_main_process() else True  # None: on a terminal
    with tqdm(desc=progress, total=left, unit="face", disable=shown, leave=False) as bar:

        def read(start: int) -> UInt8[Tensor, "n size size"]:
            # mapped anew, as the pages of one mapping would count as this process's memory, all that were ever read
            pixels = torch.from_numpy(np.array(open_faces(faces)[start : start + size]))
            return pixels.pin_memory() if where.type == "cuda" else pixels

        def computed(pixels: UInt8[Tensor, "n size size"]) -> Float[Tensor, "n views classes"]:
            said = []
            for some in pixels.to(where, non_blocking=True).split(batch):
                said.append(predict_batch(network, some, views, precision))
                bar.update(len(some))
            return torch.cat(said)

        def write(done: tuple[int, Float[Tensor, "n views classes"]]) -> None:
            unfinished.write_slice(done[0], done[1].cpu().numpy())

        answers = ((start, computed(pixels)) for start, pixels in zip(starts, _prefetch(read, starts), strict=True))
        for _ in _prefetch(write, answers):
            pass
    wait_for_processes()
    if is_main_process():
        unfinished.finish(out)


@dataclass(frozen=True)
class PartialPredictions:
    """A file of predictions in the making.

    It holds what `np.save` would write, with zeros for what is not known yet; then a byte for each slice, which marks
    it as done; then what the predictions follow from. A slice is on disk before its mark is.
    """

    path: Path
    shape: tuple[int, ...]  # of the predictions, float32
    slice_size: int  # rows of a slice
    dependencies: str

    def resume_or_create(self) -> list[int]:
        """The first rows of the slices that are to be done; a file of something else, or none, is made anew."""
        found = self.missing_slices()
        if found is not None:
            print(f"going on with {self.path}: {len(self._starts) - len(found)} of {len(self._starts)} slices are done")
            return found
        if self.path.exists():
            print(f"beginning anew: {self.path} is damaged, or of other faces, weights, settings or code")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._named_in_errors(), self.path.open("wb") as file:
            file.write(self._header)
            file.seek(self._end + len(self._starts))
            file.write(self.dependencies.encode())
        return self._starts

    def missing_slices(self) -> list[int] | None:
        """The first rows of the slices that are to be done; None where the file is of something else, or damaged."""
        if not self.path.is_file():
            return None
        with self.path.open("rb") as file:
            header = file.read(len(self._header))
            file.seek(self._end)
            marks, facts = file.read(len(self._starts)), file.read()
        if (header, facts) != (self._header, self.dependencies.encode()):
            return None
        return [start for start, mark in zip(self._starts, marks, strict=True) if mark != ord(DONE_MARK)]

    def write_slice(self, start: int, rows: Float[np.ndarray, "n views classes"]) -> None:
        """Put the slice that begins with the row `start` on disk, and then its mark."""
        # never open for reading: an NFS client would write whole pages back, with another host's rows as it read them
        with self._named_in_errors(), open(os.open(self.path, os.O_WRONLY), "wb") as file:
            _write_and_sync(file, len(self._header) + start * self._row, rows.tobytes())
            _write_and_sync(file, self._end + start // self.slice_size, DONE_MARK)

    def finish(self, out: Path) -> None:
        """Put the predictions in the place of `out`.

        Raises:
            InputError: a slice is missing.
        """
        if (found := self.missing_slices()) is None or found:
            lacking = "is damaged" if found is None else f"lacks {len(found)} of {len(self._starts)} slices"
            raise InputError(f"{self.path}: {lacking}; all processes must write to one file system")
        os.truncate(self.path, self._end)
        os.replace(self.path, out)

    @property
    def _header(self) -> bytes:
        header = BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": self.shape})
        return header.getvalue()

    @property
    def _row(self) -> int:
        return 4 * prod(self.shape[1:])

    @property
    def _end(self) -> int:
        return len(self._header) + self.shape[0] * self._row

    @property
    def _starts(self) -> list[int]:
        return list(range(0, self.shape[0], self.slice_size))

    @contextmanager
    def _named_in_errors(self) -> Iterator[None]:
        """Errors in writing to an open file do not name it by themselves."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def _prefetch(function: Callable[[InputT], OutputT], items: Iterable[InputT]) -> Iterator[OutputT]:
    """`function` of each item, in order, called by a thread, which is one ahead of what is used."""
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[OutputT]] = deque()
        for item in items:
            waiting.append(thread.submit(function, item))
            if len(waiting) == 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _write_and_sync(file: BinaryIO, place: int, content: bytes) -> None:
    """Write at a place of the file, and come back when it is on disk."""
    file.seek(place)
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _file_identity(path: Path) -> list[int]:
    """Size and time of change, by which DVC, too, knows a file again: to hash 10 million faces takes half a minute."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _hash_loaded_code() -> str:
    """The hash of the project's files that are loaded, any of which a person may mend before a second start."""
    loaded = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "fer"]
    return sha256(b"".join(Path(file).read_bytes() for file in sorted(filter(None, loaded)))).hexdigest()
