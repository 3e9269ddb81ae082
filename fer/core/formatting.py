"""Text of shares between 0 and 1, of their intervals, and of tables."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

NONE = "–"


def percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


def between(ends: Mapping[str, float] | None) -> str:
    """The ends of an interval, in brackets."""
    return f" ({100 * ends['low']:.1f} to {100 * ends['high']:.1f})" if ends else ""


def figure(of: Mapping[str, Any], key: str) -> str:
    """A share in `of`, with its interval where that stands beside it."""
    return percent(of.get(key)) + between(of.get(f"{key}_interval"))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Return a Markdown table. The columns with an index in `left` are aligned left, the others right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    sides = ["left" if index in left else "right" for index in range(len(head))]
    return tabulate(cells, headers="firstrow", tablefmt="pipe", colalign=sides, disable_numparse=True)
