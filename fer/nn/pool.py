"""Predict logits for a pool of any size: slice by slice, in several processes, resumable after a kill."""

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

FACES_PER_SLICE = 16_384  # approximate; a killed process loses at most the slices in work
DONE_MARK = b"\1"

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
    """Write the logits of all `faces` to the `.npy` file `out`, in memory that does not grow with their number.

    Finished slices are kept in a `PartialPredictions` file beside `out`. A later call resumes from it if nothing that
    determines the logits has changed: `manifest`, which identifies the weights, settings, faces or code. Processes
    divide the slices among themselves, and rank 0 moves the file to `out`.

    Raises:
        InputError: Slices are missing, for example because the processes share no file system.
        OSError: The disk is full, for example; finished slices stay.
    """
    pool, device = open_faces(faces), next(network.parameters()).device
    shape = (len(pool), *predict_logits(network, pool[:0], views=views, batch=batch, precision=precision).shape[1:])
    slice_size = max(batch, FACES_PER_SLICE // batch * batch)  # whole batches, so that logits equal `predict_logits`
    dependencies = {
        **manifest,
        **{"views": list(views), "batch": batch, "precision": precision, "device": device.type, "slice": slice_size},
        "faces": _file_identity(faces),
        "code": _hash_loaded_code(),
        "torch": torch.__version__,
    }
    partial = PartialPredictions(out.with_name(f".{out.name}.part"), shape, slice_size, json.dumps(dependencies))

    starts = broadcast_from_main(partial.resume_or_create)[rank() :: world_size()]
    n_faces = sum(min(slice_size, len(pool) - start) for start in starts)
    is_hidden = None if progress and is_main_process() else True  # None: shown on a terminal only
    with tqdm(desc=progress, total=n_faces, unit="face", disable=is_hidden, leave=False) as bar:

        def read(start: int) -> UInt8[Tensor, "n size size"]:
            # A new mapping each time: all pages ever read through one mapping count as memory of this process.
            pixels = torch.from_numpy(np.array(open_faces(faces)[start : start + slice_size]))
            return pixels.pin_memory() if device.type == "cuda" else pixels

        def predict(pixels: UInt8[Tensor, "n size size"]) -> Float[Tensor, "n views classes"]:
            logits = []
            for part in pixels.to(device, non_blocking=True).split(batch):
                logits.append(predict_batch(network, part, views, precision))
                bar.update(len(part))
            return torch.cat(logits)

        def write(prediction: tuple[int, Float[Tensor, "n views classes"]]) -> None:
            start, logits = prediction
            partial.write_slice(start, logits.cpu().numpy())

        predictions = ((start, predict(pixels)) for start, pixels in zip(starts, _prefetch(read, starts), strict=True))
        for _ in _prefetch(write, predictions):
            pass
    wait_for_processes()
    if is_main_process():
        partial.finish(out)


@dataclass(frozen=True)
class PartialPredictions:
    """An unfinished file of predictions.

    The file holds what `np.save` would write, with zeros for missing slices, then one byte for each slice, which marks
    it as done, then `dependencies`. A slice is on disk before its mark is.
    """

    path: Path
    shape: tuple[int, ...]  # of the predictions, float32
    slice_size: int  # in rows
    dependencies: str  # all that determines the predictions

    def resume_or_create(self) -> list[int]:
        """Return the start rows of missing slices; create the file if it does not exist or has other dependencies."""
        missing = self.missing_slices()
        if missing is not None:
            n_slices = len(self._starts)
            print(f"resuming from {self.path}: {n_slices - len(missing)} of {n_slices} slices are done")
            return missing
        if self.path.exists():
            print(f"starting over: {self.path} is damaged, or has other faces, weights, settings or code")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._name_file_in_errors(), self.path.open("wb") as file:
            file.write(self._header)
            file.seek(self._end + len(self._starts))
            file.write(self.dependencies.encode())
        return self._starts

    def missing_slices(self) -> list[int] | None:
        """Return the start rows of missing slices; None if the file is missing, damaged or has other dependencies."""
        if not self.path.is_file():
            return None
        with self.path.open("rb") as file:
            header = file.read(len(self._header))
            file.seek(self._end)
            marks, dependencies = file.read(len(self._starts)), file.read()
        if (header, dependencies) != (self._header, self.dependencies.encode()):
            return None
        return [start for start, mark in zip(self._starts, marks, strict=True) if mark != ord(DONE_MARK)]

    def write_slice(self, start: int, rows: Float[np.ndarray, "n views classes"]) -> None:
        """Write the slice that starts at row `start` to disk, then its mark."""
        # Write-only: after reading, an NFS client writes whole pages back, with outdated rows of other hosts.
        with self._name_file_in_errors(), open(os.open(self.path, os.O_WRONLY), "wb") as file:
            _write_and_sync(file, len(self._header) + start * self._row_bytes, rows.tobytes())
            _write_and_sync(file, self._end + start // self.slice_size, DONE_MARK)

    def finish(self, out: Path) -> None:
        """Cut the file to the predictions and move it to `out`.

        Raises:
            InputError: A slice is missing.
        """
        if (missing := self.missing_slices()) is None or missing:
            reason = "damaged" if missing is None else f"{len(missing)} of {len(self._starts)} slices are missing"
            raise InputError(f"{self.path}: {reason}; run all processes on one shared file system")
        os.truncate(self.path, self._end)
        os.replace(self.path, out)

    @property
    def _header(self) -> bytes:
        header = BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": self.shape})
        return header.getvalue()

    @property
    def _row_bytes(self) -> int:
        return 4 * prod(self.shape[1:])

    @property
    def _end(self) -> int:
        return len(self._header) + self.shape[0] * self._row_bytes

    @property
    def _starts(self) -> list[int]:
        return list(range(0, self.shape[0], self.slice_size))

    @contextmanager
    def _name_file_in_errors(self) -> Iterator[None]:
        """Add the path to an OSError, which lacks one if a write to an open file fails."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def _prefetch(function: Callable[[InputT], OutputT], items: Iterable[InputT]) -> Iterator[OutputT]:
    """Yield `function(item)` in order; a thread computes one result ahead of the consumer."""
    with ThreadPoolExecutor(1) as thread:
        pending: deque[Future[OutputT]] = deque()
        for item in items:
            pending.append(thread.submit(function, item))
            if len(pending) == 2:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _write_and_sync(file: BinaryIO, offset: int, content: bytes) -> None:
    """Write `content` at `offset` and return once it is on disk."""
    file.seek(offset)
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _file_identity(path: Path) -> list[int]:
    """Return size and modification time, as DVC compares files: hashing 10 million faces would take half a minute."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _hash_loaded_code() -> str:
    """Return a hash of the project's imported files: someone may edit one before resuming."""
    files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "fer"]
    return sha256(b"".join(Path(file).read_bytes() for file in sorted(filter(None, files)))).hexdigest()
