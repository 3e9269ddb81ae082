"""The .npy file that holds the faces of one source or of all sources."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fer.core import files
from fer.runtime.errors import InputError


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
            file.write(array.data)
    return open_faces(path)


def _write_header(file: BufferedWriter, count: int, size: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
    np.lib.format.write_array_header_1_0(file, header)
