"""Any tree whose folders are named like emotions, as TFEID (Chen and Yen, 2007) and most of Kaggle's sets come.

The folders of the emotions are right there or in folders of folds; folders inside them belong to them. A number is
never taken for an emotion, since it means another one in nearly every source. Cut-out faces are taken whole; of
photographs (see `photos`) the largest face. Nothing tells which pictures show one person.
"""

from collections.abc import Iterator
from typing import Literal

from fer.core.labels import EMOTIONS, emotion_named
from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Dropped
from fer.data.readers.params import Ingest
from fer.data.readers.photos import are_photographs
from fer.data.readers.record import Found, Record

LAYOUT = "folders named like two emotions or more (anger, angry, …), right there or in train/, val/ and test/"
TERMS = "on the terms of whoever made the pictures; those of a copy do not override them"

_FOLDS = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}


def recognises(root: Folder) -> bool:
    return any(_holds_emotions(folder) for folder in (root, *(part for part in root.folders() if _fold(part.name))))


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    pictures = (item for item in folders.pictures(root) if isinstance(item, File))
    faces: Literal["whole", "one"] = "one" if are_photographs(pictures) else "whole"
    for item in folders.pictures(root):
        if not isinstance(item, File):
            yield item
        elif emotion := emotion_above(item):
            fold = next(filter(None, map(_fold, reversed(item.parts[:-1]))), None)
            yield Record(item.id, item, emotion, fold, faces=faces)
        else:
            yield no_emotion_above(item)


def emotion_above(picture: File) -> str | None:
    """The emotion after which the nearest folder above is named."""
    return next(filter(None, map(emotion_named, reversed(picture.parts[:-1]))), None)


def no_emotion_above(picture: File) -> Dropped:
    where = f"in {'/'.join(picture.parts[:-1])}" if picture.parts[1:] else "in no folder"
    return Dropped(picture.id, "unknown emotion", f"{where}; allowed folders {', '.join(EMOTIONS)}")


def _holds_emotions(folder: Folder) -> bool:
    """Two emotions, since a single folder may be called Joy for another reason; and few folders that are none."""
    named = [emotion_named(inner.name) for inner in folder.folders()]
    return len({*named} - {None}) >= 2 and 2 * named.count(None) <= len(named)


def _fold(name: str) -> str | None:
    """Of a folder or an archive."""
    return _FOLDS.get(name.partition(".")[0].casefold())
