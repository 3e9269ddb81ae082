"""FER-2013 as JPEG files, `train/` and `test/` with a folder for each emotion (Kaggle's msambare/fer2013).

The usage at the start of a file's name is the only record of the owner's folds: `test/` holds two of them. A name can
occur in two emotions with different pictures, so the folder belongs to the id.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from fer.datasets import Dropped, Found, Record, fer2013_csv, files
from fer.labels import EMOTIONS, emotion_named

LAYOUT = "train/ and test/ with <emotion>/<Usage>_<number>.jpg, usage Training, PublicTest or PrivateTest"
PIXELS = fer2013_csv.PIXELS

_PARTS = ("test", "train", "validation")
_NAME = re.compile(rf"({'|'.join(fer2013_csv.FOLDS)})_\d+(?i:\.(jpg|jpeg|png))")
_AUGMENTED = re.compile(_NAME.pattern + r"\d+(?i:\.(jpg|jpeg|png))")


def recognises(root: Path) -> bool:
    return any(
        emotion_named(folder.name) and any(_NAME.fullmatch(path.name) for path in folder.iterdir())
        for part in _PARTS
        for folder in files.folders(files.below(root, part))
    )


def read(root: Path) -> Iterator[Found]:
    for part in _PARTS:
        for item in files.pictures(root, part):
            yield _face(*item) if isinstance(item, tuple) else item


def _face(id: str, path: Path) -> Record | Dropped:
    if _AUGMENTED.fullmatch(path.name):
        return Dropped(id, "augmented copy", "the owner's names have one number")
    emotion, name = emotion_named(path.parent.name), _NAME.fullmatch(path.name)
    if emotion is None:
        return Dropped(id, "unknown emotion", f"folder {path.parent.name}; allowed {', '.join(EMOTIONS)}")
    if name is None:
        return Dropped(id, "unknown usage", f"allowed {', '.join(fer2013_csv.FOLDS)}, then _<number>.jpg")
    return Record(id, path, emotion, fer2013_csv.FOLDS[name[1]])
