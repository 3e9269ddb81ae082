"""Flickr-Faces-HQ, 70,000 aligned portraits (Karras, Laine and Aila, 2019). An unlabelled pool.

The thumbnails (128 x 128 pixels) are large enough; the full images are read only if there are no thumbnails. Both show
hair and shoulders, so the largest face is detected.
"""

from collections.abc import Iterator

from fer.data.media.folders import Folder, Note
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record, read_files

LAYOUT = "thumbnails128x128/00000/00000.png, or images1024x1024/00000/00000.png"
LICENSE_TERMS = "CC BY-NC-SA 4.0 for the dataset; each image has its own licence, named in the owner's metadata"

_IMAGE_FOLDERS = ("thumbnails128x128", "images1024x1024")


def matches(root: Folder) -> bool:
    return any(map(root.folder, _IMAGE_FOLDERS))


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    images, *duplicates = filter(None, map(root.folder, _IMAGE_FOLDERS))
    for duplicate in duplicates:
        yield Note(f"{duplicate.id} is not read: it has the same faces as {images.id}")
    yield from read_files(images, lambda image: Record(image.id, image, face_mode="one"))
