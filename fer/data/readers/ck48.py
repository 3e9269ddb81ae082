"""The last three frames of each labelled sequence of CK+, cut to faces of 48 x 48 (Kaggle's shawon10/ckplus, CK+48).

The folder is the emotion, none is neutral, and there are no folds. The three frames are all but the same picture; they
share a subject, which the name tells, and so never fall into different folds (Lucey et al., 2010).
"""

from collections.abc import Iterator

from fer.core.labels import EMOTIONS, emotion_named
from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Dropped
from fer.data.readers import ckplus
from fer.data.readers.params import Ingest
from fer.data.readers.record import Found, Record

LAYOUT = "a folder for each emotion with pictures named like S010_004_00000017.png"
TERMS = ckplus.TERMS


def recognises(root: Folder) -> bool:
    return any(
        emotion_named(folder.name) and any(ckplus.NAME.fullmatch(file.stem) for file in folder.files())
        for folder in root.folders()
    )


def read(root: Folder, rules: Ingest) -> Iterator[Found]:
    for item in folders.pictures(root):
        yield _face(item) if isinstance(item, File) else item


def _face(file: File) -> Record | Dropped:
    name = ckplus.NAME.fullmatch(file.stem)
    if name is None:
        return Dropped(file.id, "file name", "allowed are names like S010_004_00000017.png")
    folder = file.parts[-2] if len(file.parts) > 1 else ""
    emotion = emotion_named(folder)
    if emotion is None:
        return Dropped(file.id, "unknown emotion", f"folder {folder!r}; allowed {', '.join(EMOTIONS)}")
    return Record(file.id, file, emotion, group=name[1])
