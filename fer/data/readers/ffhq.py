"""Flickr-Faces-HQ, 70,000 aligned portraits (Karras, Laine and Aila, 2019). An unlabelled pool.

The thumbnails have 128 x 128 pixels and are large enough; the full pictures are taken where there are no thumbnails.
Both show hair and shoulders, so that the largest face is looked for.
"""

from collections.abc import Iterator

from fer.data.media import folders
from fer.data.media.folders import File, Folder
from fer.data.media.issues import Note
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

LAYOUT = "thumbnails128x128/00000/00000.png, or images1024x1024/00000/00000.png"
LICENSE_TERMS = "CC BY-NC-SA 4.0 as a set; each photograph has a licence of its own, which the owner's metadata names"

_IMAGE_FOLDERS = ("thumbnails128x128", "images1024x1024")


def matches(root: Folder) -> bool:
    return any(map(root.folder, _IMAGE_FOLDERS))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    taken, *others = filter(None, map(root.folder, _IMAGE_FOLDERS))
    for other in others:
        yield Note(f"{other.id} is left out: it shows the faces of {taken.id} again")
    for item in folders.walk_media(taken):
        yield Record(item.id, item, face_mode="one") if isinstance(item, File) else item
