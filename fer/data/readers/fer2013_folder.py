"""FER-2013 as JPEG files, `train/` and `test/` with a folder for each emotion (Kaggle's msambare/fer2013).

The usage at the start of a file's name is the only record of the owner's folds: `test/` holds two of them, and copies
that were split anew into three keep it too. A name can occur in two emotions with different pictures, so the folder
belongs to the id.
"""

import re
from collections.abc import Iterator

from fer.core.labels import EMOTIONS, emotion_named
from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Dropped
from fer.data.readers import fer2013_csv
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found, Record

LAYOUT = "train/ and test/ with <emotion>/<Usage>_<number>.jpg, usage Training, PublicTest or PrivateTest"
TERMS = fer2013_csv.TERMS
PIXELS = fer2013_csv.PIXELS

_PARTS = ("test", "train", "val", "valid", "validation")
_NAME = re.compile(rf"({'|'.join(fer2013_csv.FOLDS)})_\d+(?i:\.(jpg|jpeg|png))")
_AUGMENTED = re.compile(_NAME.pattern + r"\d+(?i:\.(jpg|jpeg|png))")


def recognises(root: Folder) -> bool:
    return any(
        emotion_named(emotion.name) and any(_NAME.fullmatch(file.name) for file in emotion.files())
        for part in _PARTS
        if (folder := root.folder(part))
        for emotion in folder.folders()
    )


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    for part in _PARTS:
        for item in folders.pictures(root.folder(part)):
            yield _face(item) if isinstance(item, File) else item


def _face(file: File) -> Record | Dropped:
    if _AUGMENTED.fullmatch(file.name):
        return Dropped(file.id, "augmented copy", "the owner's names have one number")
    folder = file.parts[-2]
    emotion, name = emotion_named(folder), _NAME.fullmatch(file.name)
    if emotion is None:
        return Dropped(file.id, "unknown emotion", f"folder {folder}; allowed {', '.join(EMOTIONS)}")
    if name is None:
        return Dropped(file.id, "unknown usage", f"allowed {', '.join(fer2013_csv.FOLDS)}, then _<number>.jpg")
    return Record(file.id, file, emotion, fer2013_csv.FOLDS[name[1]])
