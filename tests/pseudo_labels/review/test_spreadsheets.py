"""Reading CSV files as spreadsheet programs write them."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.core.files import unescape_formula
from fer.core.table import escape_formulas, write_csv
from fer.pseudo_labels.review.spreadsheets import read_spreadsheet
from fer.runtime.errors import InputError

PLAIN = "id,emotion\na.png,sad\nb.png,\n"


def read(folder: Path, content: bytes) -> list[tuple[int, dict[str, str]]]:
    (folder / "sheet.csv").write_bytes(content)
    return read_spreadsheet(folder / "sheet.csv", ["id", "emotion"])


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.removesuffix("\n").encode(),
        b'"id","emotion"\n"a.png","sad"\n"b.png",""\n,\n\n',
        b"note,Emotion,ID\n,sad,a.png\nlater,,b.png\n",
        b"id,emotion,\na.png,sad,\nb.png,,,,\n",
    ],
    ids=[
        "plain",
        "byte order mark",
        "CRLF",
        "semicolons",
        "UTF-16",
        "no final newline",
        "quotes, empty rows",
        "columns",
        "cells",
    ],
)
def test_a_sheet_is_read_the_same_in_every_format(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == [(2, {"id": "a.png", "emotion": "sad"}), (3, {"id": "b.png", "emotion": ""})]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the first row has 0 columns named id; it needs exactly one each of id, emotion"),
        (b"id,label\na,sad\n", "the first row has 0 columns named emotion"),
        (b"id,emotion,emotion\na,sad,happy\n", "the first row has 2 columns named emotion"),
        (b"id,emotion\na,b,sad\n", "row 2: has 3 cells, but the first row has 2"),
        (b"id,emotion\na,sad\n<<<<<<< HEAD\n", "row 3: has 1 cells, but the first row has 2"),
        (b"PK\x03\x04rest", "save it as CSV"),
        ("id,emotion\né,sad\n".encode("latin-1"), "not UTF-8 text \\(byte 11\\)"),
        (b'id,emotion\n"a,sad\n', "not a CSV"),
    ],
)
def test_other_files_are_rejected_in_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)


@given(st.lists(st.text(st.sampled_from("'=+-@\t\n,;\"<a é"), min_size=1), unique=True, min_size=1))
def test_ids_are_unchanged_and_none_can_run_as_a_formula(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str]
) -> None:
    path = tmp_path_factory.mktemp("sheet") / "sheet.csv"
    cells = escape_formulas(pd.Series(ids, dtype=str))
    write_csv(path, pd.DataFrame({"id": cells, "emotion": ""}))
    assert not cells.str.startswith(("=", "+", "-", "@", "\t", "\r", "\n")).any()
    assert [row["id"] for _, row in read_spreadsheet(path, ["id", "emotion"])] == ids


def test_ids_are_unchanged_if_a_spreadsheet_removed_the_apostrophe() -> None:
    assert unescape_formula("=1+1") == unescape_formula("'=1+1") == "=1+1"
    assert unescape_formula("'s.png") == "'s.png"
