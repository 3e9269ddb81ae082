"""The .npy file that holds the faces of one source or of all sources."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedWriter
from itertools import chain, pairwise
from mmap import mmap
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from numpy.typing import DTypeLike

from fer.core import files
from fer.runtime.errors import InputError

FACES_PER_CHUNK = 1024  # faces processed at a time


@contextmanager
def open_face_writer(path: Path, size: int) -> Iterator[Callable[[UInt8[np.ndarray, "size size"]], None]]:
    """Yield a function that appends a face to a new file, whose number of faces need not be known in advance.

    The file has the bytes of `np.save` and replaces `path` only on success.
    """
    count = 0
    with files.atomic_write(path) as part, part.open("wb") as file:

        def append(face: UInt8[np.ndarray, "size size"]) -> None:
            nonlocal count
            if face.shape != (size, size) or face.dtype != np.uint8:
                raise ValueError(f"a face must be uint8 ({size}, {size}), not {face.dtype} {face.shape}")
            file.write(face.tobytes())
            count += 1

        _write_header(file, count, size)  # numpy pads the header, so that the count can grow.
        yield append
        file.seek(0)
        _write_header(file, count, size)


def open_faces(path: Path) -> UInt8[np.ndarray, "n size size"]:
    """Return the faces in a file, read from disk as they are used.

    Raises:
        InputError: The file is missing, truncated or does not hold faces.
        MemoryError: The file is larger than the address space of the process.
    """
    faces = files.read_array(path, mmap=True)
    if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1] != faces.shape[2]:
        array = f"{faces.dtype} {faces.shape}"
        raise InputError(f"{path}: holds {array}, but faces are uint8 (n, size, size); recreate it with `dvc repro`")
    return faces


def read_rows(faces: UInt8[np.ndarray, "n size size"], rows: Int[np.ndarray, " m"]) -> UInt8[np.ndarray, "m size size"]:
    """Return a copy of the faces at `rows`.

    Memory-mapped faces are read from their file: through the mapping, each read would map up to a megabyte around the
    face, which counts as memory of this process.

    Raises:
        InputError: The file has become shorter.
    """
    if not isinstance(faces, np.memmap) or not isinstance(faces.base, mmap):  # the base of a slice is an array
        return faces[rows]
    copy = np.empty((len(rows), *faces.shape[1:]), dtype=np.uint8)
    run_starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
    with open(str(faces.filename), "rb") as file:
        for start, stop in pairwise([*run_starts, len(rows)]):
            run = copy[start:stop]
            file.seek(faces.offset + int(rows[start]) * faces[0].nbytes)
            if file.readinto(run.data) != run.nbytes:
                raise InputError(f"{faces.filename}: shorter than when it was opened; recreate it with `dvc repro`")
    return copy


class FaceRows:
    """Rows of one or more arrays of faces in the place of one array, which may be larger than memory.

    Faces are read where they are indexed. `np.asarray` reads all of them.
    """

    def __init__(self, *parts: tuple[UInt8[np.ndarray, "_ size size"], Int[np.ndarray, " _"]]) -> None:
        self.parts = parts
        self._stops = np.cumsum([len(rows) for _, rows in parts])
        self.shape, self.dtype = (int(self._stops[-1]), *parts[0][0].shape[1:]), np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | Int[np.ndarray, " m"]) -> UInt8[np.ndarray, "m size size"]:
        """Return a copy of the faces at `index`.

        Raises:
            IndexError: A row is negative or not below the number of faces.
        """
        rows = np.arange(*index.indices(len(self))) if isinstance(index, slice) else index
        if ((rows < 0) | (rows >= len(self))).any():
            raise IndexError(f"a row is not in 0..{len(self) - 1}")
        faces = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        number_of_part = np.searchsorted(self._stops, rows, side="right")
        for number, (part, part_rows) in enumerate(self.parts):
            is_here = number_of_part == number
            start = self._stops[number] - len(part_rows)
            faces[is_here] = read_rows(part, part_rows[rows[is_here] - start])
        return faces

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> UInt8[np.ndarray, "n size size"]:
        faces = np.empty(self.shape, dtype=self.dtype)
        for start in range(0, len(self), FACES_PER_CHUNK):
            rows = slice(start, start + FACES_PER_CHUNK)
            faces[rows] = self[rows]
        return faces

    def fingerprint(self) -> str:
        """Return a digest that changes with the faces: with size and time of a memory-mapped file, else by content."""
        digest = hashlib.sha256()
        for faces, rows in self.parts:
            digest.update(rows.tobytes())
            if isinstance(faces, np.memmap) and isinstance(faces.base, mmap):
                status = Path(str(faces.filename)).stat()
                digest.update(repr((faces.shape, status.st_size, status.st_mtime_ns)).encode())
            else:
                digest.update(np.ascontiguousarray(faces).data)
        return digest.hexdigest()


def concatenate_rows(*arrays: UInt8[np.ndarray, "_ size size"] | FaceRows) -> FaceRows:
    """Return all faces of `arrays`, in order, without copying them."""
    parts = [array.parts if isinstance(array, FaceRows) else [(array, np.arange(len(array)))] for array in arrays]
    return FaceRows(*chain.from_iterable(parts))


def iter_chunks(faces: UInt8[np.ndarray, "n size size"]) -> Iterator[tuple[slice, UInt8[np.ndarray, "m size size"]]]:
    """Yield copies of all faces in parts, each with its rows."""
    for start in range(0, len(faces), FACES_PER_CHUNK):
        rows = np.arange(start, min(start + FACES_PER_CHUNK, len(faces)))
        yield slice(start, start + len(rows)), read_rows(faces, rows)


def concatenate_faces(parts: Sequence[Path], path: Path) -> UInt8[np.ndarray, "n size size"]:
    """Write the faces of all `parts` to `path`, in order, and return them memory-mapped.

    Raises:
        InputError: A part cannot be read, or its faces differ in size from those of the first part.
    """
    arrays = [open_faces(part) for part in parts]
    size = arrays[0].shape[1]
    for part, array in zip(parts, arrays, strict=True):
        if array.shape[1] != size:
            sizes = f"are {array.shape[1]} pixels wide, but those in {parts[0]} are {size}"
            raise InputError(f"{part}: its faces {sizes}; ingest both with the same ingest.size")
    with path.open("wb") as file:
        _write_header(file, sum(map(len, arrays)), size)
        for array in arrays:
            for _, chunk in iter_chunks(array):
                file.write(chunk.data)
    return open_faces(path)


def _write_header(file: BufferedWriter, count: int, size: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
    np.lib.format.write_array_header_1_0(file, header)
