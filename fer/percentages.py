"""Shares between 0 and 1 and their intervals, in percent."""

from collections.abc import Mapping
from typing import Any

NONE = "–"


def percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


def between(ends: Mapping[str, float] | None) -> str:
    """The ends of an interval, in brackets."""
    return f" ({100 * ends['low']:.1f} to {100 * ends['high']:.1f})" if ends else ""


def figure(of: Mapping[str, Any], key: str) -> str:
    """A share in `of`, with its interval where that stands beside it."""
    return percent(of.get(key)) + between(of.get(f"{key}_interval"))
