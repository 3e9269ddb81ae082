"""CSV files as people's spreadsheets leave them: what is read of them, and what is refused, in words."""

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fer.core.files import unescape_formula
from fer.runtime.errors import InputError

SheetRow = tuple[int, dict[str, str]]


def read_spreadsheet(path: Path, columns: Sequence[str]) -> list[SheetRow]:
    """The number of each row, as a spreadsheet counts them, and its cells in `columns`; empty rows are left out.

    Cells are separated by commas, semicolons or tabs, the text is UTF-8, or UTF-16 with its mark, and the
    apostrophe of `tables.guarded` is taken away. Other columns are not looked at.

    Raises:
        InputError: it is no such text, a column is missing or there twice, or a row has not as many cells as the first.
    """
    rows = _parse_csv(_decode_text(path), path)
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    for column in columns:
        if (count := header.count(column)) != 1:
            raise InputError(
                f"{path}: the column {column} is there {count} times in the first row; "
                f"needed once each are {', '.join(columns)}"
            )
    places = {column: header.index(column) for column in columns}
    found = []
    for number, cells in enumerate(rows[1:], 2):
        if not any(cells):
            continue
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise InputError(
                f"{path}, row {number}: has {len(cells)} cells and the first row {len(header)}; "
                "put texts with separators into double quotes"
            )
        found.append((number, {column: unescape_formula(cells[place]) for column, place in places.items()}))
    return found


def _decode_text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(b"PK\x03\x04"):
        raise InputError(f"{path}: a spreadsheet's own file; save it as CSV")
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 (byte {error.start}); save it as 'CSV UTF-8'") from error


def _parse_csv(text: str, path: Path) -> list[list[str]]:
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)  # the first of equals
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV ({error}); save it as CSV again") from error
