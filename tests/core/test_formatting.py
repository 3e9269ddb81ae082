"""Markdown tables."""

import re

from fer.core.formatting import markdown_table


def test_a_table_keeps_numbers_as_written_and_escapes_bars() -> None:
    table = markdown_table(["name", "a|b"], [["one | two", "1.50"], ["1", ""]])
    lines = re.sub("-+", "-", table.replace(" ", "")).splitlines()
    assert lines == [r"|name|a\|b|", "|:-|-:|", r"|one\|two|1.50|", "|1||"]


def test_a_table_without_rows_has_a_header() -> None:
    assert markdown_table(["a", "b"], []).splitlines()[0].split() == ["|", "a", "|", "b", "|"]
