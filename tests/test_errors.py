"""What a user reads when something is wrong: one line, which no file's name can turn into two."""

import sys

import pytest

from fer.errors import InputError, in_one_line, run


@pytest.mark.parametrize("hidden", ["\n", "\r", "\x1b[2J", "\x07", "\0", "\u202e", "\ud800"])
def test_a_name_can_neither_break_the_line_nor_command_the_terminal(hidden: str) -> None:
    def main() -> None:
        raise InputError(f"a{hidden}b.png: no picture")

    with pytest.raises(SystemExit) as end:
        run(main)
    assert str(end.value).isprintable()
    assert str(end.value).startswith("error: a\\")
    assert in_one_line("gâteau 微笑.png") == "gâteau 微笑.png"


def test_what_is_nested_too_deeply_is_no_traceback() -> None:
    def main() -> None:
        main()

    with pytest.raises(SystemExit, match="nested too deeply"):
        run(main)
    assert sys.getrecursionlimit() >= 1000
