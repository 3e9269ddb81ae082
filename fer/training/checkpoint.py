"""Save the state of a training beside its output, and resume from it after an interruption.

A checkpoint is one safetensors file, with everything but tensors as JSON in its header: nothing is unpickled.
"""

import hashlib
import json
import os
import signal
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fer.core.files import atomic_write, parse_json
from fer.core.store import FaceRows
from fer.nn import distributed
from fer.nn.weights import save_tensors
from fer.runtime.errors import InputError, StoppedError, is_out_of_memory

SAVE_INTERVAL_SECONDS = 60
SAME_SIGNAL_SECONDS = 5  # rank 0 gets a signal twice: from Slurm or the terminal, and from the launcher
CODE_FOLDER = Path(__file__).parents[1]


@runtime_checkable
class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Any) -> object: ...


class Checkpoint:
    """A checkpoint file, used if it has the same `fingerprint`; without a path nothing is saved.

    `metadata` is saved with the parts and may be changed at any time.
    """

    def __init__(self, path: Path | None = None, fingerprint: str = "") -> None:
        self.path, self.fingerprint = path, fingerprint
        self._saved_state = self._read()
        self.metadata: dict[str, Any] = self._saved_state.pop("metadata") if self._saved_state else {}
        self._last_save_time, self._stop_time = time.monotonic(), 0.0  # 0: no signal has come

    def resume(self, parts: Mapping[str, Stateful]) -> None:
        """Load the saved state, if there is one, into the parts.

        Raises:
            InputError: The file does not hold the state of these parts.
        """
        if self._saved_state is None:
            return
        print(f"resuming from {self.path}", flush=True)
        try:
            for name, part in parts.items():
                part.load_state_dict(self._saved_state[name])
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise MemoryError(f"to load {self.path}") from error
            raise InputError(f"{self.path}: damaged ({type(error).__name__}); delete it and run again") from error
        self._saved_state = None

    def save_if_due(self, parts: Mapping[str, Stateful]) -> None:
        """Save the parts if the last save is `SAVE_INTERVAL_SECONDS` ago or a signal has come.

        Raises:
            StoppedError: A signal has come.
        """
        is_due = self._stop_time or time.monotonic() > self._last_save_time + SAVE_INTERVAL_SECONDS
        if self.path and is_due and distributed.is_main_process():
            self._write({"metadata": self.metadata} | {name: part.state_dict() for name, part in parts.items()})
            self._last_save_time = time.monotonic()
        if self._stop_time:
            raise StoppedError("interrupted" + ("; run it again to resume from here" if self.path else ""))

    @contextmanager
    def defer_signals(self) -> Iterator[None]:
        """Delay Ctrl-C and SIGTERM to the end of the step, so that rank 0 writes a checkpoint.

        A second signal after `SAME_SIGNAL_SECONDS` ends the process at once. Other ranks wait for rank 0 to end.
        """

        def request_stop(number: int, frame: FrameType | None) -> None:
            if self._stop_time and time.monotonic() > self._stop_time + SAME_SIGNAL_SECONDS:
                raise KeyboardInterrupt
            if distributed.is_main_process():
                self._stop_time = self._stop_time or time.monotonic()

        handlers = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self._stop_time:
            raise StoppedError("interrupted")

    def remove(self) -> None:
        if self.path:
            self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        if not self.path or not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                if header["fingerprint"] != self.fingerprint:
                    print(f"{self.path}: of other data, parameters or code; training starts over")
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                if _checksum(tensors) != header["crc"]:
                    raise ValueError("the checksum differs")
                state = _join_tensors(parse_json(header["state"]), tensors)
            if not (isinstance(state, dict) and isinstance(state.get("metadata"), dict)):
                raise ValueError("the state is not that of a training")
            return state
        except (OSError, SafetensorError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            if is_out_of_memory(error):  # the file may be sound
                raise MemoryError(f"to load {self.path}") from error
            print(f"{self.path}: damaged ({error}); training starts over")
            return None

    def _write(self, state: dict[str, Any]) -> None:
        assert self.path is not None
        tensors: dict[str, Tensor] = {}
        header = {
            "fingerprint": self.fingerprint,
            "state": json.dumps(_split_tensors(state, tensors)),
            "crc": _checksum(tensors),
        }
        with atomic_write(self.path) as part:
            save_tensors(tensors, part, header)
            with part.open("rb") as file:
                os.fsync(file.fileno())


def compute_fingerprint(*inputs: Any) -> str:
    """Return a digest of the inputs (arrays and values with a `repr`), of the library's code and of torch's version."""
    digest = hashlib.sha256(torch.__version__.encode())
    for file in sorted(CODE_FOLDER.rglob("*.py")):
        digest.update(file.read_bytes())
    for value in inputs:
        match value:
            case FaceRows():
                digest.update(value.fingerprint().encode())
            case np.ndarray():
                digest.update(np.ascontiguousarray(value).data)
            case _:
                digest.update(repr(value).encode())
    return digest.hexdigest()


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return a checksum of all tensors: safetensors does not notice changed bytes."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return str(crc)


def _split_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as JSON can hold it; move its tensors to `tensors`, under numbers."""
    match value:
        case Tensor():
            tensors[str(len(tensors))] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            channels_last = value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last)
            return {"tensor": str(len(tensors) - 1), "channels_last": channels_last}
        case dict():
            return {"pairs": [[key, _split_tensors(item, tensors)] for key, item in value.items()]}
        case list() | tuple():
            return [_split_tensors(item, tensors) for item in value]
    return value


def _join_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the inverse of `_split_tensors`."""
    match value:
        case {"tensor": number, "channels_last": channels_last}:  # fused optimisers expect the layout of the weights
            layout = torch.channels_last if channels_last else torch.contiguous_format
            return tensors[number].contiguous(memory_format=layout)
        case {"pairs": pairs}:
            return {key: _join_tensors(item, tensors) for key, item in pairs}
        case list():
            return [_join_tensors(item, tensors) for item in value]
    return value
