"""UTKFace, faces of all ages from the web (Zhang, Song and Qi, 2017). An unlabelled pool.

A file name gives age, gender, race and time, `26_0_2_20170104023102422.jpg`. Some names lack a part; none of the parts
is used. `….jpg.chip.jpg` is an aligned face crop by the owners and is used whole. In other images the largest face is
detected.
"""

import re
from collections.abc import Iterator

from fer.data.media.folders import File, Folder
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, read_files

LAYOUT = (
    "26_0_2_20170104023102422.jpg or ….jpg.chip.jpg: age, gender, race, time; at the top or in folders such as part1/"
)
LICENSE_TERMS = "for non-commercial research; redistribution not allowed"

_NAME_PATTERN = re.compile(r"\d{1,3}_(\d?_){1,2}\d{17}\s?\.jpg(\.chip\.jpg)?")


def matches(root: Folder) -> bool:
    return any(_NAME_PATTERN.fullmatch(file.name) for folder in (root, *root.folders()) for file in folder.files())


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    return read_files(root, _make_record)


def _make_record(image: File) -> Record:
    return Record(image.id, image, face_mode="whole" if image.name.endswith(".chip.jpg") else "one")
