"""Text of shares between 0 and 1, of their intervals, and of tables."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

MISSING_TEXT = "–"


def format_percent(share: float | None) -> str:
    return MISSING_TEXT if share is None else f"{100 * share:.1f} %"


def format_interval(interval: Mapping[str, float] | None) -> str:
    """The ends of an interval, in brackets."""
    return f" ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})" if interval else ""


def format_metric(metrics: Mapping[str, Any], key: str) -> str:
    """A share in `metrics`, with its interval where that stands beside it."""
    return format_percent(metrics.get(key)) + format_interval(metrics.get(f"{key}_interval"))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Return a Markdown table. The columns with an index in `left` are aligned left, the others right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    sides = ["left" if index in left else "right" for index in range(len(head))]
    return tabulate(cells, headers="firstrow", tablefmt="pipe", colalign=sides, disable_numparse=True)
