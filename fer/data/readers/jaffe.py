"""JAFFE, seven expressions posed by ten Japanese women (Lyons, Akamatsu, Kamachi and Gyoba, 1998).

The file name `KA.AN1.39.tiff` gives the subject, the expression with the number of the take, and a serial number. The
owners' folder is flat; copies with a folder for each emotion are read by the same file names. There are no folds.
"""

import re
from collections.abc import Iterator

from fer.core.labels import parse_emotion
from fer.data.media.folders import IMAGE_SUFFIXES, File, Folder, SkippedItem
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, read_files

LAYOUT = "KA.AN1.39.tiff: subject, expression (AN DI FE HA NE SA SU), number"
LICENSE_TERMS = "for non-commercial research, by agreement with the owner; redistribution not allowed"

_NAME_PATTERN = re.compile(r"(KA|KL|KM|KR|MK|NA|NM|TM|UY|YM)[.-](AN|DI|FE|HA|NE|SA|SU)\d*\.", re.IGNORECASE)


def matches(root: Folder) -> bool:
    folders = (root, *(folder for folder in root.folders() if parse_emotion(folder.name)))
    return any(
        _NAME_PATTERN.match(file.name) for folder in folders for file in folder.files() if file.suffix in IMAGE_SUFFIXES
    )


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    return read_files(root, _make_record)


def _make_record(image: File) -> Record | SkippedItem:
    if name := _NAME_PATTERN.match(image.name):
        return Record(image.id, image, parse_emotion(name[2]), group=name[1].upper(), face_mode="one")
    return SkippedItem(image.id, "file name", "allowed names like KA.AN1.39.tiff: subject, expression, number")
