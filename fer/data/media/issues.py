"""What a reader says beside the faces: what is not used, and what the user should know."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SkippedItem:
    """A picture that is not used."""

    id: str
    reason: str  # the same words for the same kind: they are counted
    detail: str  # what was found and what is allowed
    is_defect: bool = True  # False: nothing is wrong with it, such as a photograph without a face


@dataclass(frozen=True, slots=True)
class Note:
    """Something the user should know about the source; goes to its report."""

    text: str
