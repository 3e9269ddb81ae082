"""What readers yield: faces with the owner's labels and folds, skipped items and notes.

`fer.data.curation.splits` decides which folds are used. Readers decode no images, so reading twice (to count, then to
ingest) is cheap.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fer.data.media.folders import IMAGE_SUFFIXES, File, Folder, Note, SkippedItem, walk_media


@dataclass(frozen=True, slots=True)
class PixelText:
    """A square grey image in a CSV cell: integers separated by blanks, row by row."""

    text: str
    side: int


@dataclass(frozen=True, slots=True)
class Record:
    """An image and the labels that its owner gives it."""

    id: str  # unique within the source: the path below its root, or file name and line
    image: File | PixelText | np.ndarray  # an undecoded image or video; or grey uint8 (height, width)
    emotion: str | None = None  # one of `labels.EMOTIONS`; None: unlabelled
    fold: str | None = None  # the owner's: train, valid or test; None: the owner defines none
    group: str = ""  # faces of one subject or video share a group, which is never split across folds
    truth: str | None = None  # the emotion of an unlabelled face, used only by the audit of pseudo-labels
    votes: str = ""  # of the annotators, such as "sad:6 fear:3 unknown:1"
    raw: str = ""  # the owner's label if it is not one of `labels.EMOTIONS`, such as "fearfully surprised"
    by_rule: bool = False  # no person gave the emotion: use it for training, never for testing
    face_mode: Literal["whole", "one", "all"] = "whole"  # the image is a face; or detect the largest face, or all
    box: tuple[float, float, float, float] | None = None  # x, y, width, height of the face in pixels, where known
    frame_emotions: Mapping[int, str] | None = None  # of a video: frame number from 0 -> emotion


ReaderItem = Record | SkippedItem | Note


def read_files(
    folder: Folder | None, make_item: Callable[[File], ReaderItem], suffixes: Collection[str] = IMAGE_SUFFIXES
) -> Iterator[ReaderItem]:
    """Yield the item that `make_item` returns for each file below a folder, and what `walk_media` skips and notes."""
    for item in walk_media(folder, suffixes=suffixes):
        yield make_item(item) if isinstance(item, File) else item


def is_unsafe_path(path: str) -> bool:
    """Tell whether a path in a list leads out of the folder of images, on some machine."""
    return path.startswith("/") or "\\" in path or ":" in path or ".." in path.split("/")


def skip_unknown_label(id: str, label: str, meanings: Mapping[str, str]) -> SkippedItem:
    allowed = ", ".join(f"{code} {meaning}" for code, meaning in meanings.items())
    return SkippedItem(id, "unknown label", f"{label[:20]!r}; allowed {allowed}")
