"""CK+48: the last three frames of each labelled CK+ sequence as 48 x 48 face crops (Kaggle's shawon10/ckplus).

The folder is the emotion; none is neutral, and there are no folds. The three frames are almost identical. The file name
gives the subject, which is the group, so the frames never fall into different folds (Lucey et al., 2010).
"""

from collections.abc import Iterator

from fer.core.labels import parse_emotion
from fer.data.media.folders import File, Folder, SkippedItem
from fer.data.readers import ckplus
from fer.data.readers.class_folders import find_folder_emotion, skip_unknown_emotion
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, read_files

LAYOUT = "a folder for each emotion with images named like S010_004_00000017.png"
LICENSE_TERMS = ckplus.LICENSE_TERMS


def matches(root: Folder) -> bool:
    return any(
        parse_emotion(folder.name) and any(ckplus.CKPLUS_NAME_PATTERN.fullmatch(file.stem) for file in folder.files())
        for folder in root.folders()
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    return read_files(root, _make_record)


def _make_record(file: File) -> Record | SkippedItem:
    name = ckplus.CKPLUS_NAME_PATTERN.fullmatch(file.stem)
    if name is None:
        return SkippedItem(file.id, "file name", "allowed are names like S010_004_00000017.png")
    emotion = find_folder_emotion(file)
    return Record(file.id, file, emotion, group=name[1]) if emotion else skip_unknown_emotion(file)
