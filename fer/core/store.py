"""The .npy file that holds the faces of one source or of all sources."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedWriter
from itertools import pairwise
from mmap import mmap
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

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
            for _, part in iter_chunks(array):
                file.write(part.data)
    return open_faces(path)


def _write_header(file: BufferedWriter, count: int, size: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
    np.lib.format.write_array_header_1_0(file, header)
