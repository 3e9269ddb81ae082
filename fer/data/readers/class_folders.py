"""Any tree whose folders are named like emotions, as TFEID (Chen and Yen, 2007) and most of Kaggle's sets come.

The folders of the emotions are right there or in folders of folds; folders inside them belong to them. A number is
never taken for an emotion, since it means another one in nearly every source. Cut-out faces are taken whole; of
photographs (see `photos`) the largest face. Nothing tells which pictures show one person.
"""

from collections.abc import Iterator
from typing import Literal

from fer.core.labels import EMOTIONS, parse_emotion
from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.photos import are_photos
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "folders named like two emotions or more (anger, angry, …), right there or in train/, val/ and test/"
LICENSE_TERMS = "on the terms of whoever made the pictures; those of a copy do not override them"

_FOLDS = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}


def matches(root: Folder) -> bool:
    return any(
        _has_emotion_folders(folder) for folder in (root, *(part for part in root.folders() if _parse_fold(part.name)))
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    pictures = (item for item in folders.walk_media(root) if isinstance(item, File))
    faces: Literal["whole", "one"] = "one" if are_photos(pictures) else "whole"
    for item in folders.walk_media(root):
        if not isinstance(item, File):
            yield item
        elif emotion := find_folder_emotion(item):
            fold = next(filter(None, map(_parse_fold, reversed(item.parts[:-1]))), None)
            yield Record(item.id, item, emotion, fold, face_mode=faces)
        else:
            yield skip_unknown_emotion(item)


def find_folder_emotion(file: File) -> str | None:
    """The emotion after which the nearest folder above is named."""
    return next(filter(None, map(parse_emotion, reversed(file.parts[:-1]))), None)


def skip_unknown_emotion(file: File) -> SkippedItem:
    where = f"in {'/'.join(file.parts[:-1])}" if file.parts[1:] else "in no folder"
    return SkippedItem(file.id, "unknown emotion", f"{where}; allowed folders {', '.join(EMOTIONS)}")


def _has_emotion_folders(folder: Folder) -> bool:
    """Two emotions, since a single folder may be called Joy for another reason; and few folders that are none."""
    named = [parse_emotion(inner.name) for inner in folder.folders()]
    return len({*named} - {None}) >= 2 and 2 * named.count(None) <= len(named)


def _parse_fold(name: str) -> str | None:
    """Of a folder or an archive."""
    return _FOLDS.get(name.partition(".")[0].casefold())
