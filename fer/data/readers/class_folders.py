"""Any tree with folders named after emotions, such as TFEID (Chen and Yen, 2007) and most datasets on Kaggle.

The emotion folders are at the top or in the folder of a fold, and may have subfolders. Numbers are never read as
emotions, since nearly every source numbers them differently. Face crops are used whole; in photos (see `photos`) the
largest face is detected. The layout does not identify persons.
"""

from collections.abc import Iterator
from typing import Literal

from fer.core.labels import EMOTIONS, parse_emotion
from fer.data.media import folders
from fer.data.media.folders import File, Folder, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.photos import are_photos
from fer.data.readers.record import ReaderItem, Record, read_files

LAYOUT = "folders named after two or more emotions (anger, angry, …), at the top or in train/, val/ and test/"
LICENSE_TERMS = "the terms of the original authors of the images; a copy's own terms do not override them"

_FOLD_NAMES = {"train": ("train", "training"), "valid": ("val", "valid", "validation"), "test": ("test", "testing")}
_FOLDS = {name: fold for fold, names in _FOLD_NAMES.items() for name in names}


def matches(root: Folder) -> bool:
    return any(
        _has_emotion_folders(folder) for folder in (root, *(part for part in root.folders() if _parse_fold(part.name)))
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    files = (item for item in folders.walk_media(root) if isinstance(item, File))
    face_mode: Literal["whole", "one"] = "one" if are_photos(files) else "whole"

    def make_record(image: File) -> Record | SkippedItem:
        fold = next(filter(None, map(_parse_fold, reversed(image.parts[:-1]))), None)
        emotion = find_folder_emotion(image)
        return Record(image.id, image, emotion, fold, face_mode=face_mode) if emotion else skip_unknown_emotion(image)

    return read_files(root, make_record)


def find_folder_emotion(file: File) -> str | None:
    """Return the emotion after which the nearest parent folder is named."""
    return next(filter(None, map(parse_emotion, reversed(file.parts[:-1]))), None)


def skip_unknown_emotion(file: File) -> SkippedItem:
    location = f"in {'/'.join(file.parts[:-1])}" if file.parts[1:] else "in no folder"
    return SkippedItem(file.id, "unknown emotion", f"{location}; allowed folders {', '.join(EMOTIONS)}")


def _has_emotion_folders(folder: Folder) -> bool:
    """Tell whether two or more emotions have folders (one folder may be called Joy by chance), and most folders do."""
    emotions = [parse_emotion(subfolder.name) for subfolder in folder.folders()]
    return len({*emotions} - {None}) >= 2 and 2 * emotions.count(None) <= len(emotions)


def _parse_fold(name: str) -> str | None:
    """Return the fold after which a folder or an archive is named."""
    return _FOLDS.get(name.partition(".")[0].casefold())
