"""Readers: one module per layout in which owners ship their faces.

A reader is a module with three lines and two functions:

    LAYOUT: str                                    the layout in words, for the message when none is recognised
    TERMS: str                                     on what terms the owner gives it, in a sentence, for `fer add`
    PIXELS: (mean, deviation)                      only where altered copies circulate: those of the owner's faces
    recognises(root: Folder) -> bool               does this folder hold my layout? Looks at names, reads little.
    read(root: Folder, rules: params.Ingest) -> Iterator[Found]
                                                   every face of it, in an order that does not depend on the machine

It reports what is *there*: the owner's labels and folds. `fer.data.curation.splits` decides the folds.
Nothing is decoded while reading, so that reading twice, to count and to ingest, is cheap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fer.data.media.folders import File
from fer.data.media.issues import Note, SkippedItem

__all__ = ["Note", "PixelText", "ReaderItem", "Record", "SkippedItem"]


@dataclass(frozen=True, slots=True)
class PixelText:
    """A grey square as its owner writes it in a CSV: whole numbers apart by blanks, row after row."""

    text: str
    side: int


@dataclass(frozen=True, slots=True)
class Record:
    """One picture: where it is and what its owner says of it."""

    id: str  # unique within the source: the path below its root, or file name and line
    image: File | PixelText | np.ndarray  # a picture or a video, still to be decoded; or grey uint8 (height, width)
    emotion: str | None = None  # one of `labels.EMOTIONS`; None: unlabelled
    fold: str | None = None  # the owner's: train, valid or test; None: the owner has none
    group: str = ""  # faces of one subject or video share a group and never fall into different folds
    truth: str | None = None  # the emotion of an unlabelled face, known to the audit and to nothing else
    votes: str = ""  # the annotators', as "sad:6 fear:3 unknown:1"
    raw: str = ""  # a label of the owner's that is no emotion of ours, such as "fearfully surprised"
    by_rule: bool = False  # the emotion was derived, not seen by a person: for training, never for a test
    face_mode: Literal["whole", "one", "all"] = "whole"  # the picture is a face; or the largest, or all are looked for
    box: tuple[float, float, float, float] | None = None  # x, y, width, height of the face in pixels, where known
    frame_emotions: Mapping[int, str] | None = None  # of a video: the emotion of each labelled frame, from 0


ReaderItem = Record | SkippedItem | Note
