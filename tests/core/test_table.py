"""The table of faces, and CSV files."""

from pathlib import Path

import pandas as pd
import pytest

from fer.core.table import TABLE_COLUMNS, read_table, write_csv
from fer.runtime.errors import InputError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,fold\n1,train\n", "columns are id, fold, not id, source, fold"),
        (
            ",".join(TABLE_COLUMNS) + "\na,b,train,happy,,,True,\nc,b,valid,,,,False,\n",
            "line 3 is in a labelled fold but has",
        ),
    ],
)
def test_an_invalid_table_is_reported(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / "table.csv")


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(",".join(TABLE_COLUMNS) + "\nnull,NA,test,happy,happy:9 NF:1,,True,\n1,a,unlabelled,,,,False,\n")
    table = read_table(path)
    assert tuple(table.columns) == TABLE_COLUMNS
    assert table.loc[0, ["id", "source", "group"]].tolist() == ["null", "NA", ""]
    assert table["twin_in_train"].tolist() == [True, False]


def test_csv_is_rounded(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", pd.DataFrame({"name": ["a,b"], "share": [2 / 3]}))
    assert (tmp_path / "x.csv").read_text() == 'name,share\n"a,b",0.666667\n'
