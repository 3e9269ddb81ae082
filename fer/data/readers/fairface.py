"""FairFace, faces from Flickr balanced by race, gender and age (Kärkkäinen and Joo, 2021). An unlabelled pool.

The images have a margin of 0.25 or 1.25 around each face, so the largest face is detected. If both versions exist, the
one with the smaller margin is read. The tables give no emotions or persons and are not read.
"""

from collections.abc import Iterator

from fer.data.media.folders import Folder, Note
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, read_files

LAYOUT = "fairface_label_train.csv with train/1.jpg and val/, or with fairface-img-margin025-trainval/"
LICENSE_TERMS = "CC BY 4.0: any use is allowed, with attribution"

_TABLES = ("fairface_label_train.csv", "fairface_label_val.csv")
_MARGIN_FOLDERS = ("fairface-img-margin025-trainval", "fairface-img-margin125-trainval")
_PARTS = ("train", "val")


def matches(root: Folder) -> bool:
    return any(map(root.file, _TABLES))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    parts = [part for name in _PARTS if (part := root.folder(name))]
    margins = [margin for name in _MARGIN_FOLDERS if (margin := root.folder(name))]
    image_folders = parts or margins[:1]
    for duplicate in margins[0 if parts else 1 :]:
        yield Note(f"{duplicate.id} is not read: it has the same faces as {image_folders[0].id}")
    for folder in image_folders:
        yield from read_files(folder, lambda image: Record(image.id, image, face_mode="one"))
