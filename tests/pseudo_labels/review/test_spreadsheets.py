"""What spreadsheets make of a CSV, and what is read of it."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer.core.files import escape_formulas, unescape_formula, write_csv
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
    ids=["plain", "mark", "CRLF", "semicolons", "UTF-16", "no last break", "quotes, empty rows", "columns", "cells"],
)
def test_a_sheet_reads_the_same_however_it_was_saved(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == [(2, {"id": "a.png", "emotion": "sad"}), (3, {"id": "b.png", "emotion": ""})]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the column id is there 0 times"),
        (b"id,label\na,sad\n", "the column emotion is there 0 times"),
        (b"id,emotion,emotion\na,sad,happy\n", "the column emotion is there 2 times"),
        (b"id,emotion\na,b,sad\n", "row 2: has 3 cells and the first row 2"),
        (b"id,emotion\na,sad\n<<<<<<< HEAD\n", "row 3: has 1 cells and the first row 2"),
        (b"PK\x03\x04rest", "save it as CSV"),
        ("id,emotion\né,sad\n".encode("latin-1"), "not a text in UTF-8 \\(byte 11\\)"),
        (b'id,emotion\n"a,sad\n', "not a CSV"),
    ],
)
def test_what_is_no_such_sheet_is_refused_in_words(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)


@given(st.lists(st.text(st.sampled_from("'=+-@\t\n,;\"<a é"), min_size=1), unique=True, min_size=1))
def test_ids_come_back_and_none_can_run_as_a_formula(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    path = tmp_path_factory.mktemp("sheet") / "sheet.csv"
    cells = escape_formulas(pd.Series(ids, dtype=str))
    write_csv(path, pd.DataFrame({"id": cells, "emotion": ""}))
    assert not cells.str.startswith(("=", "+", "-", "@", "\t", "\r", "\n")).any()
    assert [row["id"] for _, row in read_spreadsheet(path, ["id", "emotion"])] == ids


def test_an_apostrophe_that_a_spreadsheet_took_away_is_not_missed() -> None:
    assert unescape_formula("=1+1") == unescape_formula("'=1+1") == "=1+1"
    assert unescape_formula("'s.png") == "'s.png"
