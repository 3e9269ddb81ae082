"""Text for shares between 0 and 1, for their intervals, and for Markdown tables."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

MISSING_TEXT = "–"


def format_percent(share: float | None) -> str:
    return MISSING_TEXT if share is None else f"{100 * share:.1f} %"


def format_interval(interval: Mapping[str, float] | None) -> str:
    """Return the ends of an interval in percent and in brackets, or "" without an interval."""
    return f" ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})" if interval else ""


def format_metric(metrics: Mapping[str, Any], key: str) -> str:
    """Return the share `key` of `metrics`, with the interval `{key}_interval` if there is one."""
    return format_percent(metrics.get(key)) + format_interval(metrics.get(f"{key}_interval"))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], left_columns: Collection[int] = (0,)) -> str:
    """Return a Markdown table, its columns aligned right except those with an index in `left_columns`."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    alignment = ["left" if index in left_columns else "right" for index in range(len(header))]
    return tabulate(cells, headers="firstrow", tablefmt="pipe", colalign=alignment, disable_numparse=True)
