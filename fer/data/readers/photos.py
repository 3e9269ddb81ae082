"""Photographs and videos in any tree, without labels: every face in them is looked for.

Which of this reader and `tree` takes a folder is told by its pictures' sizes, since faces that were cut out are small
squares; `ingest.readers` decides otherwise. VGGFace2's loosely cut pictures come through here, and people's own
photographs and films.
"""

import warnings
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import islice

from PIL import Image

from fer.data.media import folders
from fer.data.media.folders import IMAGE_SUFFIXES, VIDEO_SUFFIXES, File, Folder
from fer.data.media.images import IMAGE_FORMATS
from fer.data.readers.params import Ingest
from fer.data.readers.record import ReaderItem, Record

_SAMPLE_IMAGES = 40  # pictures, of which only the sizes are read
_FACE_PX = 256  # the longest side of a face that was cut out
_SQUARE_TOLERANCE = 0.1  # by which the sides of a square may differ
_HEAD_BYTES = 1 << 20  # more than the whole file of such a face

LAYOUT = (
    "photographs and videos at any depth, without labels: where there is a video, or most of the first "
    f"{_SAMPLE_IMAGES} pictures are larger than {_FACE_PX} pixels or not square; ingest.readers decides otherwise"
)
LICENSE_TERMS = "the user's own, or on the terms of whoever made the pictures"


def matches(root: Folder) -> bool:
    pictures: list[File] = []
    for item in folders.walk_media(root, suffixes=(*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)):
        if isinstance(item, File) and item.suffix in VIDEO_SUFFIXES:
            return True
        if isinstance(item, File) and len(pictures) < _SAMPLE_IMAGES:
            pictures.append(item)
    return are_photos(pictures)


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    for item in folders.walk_media(root, suffixes=(*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)):
        if isinstance(item, File):
            yield Record(item.id, item, group=item.id if item.suffix in VIDEO_SUFFIXES else "", face_mode="all")
        else:
            yield item


def are_photos(files: Iterable[File]) -> bool:
    """Whether most of the first pictures are too large or too oblong for faces that were cut out.

    Those that can't be read do not count.
    """
    faces = [face for picture in islice(files, _SAMPLE_IMAGES) if (face := _is_face_crop(picture)) is not None]
    return 2 * sum(faces) < len(faces)


def _is_face_crop(picture: File) -> bool | None:
    """By its size alone; None where nothing says it."""
    try:
        with picture.open() as content, warnings.catch_warnings(action="ignore"):
            head = content.read(_HEAD_BYTES + 1)
            if len(head) > _HEAD_BYTES:
                return False
            with Image.open(BytesIO(head), formats=IMAGE_FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        return False
    except Exception:  # on damaged bytes Pillow raises nearly anything
        return None
    return max(width, height) <= _FACE_PX and abs(width - height) <= _SQUARE_TOLERANCE * height
