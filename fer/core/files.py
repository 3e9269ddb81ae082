"""Writing and reading files: CSV and JSON, atomic, with the same bytes for the same content."""

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
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psutil
from jaxtyping import Shaped

from fer.runtime.errors import InputError, is_out_of_memory

DECIMALS = 6  # decimals kept in JSON and CSV
FORMULA_START = (
    r"'*[=+\-@\t\r\n]"  # how a text starts that a spreadsheet would run; guarded ones, too, so that no two become one
)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path to write to, file or folder (an empty one is made); on success it takes the place of `path`.

    After an exception `path` is as it was and nothing is left beside it. A process that is killed leaves `path` whole,
    as it was or as it was to be, or no folder where one was to be replaced; the next to write it clears up beside it.

    Raises:
        OSError: it can't be written, for example because the disk is full; named in the error is `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    part, earlier = (path.with_name(f".{path.name}.{os.getpid()}.{kind}") for kind in ("part", "earlier.part"))
    try:
        yield part
        if path.is_dir() and part.exists():
            os.replace(path, earlier)  # no folder can be renamed to one with files, and removing them may be cut short
        os.replace(part, path)
    except OSError as error:
        about = error.strerror or f"{error}; is the disk full?"  # numpy's have no more than a text
        named = str(error.filename or path).replace(str(part), str(path))
        raise OSError(error.errno or errno.EIO, about, named) from error
    finally:
        if earlier.exists() and not path.exists():
            os.replace(earlier, path)
        _remove(part)
        _remove(earlier)


def _remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed left beside `path`."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = re.fullmatch(r"(\d+)(\.earlier)?\.part", left.name.removeprefix(f".{path.name}."))
        if number and (int(number[1]) == os.getpid() or not psutil.pid_exists(int(number[1]))):
            _remove(left)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


@contextmanager
def atomic_write_folder(path: Path) -> Iterator[Path]:
    """Like `replacing`, for a folder: yields a new, empty one."""
    with atomic_write(path) as part:
        part.mkdir()
        yield part


def write_array(path: Path, array: Shaped[np.ndarray, "..."]) -> None:
    """Write what `np.save` would; that loses the end of an array without a word where the disk is full."""
    with path.open("wb") as file:  # no file that numpy would hand to C, whose last error it does not look at
        np.save(SimpleNamespace(write=file.write), array)


def read_array(path: Path, mmap: bool = False) -> Shaped[np.ndarray, "..."]:
    """The array in a .npy file; if `mmap`, it is read from disk as it is used.

    Raises:
        InputError: the file is missing, damaged or holds something else.
        MemoryError: its size is beyond what the process may address.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro` writes it")
    with path.open("rb") as file:  # numpy would look into archives and pickles, too
        magic = file.read(len(np.lib.format.MAGIC_PREFIX))
    try:
        if magic != np.lib.format.MAGIC_PREFIX:
            raise ValueError("it begins otherwise")
        array: np.ndarray = np.load(path, mmap_mode="r" if mmap else None)
    except (ValueError, EOFError, OSError) as error:
        if is_out_of_memory(error):
            raise MemoryError(f"to map {path}") from error
        why = " ".join(str(error).split())
        raise InputError(f"{path}: not an array ({why}); write it anew with `dvc repro`") from error
    return array


def write_json(path: Path, content: Any) -> None:
    """Write JSON with keys in the order given, floats rounded to `DIGITS`, and no NaN."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(_round_floats(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is no JSON in UTF-8, or nested too deeply.
    """
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """What the text says; whatever is wrong with it is a ValueError, also that it is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV without an index, floats rounded to `DIGITS`."""
    with atomic_write(path) as part:
        table.round(DECIMALS).to_csv(part, index=False, lineterminator="\n")


def escape_formulas(texts: pd.Series) -> pd.Series:
    """The texts, with an apostrophe before those that a spreadsheet would run as a formula."""
    return texts.map(escape_formula)


def escape_formula(text: str) -> str:
    """The text, with an apostrophe before it if a spreadsheet would run it as a formula."""
    return "'" + text if re.match(FORMULA_START, text) else text


def unescape_formula(text: str) -> str:
    """The text that `guarded` was given, also where a spreadsheet has taken the apostrophe away."""
    return text[1:] if text.startswith("'") and re.match(FORMULA_START, text) else text


def _round_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _round_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_round_floats(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return round(value, DECIMALS)
    return value
