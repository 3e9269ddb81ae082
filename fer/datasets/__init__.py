"""Readers: one module per layout in which owners ship their faces.

A reader is a module with a line and two functions:

    LAYOUT: str                                    the layout in words, for the message when none is recognised
    recognises(root: Path) -> bool                 does this folder hold my layout? Looks at names, reads little.
    read(root: Path) -> Iterator[Found]            every face of it, in an order that does not depend on the machine

It reports what is *there*: the owner's labels and folds. What folds the faces end up in is decided in `fer.splits`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Record:
    """One face: where its picture is and what its owner says of it."""

    id: str  # unique within the source: the path below its root, or file name and line
    picture: Path | np.ndarray  # a file still to be decoded, or grey uint8 (height, width)
    emotion: str | None = None  # one of `labels.EMOTIONS`; None: unlabelled
    fold: str | None = None  # the owner's: train, valid or test; None: the owner has none
    group: str = ""  # faces of one subject or video share a group and never fall into different folds
    truth: str | None = None  # the emotion of an unlabelled face, known to the audit and to nothing else


@dataclass(frozen=True, slots=True)
class Dropped:
    """A face that can't be used."""

    id: str
    reason: str  # the same words for the same kind of defect: they are counted
    detail: str  # what was found and what is allowed


@dataclass(frozen=True, slots=True)
class Note:
    """Something the user should know about the source; goes to its report."""

    text: str


Found = Record | Dropped | Note
