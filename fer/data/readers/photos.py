"""Any tree of unlabelled photos and videos, in which every face is detected.

The sizes of the images decide between this reader and `tree`, since face crops are small squares; `ingest.readers` has
precedence. Use this reader for VGGFace2's loose crops and for personal photos and videos.
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
from fer.data.readers.record import ReaderItem, Record, read_files

_SAMPLE_IMAGES = 40  # images whose size is read
_MAX_CROP_PX = 256  # longest side of a face crop
_SQUARE_TOLERANCE = 0.1  # relative difference of the sides of a square crop
_HEAD_BYTES = 1 << 20  # more than the whole file of a face crop

LAYOUT = (
    "unlabelled photos and videos at any depth, if there is a video or most of the first "
    f"{_SAMPLE_IMAGES} images are larger than {_MAX_CROP_PX} pixels or not square; ingest.readers has precedence"
)
LICENSE_TERMS = "the user's own, or the terms of the images' authors"


def matches(root: Folder) -> bool:
    images: list[File] = []
    for item in folders.walk_media(root, suffixes=(*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)):
        if isinstance(item, File) and item.suffix in VIDEO_SUFFIXES:
            return True
        if isinstance(item, File) and len(images) < _SAMPLE_IMAGES:
            images.append(item)
    return are_photos(images)


def read(root: Folder, settings: Ingest) -> Iterator[ReaderItem]:
    return read_files(root, _make_record, suffixes=(*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))


def _make_record(file: File) -> Record:
    return Record(file.id, file, group=file.id if file.suffix in VIDEO_SUFFIXES else "", face_mode="all")


def are_photos(files: Iterable[File]) -> bool:
    """Tell whether most of the first images are too large or too oblong for face crops.

    Unreadable images are ignored.
    """
    are_crops = [is_crop for file in islice(files, _SAMPLE_IMAGES) if (is_crop := _is_face_crop(file)) is not None]
    return 2 * sum(are_crops) < len(are_crops)


def _is_face_crop(file: File) -> bool | None:
    """Tell by its size whether an image is a face crop, None if it is unreadable."""
    try:
        with file.open() as content, warnings.catch_warnings(action="ignore"):
            head = content.read(_HEAD_BYTES + 1)
            if len(head) > _HEAD_BYTES:
                return False
            with Image.open(BytesIO(head), formats=IMAGE_FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        return False
    except Exception:  # Pillow raises nearly any exception on damaged bytes
        return None
    return max(width, height) <= _MAX_CROP_PX and abs(width - height) <= _SQUARE_TOLERANCE * height
