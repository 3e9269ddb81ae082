"""Predict logits for a pool of any size: slice by slice, in several processes, resumable after a kill."""

import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from math import inf, prod
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from tqdm import tqdm

from fer.core.store import open_faces
from fer.nn.batch_predictor import BatchPredictor, count_operations
from fer.nn.devices import tune_convolutions
from fer.nn.distributed import (
    broadcast_from_main,
    is_main_process,
    rank,
    sum_over_processes,
    wait_for_processes,
    world_size,
)
from fer.nn.inference import predict_logits
from fer.nn.partial import PartialPredictions, partial_path
from fer.nn.shards import Shard, check_same_machine, hash_faces, merge_shards, remove_shards

# Faces of a slice, approximately. A killed process loses at most the slices in work, and each slice waits twice for the
# disk: a GPU, which predicts hundreds of thousands of faces a second, gets larger ones, but at least 32 to share out.
FACES_PER_SLICE = 16_384
GPU_FACES_PER_SLICE, MIN_GPU_SLICES = 131_072, 32

# Compiling takes 12 to 30 seconds of a core. With AVX-512, improved_se then predicts 438 instead of 298 faces a second
# in fp32 (se_resnet9: 253 instead of 204), which pays from 1e13 operations on, and 6 % more in bf16: from 3e13 on.
# On a GPU none of this was measured: the number assumes 450,000 instead of 250,000 faces of improved_se a second.
MIN_OPERATIONS_TO_COMPILE = {"cpu": 2e13, "cuda": 1e15}  # 2e13: of 90,000 faces by improved_se

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
    shard: Shard | None = None,
) -> None:
    """Write the logits of all `faces` to the `.npy` file `out`, in memory that does not grow with their number.

    Finished slices are kept in a `PartialPredictions` file beside `out`. A later call resumes from it if nothing that
    determines the logits has changed: `manifest`, which identifies the weights, settings, faces or code. Processes
    divide the slices among themselves, and rank 0 moves the file to `out`.

    With `shard`, only the slices of that shard are computed, into a file of its own. A later call without `shard` takes
    them from the files of all shards and computes what is missing.

    Raises:
        InputError: Slices are missing, for example because the processes share no file system, or those of shards were
            computed in different ways.
        OSError: The disk is full, for example; finished slices stay.
    """
    pool, device = open_faces(faces), next(network.parameters()).device
    tune_convolutions()
    with count_operations(network) as operations:  # of one view of a face, which gives the number of classes
        empty = predict_logits(network, pool[:0], views=views, batch=batch, precision=precision)
    shape = (len(pool), *empty.shape[1:])
    inputs = {**manifest, "views": list(views), "batch": batch, "precision": precision, "code": _hash_loaded_code()}
    partial = broadcast_from_main(lambda: None if shard else merge_shards(out, shape, faces, inputs))
    if partial is None or broadcast_from_main(partial.missing_slices):
        predictor = BatchPredictor(network, views, batch, precision)
        if prod(shape[:2]) * sum(operations) >= MIN_OPERATIONS_TO_COMPILE.get(device.type, inf):
            predictor = _compile_on_all_processes(predictor, pool.shape[1], device)
        slice_size = _slice_size(len(pool), batch, device)
        dependencies = json.dumps(
            {
                **inputs,
                "faces": hash_faces(faces) if shard or partial else _file_identity(faces),
                "device": device.type,
                "compiled": predictor.is_compiled,
                "torch": torch.__version__,
                "slice": slice_size,
            }
        )
        if partial:
            check_same_machine(
                partial.dependencies, dependencies, f"the shards of {out} were", "this machine would add slices"
            )
        path = shard.path(out, dependencies) if shard else partial_path(out)
        partial = PartialPredictions(path, shape, slice_size, dependencies)
        missing = broadcast_from_main(partial.resume_or_create)
        starts = sorted(set(shard.select(partial.starts) if shard else partial.starts) & set(missing))
        _predict_slices(predictor, faces, partial, starts[rank() :: world_size()], device, progress)
    wait_for_processes()
    if not is_main_process():
        return
    if shard:
        shard.finish(partial)
    else:
        partial.finish(out)
        remove_shards(out, partial.dependencies)


def _predict_slices(
    predictor: BatchPredictor,
    faces: Path,
    partial: PartialPredictions,
    starts: Sequence[int],
    device: torch.device,
    progress: str | None,
) -> None:
    """Write the slices that start at these rows. One thread reads, one writes, while this one computes."""
    size, n_faces = partial.slice_size, partial.shape[0]
    total = sum(min(size, n_faces - start) for start in starts)
    is_hidden = None if progress and is_main_process() else True  # None: shown on a terminal only
    with tqdm(desc=progress, total=total, unit="face", disable=is_hidden, leave=False) as bar:

        def predict(pixels: UInt8[Tensor, "n size size"]) -> Float[Tensor, "n views classes"]:
            logits = []
            for part in predictor(pixels):
                logits.append(part)
                bar.update(len(part))
            return torch.cat(logits)

        def write(prediction: tuple[int, Float[Tensor, "n views classes"]]) -> None:
            start, logits = prediction
            partial.write_slice(start, logits.cpu().numpy())  # waits for the GPU, which has the next slice to do

        read = _reader(faces, size, device)
        predictions = ((start, predict(pixels)) for start, pixels in zip(starts, _prefetch(read, starts), strict=True))
        for _ in _prefetch(write, predictions):
            pass


def _reader(faces: Path, slice_size: int, device: torch.device) -> Callable[[int], UInt8[Tensor, "n size size"]]:
    """Return a function that reads the faces of the slice at a row to the device."""

    def map_slice(start: int) -> UInt8[np.ndarray, "n size size"]:
        # A new mapping each time: all pages ever read through one mapping count as memory of this process.
        return open_faces(faces)[start : start + slice_size]

    if device.type != "cuda":
        return lambda start: torch.from_numpy(np.array(map_slice(start))).to(device)

    buffer = torch.empty(map_slice(0).shape, dtype=torch.uint8, pin_memory=True)
    stream = torch.cuda.Stream(device)  # copies while the default stream computes

    def read(start: int) -> UInt8[Tensor, "n size size"]:
        pixels = map_slice(start)
        np.copyto(buffer[: len(pixels)].numpy(), pixels)
        with torch.cuda.stream(stream):
            copied = buffer[: len(pixels)].to(device, non_blocking=True)
        copied.record_stream(torch.cuda.default_stream(device))  # its memory is in use until that has computed
        stream.synchronize()  # the buffer is free again
        return copied

    return read


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


def _slice_size(n_faces: int, batch: int, device: torch.device) -> int:
    """Return the faces of a slice: whole batches, so that logits equal those of `predict_logits`."""
    size = FACES_PER_SLICE
    if device.type != "cpu":
        size = max(size, min(GPU_FACES_PER_SLICE, n_faces // MIN_GPU_SLICES))
    return max(batch, size // batch * batch)


def _compile_on_all_processes(predictor: BatchPredictor, size: int, device: torch.device) -> BatchPredictor:
    """Return the predictor compiled, or as it is if that fails in any process: their slices make up one file."""
    compiled = predictor.compile(torch.zeros(1, size, size, dtype=torch.uint8, device=device))
    count = sum_over_processes(torch.tensor(int(compiled.is_compiled), device=device))
    return compiled if count == world_size() else predictor


def _file_identity(path: Path) -> list[int]:
    """Return size and modification time, as DVC compares files: hashing 10 million faces would take half a minute."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _hash_loaded_code() -> str:
    """Return a hash of the project's imported files: someone may edit one before resuming."""
    files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "fer"]
    return sha256(b"".join(Path(file).read_bytes() for file in sorted(filter(None, files)))).hexdigest()
