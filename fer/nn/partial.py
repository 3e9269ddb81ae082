"""A file of predictions that is filled slice by slice and outlives the process that fills it."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from fer.core.files import atomic_write
from fer.runtime.errors import InputError

DONE_MARK = b"\1"


@dataclass(frozen=True)
class PartialPredictions:
    """An unfinished file of predictions.

    The file holds what `np.save` would write, with zeros for missing slices, then one byte for each slice, which marks
    it as done, then `dependencies`. A slice is on disk before its mark is.
    """

    path: Path
    shape: tuple[int, ...]  # of the predictions, float32
    slice_size: int  # in rows
    dependencies: str  # JSON of all that determines the predictions, with `slice_size` as "slice"

    @classmethod
    def read(cls, path: Path, shape: tuple[int, ...]) -> "PartialPredictions | None":
        """Return the file at `path`, whatever its dependencies; None if it is damaged or has another shape."""
        with path.open("rb") as file:
            file.seek(cls(path, shape, 1, "")._end)
            tail = file.read()
        try:
            dependencies = tail[tail.find(b"{") :].decode()  # after the marks
            partial = cls(path, shape, json.loads(dependencies)["slice"], dependencies)
            return None if partial.missing_slices() is None else partial
        except (ValueError, KeyError, TypeError):
            return None

    def resume_or_create(self) -> list[int]:
        """Return the start rows of missing slices; create the file if it does not exist or has other dependencies."""
        missing = self.missing_slices()
        if missing is not None:
            n_slices = len(self.starts)
            print(f"resuming from {self.path}: {n_slices - len(missing)} of {n_slices} slices are done")
            return missing
        if self.path.exists():
            print(f"starting over: {self.path} is damaged, or has other faces, weights, settings or code")
        with atomic_write(self.path) as new, new.open("wb") as file:  # another process may be writing to the old file
            file.write(self._header)
            file.seek(self._end + len(self.starts))
            file.write(self.dependencies.encode())
        return self.starts

    def missing_slices(self) -> list[int] | None:
        """Return the start rows of missing slices; None if the file is missing, damaged or has other dependencies."""
        if not self.path.is_file():
            return None
        with self.path.open("rb") as file:
            header = file.read(len(self._header))
            file.seek(self._end)
            marks, dependencies = file.read(len(self.starts)), file.read()
        if (header, dependencies) != (self._header, self.dependencies.encode()):
            return None
        return [start for start, mark in zip(self.starts, marks, strict=True) if mark != ord(DONE_MARK)]

    def write_slice(self, start: int, rows: Float[np.ndarray, "n views classes"]) -> None:
        """Write the slice that starts at row `start` to disk, then its mark."""
        # Write-only: after reading, an NFS client writes whole pages back, with outdated rows of other hosts.
        with self._name_file_in_errors(), open(os.open(self.path, os.O_WRONLY), "wb") as file:
            _write_and_sync(file, len(self._header) + start * self._row_bytes, rows.tobytes())
            _write_and_sync(file, self._end + start // self.slice_size, DONE_MARK)

    def copy_slices(self, source: "PartialPredictions", starts: Iterable[int]) -> None:
        """Write the slices of `source` that start at these rows."""
        rows = np.lib.format.open_memmap(source.path, mode="r")
        for start in starts:
            self.write_slice(start, rows[start : start + self.slice_size])

    def check_slices(self, starts: Iterable[int]) -> None:
        """Raise an `InputError` if a slice that starts at one of these rows is missing."""
        if (missing := self.missing_slices()) is None or (missing := sorted({*missing} & {*starts})):
            reason = "damaged" if missing is None else f"{len(missing)} of {len(self.starts)} slices are missing"
            raise InputError(f"{self.path}: {reason}; run all processes on one shared file system")

    def finish(self, out: Path) -> None:
        """Cut the file to the predictions and move it to `out`.

        Raises:
            InputError: A slice is missing.
        """
        self.check_slices(self.starts)
        os.truncate(self.path, self._end)
        os.replace(self.path, out)

    @property
    def starts(self) -> list[int]:
        """The start rows of all slices."""
        return list(range(0, self.shape[0], self.slice_size))

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

    @contextmanager
    def _name_file_in_errors(self) -> Iterator[None]:
        """Add the path to an OSError, which lacks one if a write to an open file fails."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def partial_path(out: Path) -> Path:
    """Return the path of the unfinished file of `out`."""
    return out.with_name(f".{out.name}.part")


def _write_and_sync(file: BinaryIO, offset: int, content: bytes) -> None:
    """Write `content` at `offset` and return once it is on disk."""
    file.seek(offset)
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
