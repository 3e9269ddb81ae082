"""Atomic files and folders, and JSON and arrays with the same bytes for the same content."""

import errno
import glob
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
from jaxtyping import Shaped

from fer.runtime.errors import InputError, is_out_of_memory

DECIMALS = 6  # decimals kept in JSON and CSV
# The start of a text that a spreadsheet would run. Apostrophes count too, so that no two texts are escaped alike.
FORMULA_START = r"'*[=+\-@\t\r\n]"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder, which replaces `path` on success.

    After an exception `path` is unchanged and the temporary path is gone. A killed process leaves the old or the new
    `path`, or none if a folder was being replaced; the next call for the same path removes its temporary files.

    Raises:
        OSError: Writing fails, for example because the disk is full. The error names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    part, earlier = (path.with_name(f".{path.name}.{os.getpid()}.{suffix}") for suffix in ("part", "earlier.part"))
    try:
        yield part
        if path.is_dir() and part.exists():
            os.replace(path, earlier)  # A folder cannot replace one with files, and removing them can be interrupted.
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or f"{error}; is the disk full?"  # An error of numpy has only a text.
        filename = str(error.filename or path).replace(str(part), str(path))
        raise OSError(error.errno or errno.EIO, reason, filename) from error
    finally:
        if earlier.exists() and not path.exists():
            os.replace(earlier, path)
        _remove(part)
        _remove(earlier)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed processes left beside `path`."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        pid = re.fullmatch(r"(\d+)(\.earlier)?\.part", leftover.name.removeprefix(f".{path.name}."))
        if pid and (int(pid[1]) == os.getpid() or not psutil.pid_exists(int(pid[1]))):
            _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


@contextmanager
def atomic_write_folder(path: Path) -> Iterator[Path]:
    """Yield a new, empty folder, which replaces `path` on success as in `atomic_write`."""
    with atomic_write(path) as part:
        part.mkdir()
        yield part


def write_array(path: Path, array: Shaped[np.ndarray, "..."]) -> None:
    """Write the bytes of `np.save`, which itself loses the end of an array silently when the disk is full."""
    with path.open("wb") as file:  # numpy hands a plain file to C and ignores its last error.
        np.save(SimpleNamespace(write=file.write), array)


def read_array(path: Path, mmap: bool = False) -> Shaped[np.ndarray, "..."]:
    """Return the array in a .npy file; if `mmap`, it is read from disk as it is used.

    Raises:
        InputError: The file is missing, damaged or not an array.
        MemoryError: The file is larger than the address space of the process.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro` writes it")
    with path.open("rb") as file:  # Archives and pickles are refused; numpy would open them.
        magic = file.read(len(np.lib.format.MAGIC_PREFIX))
    try:
        if magic != np.lib.format.MAGIC_PREFIX:
            raise ValueError("no .npy header")
        array: np.ndarray = np.load(path, mmap_mode="r" if mmap else None)
    except (ValueError, EOFError, OSError, SyntaxError, TokenError) as error:  # NumPy parses the header as Python
        if is_out_of_memory(error):
            raise MemoryError(f"to map {path}") from error
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not an array ({reason}); recreate it with `dvc repro`") from error
    return array


def write_json(path: Path, content: Any) -> None:
    """Write JSON with keys in the order of `content`, floats rounded to `DECIMALS`, and no NaN."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(_round_floats(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: The file is not JSON in UTF-8, or nested too deeply.
    """
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """Return the content of a JSON text; every defect, also too deep nesting, is a ValueError."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def escape_formula(text: str) -> str:
    """Return the text, with an apostrophe before it if a spreadsheet would run it as a formula."""
    return "'" + text if re.match(FORMULA_START, text) else text


def unescape_formula(text: str) -> str:
    """Return the text before `escape_formula`, even if a spreadsheet has removed the apostrophe."""
    return text[1:] if text.startswith("'") and re.match(FORMULA_START, text) else text


def _round_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _round_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_round_floats(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return round(value, DECIMALS)
    return value
