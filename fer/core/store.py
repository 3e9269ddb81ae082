"""The file that holds the faces of a source or of all sources, as `np.save` writes it."""

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
    """Yield a function that adds a face to a new file at `path`; how many will come need not be known.

    The file has the bytes that `np.save` would write, and takes the place of an older one only on success.
    """
    count = 0
    with files.atomic_write(path) as part, part.open("wb") as file:

        def append(face: UInt8[np.ndarray, "size size"]) -> None:
            nonlocal count
            if face.shape != (size, size) or face.dtype != np.uint8:
                raise ValueError(f"a face is uint8 ({size}, {size}), not {face.dtype} {face.shape}")
            file.write(face.tobytes())
            count += 1

        _write_header(file, count, size)  # numpy pads it so that the count can grow
        yield append
        file.seek(0)
        _write_header(file, count, size)


def open_faces(path: Path) -> UInt8[np.ndarray, "n size size"]:
    """The faces in a file, read from disk as they are used.

    Raises:
        InputError: the file is missing, cut short or holds something else.
        MemoryError: its size is beyond what the process may address.
    """
    faces = files.read_array(path, mmap=True)
    if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1] != faces.shape[2]:
        found = f"{faces.dtype} {faces.shape}"
        raise InputError(f"{path}: holds {found}, but faces are uint8 (n, size, size); write it anew with `dvc repro`")
    return faces


def concatenate_faces(parts: Sequence[Path], path: Path) -> UInt8[np.ndarray, "n size size"]:
    """The faces of all `parts`, one file after the other, written to `path` and read from there.

    Raises:
        InputError: a part can't be read or its faces have another size than those of the first.
    """
    arrays = [open_faces(part) for part in parts]
    size = arrays[0].shape[1]
    for part, array in zip(parts, arrays, strict=True):
        if array.shape[1] != size:
            sizes = f"{array.shape[1]} pixels a side, but those in {parts[0]} have {size}"
            raise InputError(f"{part}: its faces have {sizes}; ingest both with one `ingest.size`")
    with path.open("wb") as file:
        _write_header(file, sum(map(len, arrays)), size)
        for array in arrays:
            file.write(array.data)
    return open_faces(path)


def _write_header(file: BufferedWriter, count: int, size: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
    np.lib.format.write_array_header_1_0(file, header)
