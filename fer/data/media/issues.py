"""Skipped items and notes, which readers report beside the faces."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SkippedItem:
    """An image that is not used."""

    id: str
    reason: str  # the same words for the same kind of problem: reports count them
    detail: str  # the value found and the values allowed
    is_defect: bool = True  # False: a sound image that gives no face, such as a photo of a landscape


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on the source for its report."""

    text: str
