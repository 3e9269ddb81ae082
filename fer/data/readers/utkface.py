"""UTKFace, faces from the web of all ages (Zhang, Song and Qi, 2017). An unlabelled pool.

Names are age, gender, race and a time, `26_0_2_20170104023102422.jpg`; some lack a part, and none is used.
`….jpg.chip.jpg` is a face that the owners aligned and cut out, and is taken whole; of other pictures the largest face
is taken.
"""

import re
from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = (
    "26_0_2_20170104023102422.jpg or ….jpg.chip.jpg: age, gender, race, time; right there or in folders such as part1/"
)
LICENSE_TERMS = "for non-commercial research; may not be passed on"

_NAME_PATTERN = re.compile(r"\d{1,3}_(\d?_){1,2}\d{17}\s?\.jpg(\.chip\.jpg)?")


def matches(root: Folder) -> bool:
    return any(_NAME_PATTERN.fullmatch(file.name) for folder in (root, *root.folders()) for file in folder.files())


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for item in folders.walk_media(root):
        if isinstance(item, File):
            yield Record(item.id, item, face_mode="whole" if item.name.endswith(".chip.jpg") else "one")
        else:
            yield item
