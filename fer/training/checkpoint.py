"""Trainings that are cut short go on where they were: what changes from step to step is kept beside the output.

One file of safetensors, with what is no tensor as JSON in its header: nothing is unpickled.
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
from fer.nn import distributed
from fer.nn.weights import save_tensors
from fer.runtime.errors import InputError, StoppedError, is_out_of_memory

SAVE_INTERVAL_SECONDS = 60
SAME_SIGNAL_SECONDS = 5  # Slurm signals every process, and the launcher passes its signal on to rank 0
CODE_FOLDER = Path(__file__).parents[1]


@runtime_checkable
class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Any) -> object: ...


class Checkpoint:
    """The file at `path`, as long as `fingerprint` is that of what it follows from; without a path nothing is kept."""

    def __init__(self, path: Path | None = None, fingerprint: str = "") -> None:
        self.path, self.fingerprint = path, fingerprint
        self._earlier = self._read()
        self.metadata: dict[str, Any] = self._earlier.pop("aside") if self._earlier else {}  # kept with the parts
        self._saved, self._told_to_end = time.monotonic(), 0.0

    def resume(self, parts: Mapping[str, Stateful]) -> None:
        """Take the parts to where they were, if an earlier run left them half done.

        Raises:
            InputError: the file holds something else.
        """
        if self._earlier is None:
            return
        print(f"going on with {self.path}", flush=True)
        try:
            for name, part in parts.items():
                part.load_state_dict(self._earlier[name])
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise MemoryError(f"to load {self.path}") from error
            raise InputError(f"{self.path}: damaged ({type(error).__name__}); delete it, and run it again") from error
        self._earlier = None

    def save_if_due(self, parts: Mapping[str, Stateful]) -> None:
        """Keep the parts if that has not been done for a while, or if the process was told to end.

        Raises:
            CutShortError: it was told to end.
        """
        if (
            self.path
            and distributed.is_main_process()
            and (self._told_to_end or time.monotonic() > self._saved + SAVE_INTERVAL_SECONDS)
        ):
            self._write({"aside": self.metadata} | {name: part.state_dict() for name, part in parts.items()})
            self._saved = time.monotonic()
        if self._told_to_end:
            raise StoppedError("interrupted" + ("; run it again, and it goes on from here" if self.path else ""))

    @contextmanager
    def defer_signals(self) -> Iterator[None]:
        """Delay Ctrl-C and SIGTERM to the end of the step, so that rank 0 writes a checkpoint.

        A second signal after `SAME_SIGNAL_SECONDS` ends the process at once. Other ranks wait for rank 0 to end.
        """

        def end(number: int, frame: FrameType | None) -> None:
            if self._told_to_end and time.monotonic() > self._told_to_end + SAME_SIGNAL_SECONDS:
                raise KeyboardInterrupt
            if distributed.is_main_process():
                self._told_to_end = self._told_to_end or time.monotonic()

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._told_to_end:
            raise StoppedError("interrupted")

    def remove(self) -> None:
        if self.path:
            self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        if not self.path or not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata() or {}
                if about["fingerprint"] != self.fingerprint:
                    print(f"{self.path}: of other data, parameters or code; training from the beginning")
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                if _checksum(tensors) != about["crc"]:
                    raise ValueError("its checksum is another")
                state = _join_tensors(parse_json(about["state"]), tensors)
            if not (isinstance(state, dict) and isinstance(state.get("aside"), dict)):
                raise ValueError("the state is none")
            return state
        except (OSError, SafetensorError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            if is_out_of_memory(error):  # what is kept may be sound
                raise MemoryError(f"to load {self.path}") from error
            print(f"{self.path}: damaged ({error}); training from the beginning")
            return None

    def _write(self, state: dict[str, Any]) -> None:
        assert self.path is not None
        tensors: dict[str, Tensor] = {}
        about = {
            "fingerprint": self.fingerprint,
            "state": json.dumps(_split_tensors(state, tensors)),
            "crc": _checksum(tensors),
        }
        with atomic_write(self.path) as part:
            save_tensors(tensors, part, about)
            with part.open("rb") as file:
                os.fsync(file.fileno())


def compute_fingerprint(*inputs: Any) -> str:
    """A digest of the facts, arrays among them, and of the project's code."""
    digest = hashlib.sha256(torch.__version__.encode())
    for file in sorted(CODE_FOLDER.rglob("*.py")):
        digest.update(file.read_bytes())
    for fact in inputs:
        digest.update(np.ascontiguousarray(fact).data if isinstance(fact, np.ndarray) else repr(fact).encode())
    return digest.hexdigest()


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """Of all bytes, of which safetensors would load changed ones without a word."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return str(crc)


def _split_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What JSON can hold of `value`; its tensors go into `tensors`, under numbers."""
    match value:
        case Tensor():
            tensors[str(len(tensors))] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            last = value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last)
            return {"tensor": str(len(tensors) - 1), "channels_last": last}
        case dict():
            return {"pairs": [[key, _split_tensors(item, tensors)] for key, item in value.items()]}
        case list() | tuple():
            return [_split_tensors(item, tensors) for item in value]
    return value


def _join_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    match value:
        case {"tensor": number, "channels_last": last}:  # fused optimisers take a state to be arranged as its weights
            return tensors[number].contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        case {"pairs": pairs}:
            return {key: _join_tensors(item, tensors) for key, item in pairs}
        case list():
            return [_join_tensors(item, tensors) for item in value]
    return value
