"""FER-2013 as JPEG files: `train/` and `test/` with a folder for each emotion (Kaggle's msambare/fer2013).

The usage at the start of the file name is the only record of the owner's folds: `test/` mixes two of them, and copies
that were split again into three parts also keep it. Two emotions can have different images of the same name, so the id
includes the folder.
"""

import re
from collections.abc import Iterator

from fer.core.labels import parse_emotion
from fer.data.media.folders import File, Folder, SkippedItem
from fer.data.readers import fer2013_csv
from fer.data.readers.class_folders import find_folder_emotion, skip_unknown_emotion
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, read_files

LAYOUT = "train/ and test/ with <emotion>/<Usage>_<number>.jpg, usage Training, PublicTest or PrivateTest"
LICENSE_TERMS = fer2013_csv.LICENSE_TERMS
PIXELS = fer2013_csv.PIXELS

_PARTS = ("test", "train", "val", "valid", "validation")
_NAME_PATTERN = re.compile(rf"({'|'.join(fer2013_csv.FER2013_FOLDS)})_\d+(?i:\.(jpg|jpeg|png))")
_AUGMENTED_NAME_PATTERN = re.compile(_NAME_PATTERN.pattern + r"\d+(?i:\.(jpg|jpeg|png))")


def matches(root: Folder) -> bool:
    return any(
        parse_emotion(emotion.name) and any(_NAME_PATTERN.fullmatch(file.name) for file in emotion.files())
        for part in _PARTS
        if (folder := root.folder(part))
        for emotion in folder.folders()
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for part in _PARTS:
        yield from read_files(root.folder(part), _make_record)


def _make_record(file: File) -> Record | SkippedItem:
    if _AUGMENTED_NAME_PATTERN.fullmatch(file.name):
        return SkippedItem(file.id, "augmented copy", "original file names have one number")
    emotion, name = find_folder_emotion(file), _NAME_PATTERN.fullmatch(file.name)
    if emotion is None:
        return skip_unknown_emotion(file)
    if name is None:
        detail = f"allowed {', '.join(fer2013_csv.FER2013_FOLDS)}, then _<number>.jpg"
        return SkippedItem(file.id, "unknown usage", detail)
    return Record(file.id, file, emotion, fer2013_csv.FER2013_FOLDS[name[1]])
