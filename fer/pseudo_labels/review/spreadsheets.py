"""Read CSV files that people edited in a spreadsheet program."""

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fer.core.files import unescape_formula
from fer.runtime.errors import InputError

SheetRow = tuple[int, dict[str, str]]


def read_spreadsheet(path: Path, columns: Sequence[str]) -> list[SheetRow]:
    """Return the number of each row, as spreadsheets count, and its cells in `columns`; skip empty rows.

    Cells are separated by commas, semicolons or tabs. The text is UTF-8, or UTF-16 with a byte order mark. The
    apostrophe of `escape_formulas` is removed.

    Raises:
        InputError: The file is not such a text, a column is missing or duplicated, or a row differs in length from the
            first.
    """
    rows = _parse_csv(_decode_text(path), path)
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    for column in columns:
        if (count := header.count(column)) != 1:
            raise InputError(
                f"{path}: the first row has {count} columns named {column}; "
                f"it needs exactly one each of {', '.join(columns)}"
            )
    places = {column: header.index(column) for column in columns}
    numbered_rows = []
    for number, cells in enumerate(rows[1:], 2):
        if not any(cells):
            continue
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise InputError(
                f"{path}, row {number}: has {len(cells)} cells, but the first row has {len(header)}; "
                "put texts with separators into double quotes"
            )
        numbered_rows.append((number, {column: unescape_formula(cells[place]) for column, place in places.items()}))
    return numbered_rows


def _decode_text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(b"PK\x03\x04"):
        raise InputError(f"{path}: is a spreadsheet file, not a CSV; save it as CSV")
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'") from error


def _parse_csv(text: str, path: Path) -> list[list[str]]:
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)  # the first of equals
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV ({error}); save it as CSV again") from error
