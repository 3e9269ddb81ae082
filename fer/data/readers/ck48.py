"""CK+48: the last three frames of each labelled CK+ sequence as 48 x 48 face crops (Kaggle's shawon10/ckplus).

The folder is the emotion; none is neutral, and there are no folds. The three frames are almost identical. The file name
gives the subject, which is the group, so the frames never fall into different folds (Lucey et al., 2010).
"""

from collections.abc import Iterator

from fer.core.labels import EMOTIONS, parse_emotion
from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import SkippedItem
from fer.data.readers import ckplus
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "a folder for each emotion with images named like S010_004_00000017.png"
LICENSE_TERMS = ckplus.LICENSE_TERMS


def matches(root: Folder) -> bool:
    return any(
        parse_emotion(folder.name) and any(ckplus.CKPLUS_NAME_PATTERN.fullmatch(file.stem) for file in folder.files())
        for folder in root.folders()
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for item in folders.walk_media(root):
        yield _make_record(item) if isinstance(item, File) else item


def _make_record(file: File) -> Record | SkippedItem:
    name = ckplus.CKPLUS_NAME_PATTERN.fullmatch(file.stem)
    if name is None:
        return SkippedItem(file.id, "file name", "allowed are names like S010_004_00000017.png")
    folder = file.parts[-2] if len(file.parts) > 1 else ""
    emotion = parse_emotion(folder)
    if emotion is None:
        return SkippedItem(file.id, "unknown emotion", f"folder {folder!r}; allowed {', '.join(EMOTIONS)}")
    return Record(file.id, file, emotion, group=name[1])
