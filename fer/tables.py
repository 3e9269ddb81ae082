"""Writing and reading the small files: CSV and JSON, atomic, with the same bytes for the same content."""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

DIGITS = 6  # decimals kept in JSON and CSV
FORMULA = (
    r"'*[=+\-@\t\r\n]"  # how a text starts that a spreadsheet would run; guarded ones, too, so that no two become one
)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, file or folder (an empty one is made); on success it takes the place of `path`.

    After an exception `path` is as it was and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Like `replacing`, for a folder: yields a new, empty one."""
    with replacing(path) as part:
        part.mkdir()
        yield part


def write_json(path: Path, content: Any) -> None:
    """Write JSON with keys in the order given, floats rounded to `DIGITS`, and no NaN."""
    with replacing(path) as part:
        part.write_text(json.dumps(_rounded(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV without an index, floats rounded to `DIGITS`."""
    with replacing(path) as part:
        table.round(DIGITS).to_csv(part, index=False, lineterminator="\n")


def guarded(texts: pd.Series) -> pd.Series:
    """The texts, with an apostrophe before those that a spreadsheet would run as a formula."""
    return texts.map(guard)


def guard(text: str) -> str:
    """The text, with an apostrophe before it if a spreadsheet would run it as a formula."""
    return "'" + text if re.match(FORMULA, text) else text


def unguarded(text: str) -> str:
    """The text that `guarded` was given, also where a spreadsheet has taken the apostrophe away."""
    return text[1:] if text.startswith("'") and re.match(FORMULA, text) else text


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return round(value, DIGITS)
    return value
